//! The format of the scenario files, as README.md describes it. Unknown members are errors: a typing error in an
//! expectation must not make it pass.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) cleanup: Vec<String>,
    #[serde(default)]
    pub(crate) skip: Skip,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skip {
    #[serde(default)]
    pub(crate) rust: Option<String>,
    #[serde(default, rename = "javascript")]
    _javascript: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(default)]
    pub(crate) sql: Option<String>,
    #[serde(default)]
    pub(crate) params: Vec<Value>,
    #[serde(default)]
    pub(crate) batch: Option<Vec<Statement>>,
    #[serde(default)]
    pub(crate) expect: Expectation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    #[serde(default)]
    pub(crate) params: Vec<Value>,
    #[serde(default)]
    pub(crate) expect: Expectation,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expectation {
    #[serde(default)]
    pub(crate) columns: Option<Vec<ExpectedColumn>>,
    #[serde(default)]
    pub(crate) rows: Option<Vec<Vec<Value>>>,
    #[serde(default)]
    pub(crate) row_count: Option<u64>,
    #[serde(default)]
    pub(crate) first: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) last: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) error: Option<ExpectedError>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedColumn {
    pub(crate) name: String,
    pub(crate) type_oid: u32,
}

#[derive(Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ExpectedError {
    Sql(Box<SqlError>),
    TransactionLeftOpen,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlError {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) severity: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) detail: Option<String>,
    #[serde(default)]
    pub(crate) hint: Option<String>,
    #[serde(default)]
    pub(crate) position: Option<u32>,
    #[serde(default)]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) table: Option<String>,
    #[serde(default)]
    pub(crate) column: Option<String>,
    #[serde(default)]
    pub(crate) data_type: Option<String>,
    #[serde(default)]
    pub(crate) constraint: Option<String>,
    #[serde(default)]
    pub(crate) statement: Option<usize>,
}
