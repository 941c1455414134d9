//! Runs the scenarios of this folder through the Rust driver, on any transport: natively, in a browser, in a Worker.
//!
//! The format of the files is described in README.md beside them.

mod compare;
mod file;
mod streams;
mod value;

use std::fmt;

use onetrip::{Client, Error, StatementResult};

pub use streams::{ended, held_back};

use file::{Expectation, ExpectedError, Scenario, Statement, Step};

/// The files, by name. A test checks that none of the folder is missing.
const FILES: [(&str, &str); 4] = [
    ("batches.json", include_str!("../batches.json")),
    ("errors.json", include_str!("../errors.json")),
    ("statements.json", include_str!("../statements.json")),
    ("types.json", include_str!("../types.json")),
];

/// What became of each scenario.
#[derive(Debug, Default, serde::Serialize)]
pub struct Report {
    /// The names of those that passed.
    pub passed: Vec<String>,
    /// Those that were skipped, each with its reason.
    pub skipped: Vec<(String, String)>,
    /// Those that failed, each with what went wrong.
    pub failed: Vec<(String, String)>,
}

impl Report {
    /// Whether scenarios ran and none failed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty() && !self.passed.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { passed, skipped, failed } = self;
        writeln!(formatter, "{} passed, {} skipped, {} failed", passed.len(), skipped.len(), failed.len())?;
        for (name, reason) in skipped {
            writeln!(formatter, "  skipped {name}: {reason}")?;
        }
        for (name, reason) in failed {
            writeln!(formatter, "  FAILED {name}: {reason}")?;
        }
        Ok(())
    }
}

/// Runs all scenarios, one after another. `prefix` makes the names of their tables unique: `[a-z][a-z0-9]*`, at most 20
/// characters, another for each run.
///
/// # Panics
/// When a file is not what README.md says.
pub async fn run(client: &Client, prefix: &str) -> Report {
    let mut report = Report::default();
    for (index, scenario) in scenarios().into_iter().enumerate() {
        let Scenario { name, skip, steps, cleanup } = scenario;
        if let Some(reason) = skip.rust {
            report.skipped.push((name, reason));
            continue;
        }
        let id = format!("{prefix}{index}");
        let mut outcome = Ok(());
        for (number, step) in steps.iter().enumerate() {
            outcome = run_step(client, step, &id).await.map_err(|reason| format!("step {number}: {reason}"));
            if outcome.is_err() {
                break;
            }
        }
        for sql in cleanup {
            let cleaned = client.execute(&sql.replace("{id}", &id), &[]).await;
            outcome = outcome.and(cleaned.map(drop).map_err(|error| format!("cleanup: {error}")));
        }
        match outcome {
            Ok(()) => report.passed.push(name),
            Err(reason) => report.failed.push((name, reason)),
        }
    }
    report
}

fn scenarios() -> Vec<Scenario> {
    let read = |(name, text)| {
        serde_json::from_str::<file::File>(text).unwrap_or_else(|error| panic!("{name}: {error}")).scenarios
    };
    FILES.into_iter().flat_map(read).collect()
}

async fn run_step(client: &Client, step: &Step, id: &str) -> Result<(), String> {
    match (&step.sql, &step.batch) {
        (Some(sql), None) => {
            let statement =
                Statement { sql: sql.clone(), params: step.params.clone(), expect: step.expect.clone() };
            run_statement(client, &statement, id).await
        }
        (None, Some(statements)) => run_batch(client, statements, step.expect.error.as_ref(), id).await,
        _ => panic!("a step has either `sql` or `batch`"),
    }
}

async fn run_statement(client: &Client, statement: &Statement, id: &str) -> Result<(), String> {
    let sql = statement.sql.replace("{id}", id);
    let parameters = value::parameters(&statement.params, id)?;
    let borrowed: Vec<_> = parameters.iter().map(AsRef::as_ref).collect();
    let Expectation { error, row_count, .. } = &statement.expect;
    if error.is_some() || is_command(&sql) {
        let answer = client.execute(&sql, &borrowed).await;
        return match (answer, error) {
            (answer, Some(expected)) => compare_error(answer.map(drop), expected, id),
            (Ok(found), None) if row_count.is_none_or(|expected| expected == found) => Ok(()),
            (Ok(found), None) => Err(format!("{found} rows were affected, not {row_count:?}")),
            (Err(error), None) => Err(error.to_string()),
        };
    }
    let rows = client.query(&sql, &borrowed).await.map_err(|error| error.to_string())?;
    compare::rows(&rows, &statement.expect, id)?;
    // The columns of an empty result come only with a whole result.
    if rows.is_empty() {
        let results =
            client.batch().statement(&sql, &borrowed).commit().await.map_err(|error| error.to_string())?;
        return results.iter().try_for_each(|result| compare::result(result, &statement.expect, id));
    }
    Ok(())
}

/// Whether a statement gives a count and no rows.
fn is_command(sql: &str) -> bool {
    let first = sql.split_whitespace().next().unwrap_or_default();
    !first.eq_ignore_ascii_case("select") && !sql.contains("returning")
}

async fn run_batch(
    client: &Client,
    statements: &[Statement],
    error: Option<&ExpectedError>,
    id: &str,
) -> Result<(), String> {
    let mut batch = client.batch();
    for statement in statements {
        let parameters = value::parameters(&statement.params, id)?;
        let borrowed: Vec<_> = parameters.iter().map(AsRef::as_ref).collect();
        batch = batch.statement(&statement.sql.replace("{id}", id), &borrowed);
    }
    let answer: Result<Vec<StatementResult>, Error> = batch.commit().await;
    if let Some(expected) = error {
        return compare_error(answer.map(drop), expected, id);
    }
    let results = answer.map_err(|error| error.to_string())?;
    for (index, (result, statement)) in results.iter().zip(statements).enumerate() {
        compare::result(result, &statement.expect, id)
            .map_err(|reason| format!("statement {index}: {reason}"))?;
    }
    Ok(())
}

fn compare_error(answer: Result<(), Error>, expected: &ExpectedError, id: &str) -> Result<(), String> {
    match answer {
        Ok(()) => Err("it succeeded where it had to fail".to_owned()),
        Err(error) => compare::error(&error, expected, id),
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_read_and_every_name_is_a_sentence_of_its_own() {
        let mut found: Vec<String> = std::fs::read_dir(env!("CARGO_MANIFEST_DIR"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".json"))
            .collect();
        found.sort();
        assert_eq!(found, FILES.map(|(name, _)| name));
        let mut names: Vec<String> = scenarios().into_iter().map(|scenario| scenario.name).collect();
        let count = names.len();
        assert!(names.iter().all(|name| name.contains('_') && !name.contains(' ')), "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
