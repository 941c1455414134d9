//! The client of Neon-compatible endpoints: all scenarios over text from a real PostgreSQL, and a real proxy's recorded
//! answers.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::sync::{Arc, Mutex};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use onetrip::neon::Neon;
use onetrip::transport::{BoxFuture, Clock, Failure, Native, Request, Response, Sent, Transport};
use onetrip::types::{self, FromSqlOwned};
use onetrip::{Client, IsolationLevel, Kind, Numeric, Outcome};
use onetrip_tests::{Database, Gateway, Stack};
use onetrip_wire::Limits;
use onetrip_wire::backend::ErrorResponse;
use onetrip_wire::frontend::{self, Format, Parameter, Statement};
use onetrip_wire::response::{Event, ResponseReader};
use serde_json::{Value, json};

/// `POST /sql` as such endpoints answer it, over a real PostgreSQL: everything in text, no declared types.
struct TextEndpoint {
    address: std::net::SocketAddr,
    database: String,
    authorization: String,
    asked: Asked,
    clock: Native,
}

impl Transport for TextEndpoint {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            let headers: Headers =
                request.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            self.asked.lock().unwrap().push((headers.clone(), body.clone()));
            let (status, answer) = self.answer(&headers, &body).await?;
            let headers = vec![("content-type", "application/json".to_owned())];
            Ok(Response::whole(status, headers, answer.to_string()))
        })
    }

    fn clock(&self) -> &dyn Clock {
        self.clock.clock()
    }
}

impl TextEndpoint {
    async fn answer(&self, headers: &[(String, String)], body: &Value) -> Result<(u16, Value), Failure> {
        let header =
            |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        assert!(header("neon-connection-string").unwrap().starts_with("postgresql://"));
        assert_eq!((header("neon-raw-text-output"), header("neon-array-mode")), (Some("true"), Some("true")));
        let mut frames = Vec::new();
        let mut push = |query: &Value| {
            let params: Vec<Option<&str>> =
                query["params"].as_array().into_iter().flatten().map(Value::as_str).collect();
            let parameters: Vec<Parameter<'_>> = params
                .iter()
                .map(|param| Parameter { type_oid: 0, format: Format::Text, value: param.map(str::as_bytes) })
                .collect();
            let sql = query["query"].as_str().unwrap();
            frontend::statement(
                &mut frames,
                &Statement { sql, parameters: &parameters, result_format: Format::Text },
            )
            .unwrap();
        };
        let is_batch = body["queries"].is_array();
        if is_batch {
            let level = match header("neon-batch-isolation-level").unwrap_or("ReadCommitted") {
                "Serializable" => "serializable",
                "RepeatableRead" => "repeatable read",
                _ => "read committed",
            };
            let access =
                if header("neon-batch-read-only") == Some("true") { "read only" } else { "read write" };
            push(&json!({"query": format!("begin isolation level {level} {access}")}));
            body["queries"].as_array().unwrap().iter().for_each(&mut push);
            push(&json!({"query": "commit"}));
        } else {
            push(body);
        }
        frontend::sync(&mut frames);
        let path = format!("/v1/{}/pipeline", self.database);
        let headers = [
            ("authorization", self.authorization.as_str()),
            ("content-type", "application/vnd.onetrip.pgwire"),
            ("accept", "application/vnd.onetrip.pgwire"),
        ];
        let answer = onetrip_tests::http::send(self.address, "POST", &path, &headers, frames).await;
        let answer = answer.map_err(|error| Failure::new(Sent::Perhaps, error))?;
        if answer.status != 200 {
            // A login that was refused, as such a proxy says it.
            let problem = answer.json();
            let body =
                json!({"message": problem["detail"], "code": problem["sqlstate"], "severity": "FATAL"});
            return Ok((400, body));
        }
        let mut reader = ResponseReader::new(1, Limits::default());
        reader.push(&answer.body);
        let (mut results, mut fields, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(event) = reader.event().unwrap() {
            match event {
                Event::Fields(found) => {
                    let field = |field: onetrip_wire::backend::Field| {
                        json!({
                            "name": field.name, "dataTypeID": field.type_oid, "tableID": field.table_oid,
                            "columnID": field.column, "dataTypeSize": field.type_size,
                            "dataTypeModifier": field.type_modifier, "format": "text",
                        })
                    };
                    fields = found.into_iter().map(field).collect::<Vec<Value>>();
                }
                Event::Row(row) => rows.push(
                    (0..row.len())
                        .map(|at| {
                            row.value(at).unwrap().map(|text| std::str::from_utf8(text).unwrap().to_owned())
                        })
                        .collect::<Vec<Option<String>>>(),
                ),
                Event::Complete(_) | Event::Empty => {
                    let (command, count) = match &event {
                        Event::Complete(tag) => (tag.command().to_owned(), tag.rows()),
                        _ => (String::new(), None),
                    };
                    let (fields, rows) = (std::mem::take(&mut fields), std::mem::take(&mut rows));
                    results.push(
                        json!({"fields": fields, "rows": rows, "command": command, "rowCount": count, "rowAsArray": true}),
                    );
                }
                Event::Failed(error) => return Ok((400, refusal(&error))),
                Event::Notice(_) | Event::GroupEnd(_) => {}
            }
        }
        if is_batch {
            let inner: Vec<Value> = results[1..results.len() - 1].to_vec();
            return Ok((200, json!({"results": inner})));
        }
        Ok((200, results.remove(0)))
    }
}

fn refusal(error: &ErrorResponse) -> Value {
    json!({
        "message": error.message(), "code": error.code(), "severity": error.severity(), "detail": error.detail(),
        "hint": error.hint(), "position": error.position().map(|at| at.to_string()), "where": error.context(),
        "table": error.table(), "column": error.column(), "schema": error.schema(), "dataType": error.data_type(),
        "constraint": error.constraint(), "internalPosition": null, "internalQuery": null, "file": null, "line": null,
        "routine": null,
    })
}

/// Headers as a client sends them.
type Headers = Vec<(String, String)>;
/// The requests that came: headers and body.
type Asked = Arc<Mutex<Vec<(Headers, Value)>>>;

async fn start() -> (Stack, Client, Asked) {
    let stack = Stack::start("").await;
    let (client, asked) = client(&stack, &stack.database.password);
    (stack, client, asked)
}

fn client(stack: &Stack, password: &str) -> (Client, Asked) {
    let database = stack.database.name.clone();
    let asked = Asked::default();
    let endpoint = TextEndpoint {
        address: stack.gateway.address(),
        authorization: Gateway::basic(&database, password),
        database: database.clone(),
        asked: asked.clone(),
        clock: Native::new(),
    };
    let connection_string =
        format!("postgresql://{database}:{password}@db.example.com/{database}?sslmode=require");
    (Neon::client(&connection_string, "https://db.example.com/sql", endpoint).unwrap(), asked)
}

#[tokio::test]
async fn all_scenarios_pass_over_text() {
    let (_stack, client, asked) = start().await;
    let report = onetrip_scenarios::run(&client, "neon").await;
    let mut failed: Vec<&str> = report.failed.iter().map(|(name, _)| name.as_str()).collect();
    failed.sort_unstable();
    assert_eq!(failed, UNTOLD, "{report}");
    assert!(report.passed.len() > 30, "{report}");
    assert!(asked.lock().unwrap().len() > report.passed.len());
}

#[tokio::test]
async fn all_scenarios_pass_against_the_endpoints_own_profile() {
    let stack = Stack::start("").await;
    let Database { name, password, .. } = &stack.database;
    let connection_string = format!("postgresql://{name}:{password}@db.example.com/{name}");
    let url = format!("http://{}/sql", stack.gateway.address());
    let neon = Neon::client(&connection_string, &url, Native::new()).unwrap();
    let report = onetrip_scenarios::run(&neon, "neongateway").await;
    let mut failed: Vec<&str> = report.failed.iter().map(|(name, _)| name.as_str()).collect();
    failed.sort_unstable();
    assert!(failed.iter().all(|name| UNTOLD.contains(name)), "{report}");
    assert!(report.passed.len() > 30, "{report}");
    let native = Client::connect(&stack.gateway.url()).unwrap();
    check_values(&native, &neon).await;

    let wrong =
        Neon::client(&connection_string.replace(password.as_str(), "hunter2"), &url, Native::new()).unwrap();
    let error = wrong.query("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Refused, Outcome::NotExecuted), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// What such an answer does not tell: which statement of a batch failed, and that a transaction was left open.
const UNTOLD: [&str; 3] = [
    "a_batch_that_fails_leaves_nothing_behind_and_names_its_statement",
    "a_transaction_left_open_is_an_error_and_is_rolled_back",
    "the_first_statement_of_a_batch_may_fail",
];

/// The value reads from text as it reads from onetrip's own endpoint.
async fn check_reads<T>(native: &Client, neon: &Client, type_name: &str, texts: &[&str])
where
    T: FromSqlOwned + PartialEq + std::fmt::Debug,
{
    for text in texts {
        let sql = format!("select '{text}'::{type_name}");
        let expected: T =
            native.query_one(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0);
        let row = neon.query_one(&sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(
            row.try_get::<_, T>(0).unwrap_or_else(|error| panic!("{sql}: {error}")),
            expected,
            "{sql}"
        );
    }
}

async fn check_values(n: &Client, c: &Client) {
    check_reads::<i64>(n, c, "int8", &["-9223372036854775808", "9223372036854775807"]).await;
    check_reads::<Numeric>(n, c, "numeric", &["12345678901234567890.000100", "NaN", "-Infinity", "1e-20"])
        .await;
    check_reads::<f64>(n, c, "float8", &["0.1", "1e308", "-Infinity", "4.9e-324"]).await;
    check_reads::<f32>(n, c, "float4", &["0.1", "3.4e38"]).await;
    check_reads::<DateTime<Utc>>(n, c, "timestamptz", &["2024-02-29 12:34:56.789012+05:30", "1850-01-01"])
        .await;
    check_reads::<types::Timestamp<NaiveDateTime>>(
        n,
        c,
        "timestamp",
        &["infinity", "-infinity", "2000-01-01"],
    )
    .await;
    check_reads::<NaiveDateTime>(
        n,
        c,
        "timestamp",
        &["0044-03-15 12:00:00 BC", "9999-12-31 23:59:59.999999"],
    )
    .await;
    check_reads::<types::Date<NaiveDate>>(n, c, "date", &["infinity", "0001-01-01 BC", "2024-02-29"]).await;
    check_reads::<Vec<Option<String>>>(n, c, "text[]", &[r#"{a,"b \"c\" \\ {d}",NULL,"NULL",""}"#, "{}"])
        .await;
    check_reads::<Vec<i32>>(n, c, "int4[]", &["[0:2]={1,2,3}", "{}"]).await;
    check_reads::<Vec<Option<Numeric>>>(n, c, "numeric[]", &["{1.50,NULL}"]).await;
    check_reads::<Vec<Vec<u8>>>(n, c, "bytea[]", &[r#"{"\\x00ff","\\x"}"#]).await;
    check_reads::<Vec<u8>>(n, c, "bytea", &[r"\x00ff5c"]).await;
    check_reads::<uuid::Uuid>(n, c, "uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]).await;
    check_reads::<Value>(n, c, "jsonb", &[r#"{"a": [1, "ü", null]}"#]).await;
    check_reads::<std::net::IpAddr>(n, c, "inet", &["10.0.0.1", "2001:db8::1"]).await;
    check_reads::<i8>(n, c, "\"char\"", &["a", r"\377"]).await;
    check_reads::<bool>(n, c, "bool", &["t", "f"]).await;
    check_reads::<u32>(n, c, "oid", &["4294967295"]).await;
}

#[tokio::test]
async fn values_read_exactly_as_from_onetrips_own_endpoint() {
    let (stack, neon, _) = start().await;
    let native = Client::connect(&stack.gateway.url()).unwrap();
    check_values(&native, &neon).await;
    // The other format of bytea, which a setting of the role gives.
    let (_, row) = neon
        .transaction()
        .execute("set local bytea_output = 'escape'", &[])
        .query_one(r"select '\x615c00ff'::bytea", &[])
        .commit()
        .await
        .unwrap();
    assert_eq!(row.get::<_, &[u8]>(0), b"a\\\0\xff");
    // What has no binary form here reads as text; and so does a column that another DateStyle wrote.
    let row = neon
        .query_one("select '$1.50'::money as m, row(1, 'a') as r, 'a'::tsvector as v", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>("r"), row.get::<_, &str>("v")), ("(1,a)", "'a'"));
    let (_, row) = neon
        .transaction()
        .execute("set local datestyle = 'German'", &[])
        .query_one("select '2024-02-29'::date as day", &[])
        .commit()
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>("day"), "29.02.2024");
    let error = row.try_get::<_, NaiveDate>("day").unwrap_err();
    assert!(error.to_string().contains("\"day\"") && error.to_string().contains("text"), "{error}");
}

#[tokio::test]
async fn a_transaction_is_one_request_with_its_options_as_headers() {
    let (_stack, client, asked) = start().await;
    client.execute("create table notes (id int4 primary key)", &[]).await.unwrap();
    asked.lock().unwrap().clear();
    let (inserted, level) = client
        .transaction()
        .isolation_level(IsolationLevel::Serializable)
        .read_only(false)
        .deferrable(true)
        .execute("insert into notes values ($1)", &[&1i64])
        .query_one("select current_setting('transaction_isolation')", &[])
        .commit()
        .await
        .unwrap();
    assert_eq!((inserted, level.get::<_, &str>(0)), (1, "serializable"));
    {
        let asked = asked.lock().unwrap();
        let [(headers, body)] = asked.as_slice() else { panic!("{} requests", asked.len()) };
        let expected = json!([
            {"query": "insert into notes values ($1)", "params": ["1"]},
            {"query": "select current_setting('transaction_isolation')", "params": []},
        ]);
        assert_eq!(body["queries"], expected);
        for (name, value) in [
            ("neon-batch-isolation-level", "Serializable"),
            ("neon-batch-read-only", "false"),
            ("neon-batch-deferrable", "true"),
        ] {
            assert!(
                headers.iter().any(|header| (header.0.as_str(), header.1.as_str()) == (name, value)),
                "{name}"
            );
        }
    }
    let error = client
        .transaction()
        .execute("insert into notes values (2)", &[])
        .execute("insert into notes values (1)", &[])
        .commit()
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.code(), error.statement()), (Kind::Sql, Some("23505"), None));
    assert_eq!(
        (error.outcome(), error.as_db_error().unwrap().table()),
        (Outcome::NotExecuted, Some("notes"))
    );
    let count: i64 = client.query_one("select count(*) from notes", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
}

#[tokio::test]
async fn a_refused_login_and_a_parameter_without_text_say_what_is_wrong() {
    let (stack, client, _) = start().await;
    let (wrong, _) = self::client(&stack, "hunter2");
    let error = wrong.query("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.refusal()), (Kind::Refused, Some("invalid_credentials")), "{error}");
    assert_eq!((error.outcome(), error.code()), (Outcome::NotExecuted, Some("28P01")));
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let map = std::collections::HashMap::from([(String::from("a"), None::<String>)]);
    let error = client.query("select $1", &[&map]).await.unwrap_err();
    assert!(error.to_string().contains("parameter $1 has no text form"), "{error}");

    for (connection_string, url, part) in [
        ("https://app:hunter2@h/d", "https://h/sql", "postgresql://"),
        ("postgresql://h/d", "https://h/sql", "no role"),
        ("postgresql://app:hunter2@h/d", "https://h/query", "ends with /sql"),
    ] {
        let error = onetrip::neon::config(connection_string, url).unwrap_err();
        assert!(error.to_string().contains(part) && !format!("{error:?}").contains("hunter2"), "{error}");
    }
    let client = Neon::connect("postgres://app:hunter2@ep-x.neon.tech:5432/shop?sslmode=require").unwrap();
    assert!(
        format!("{client:?}").contains("https://ep-x.neon.tech\"")
            && !format!("{client:?}").contains("hunter2")
    );
}

/// Answers that a real proxy gave.
struct Recorded(u16, String);

impl Transport for Recorded {
    fn send(&self, _request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            Ok(Response::whole(self.0, vec![("content-type", "application/json".to_owned())], self.1.clone()))
        })
    }

    fn clock(&self) -> &dyn Clock {
        static CLOCK: std::sync::LazyLock<Native> = std::sync::LazyLock::new(Native::new);
        CLOCK.clock()
    }
}

#[tokio::test]
async fn a_real_proxys_answers_read_as_what_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors/neon.json")).unwrap();
    let mut names = Vec::new();
    for answer in vectors["answers"].as_array().unwrap() {
        let (name, body) = (answer["name"].as_str().unwrap(), &answer["body"]);
        names.push(name);
        let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
        let url = "https://ep-x.example.com/sql";
        let transport = Recorded(status, body.to_string());
        let client = Neon::client("postgresql://app:secret@ep-x.example.com/shop", url, transport).unwrap();
        let mut batch = client.batch();
        for _ in 0..answer["batch"].as_u64().unwrap().max(1) {
            batch = batch.statement("select 1", &[]);
        }
        // Of one statement the client asks without a list.
        if answer["batch"] == 1 {
            batch = batch.read_only(true);
        }
        let read = batch.commit().await;
        if status == 200 {
            let results = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            let expected = body["results"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
            assert_eq!(results.len(), expected.len(), "{name}");
            for (result, expected) in results.iter().zip(&expected) {
                assert_eq!(result.command(), expected["command"].as_str().unwrap(), "{name}");
                assert_eq!(result.row_count(), expected["rowCount"].as_u64().unwrap_or(0), "{name}");
                assert_eq!(result.rows().len(), expected["rows"].as_array().unwrap().len(), "{name}");
            }
            match name {
                "fields_metadata" => {
                    let row = &results[0].rows()[0];
                    let read: (i32, &str, Numeric, Vec<&str>, i32) = (
                        row.get("id"),
                        row.get("name"),
                        row.get("price"),
                        row.get("tags"),
                        row.get("computed"),
                    );
                    assert_eq!(read, (1, "a", "1.50".parse().unwrap(), vec!["x", "y"], 2));
                    assert_eq!(row.columns()[1].type_modifier(), 14);
                }
                "raw_bytea" => assert_eq!(results[0].rows()[0].get::<_, &[u8]>(0), [0xde, 0xad, 0xbe, 0xef]),
                "raw_timestamptz_utc_session" => {
                    let expected: NaiveDateTime = "2024-01-01T00:00:00".parse().unwrap();
                    assert_eq!(results[0].rows()[0].get::<_, NaiveDateTime>(0), expected);
                }
                _ => {}
            }
        } else {
            let error = read.unwrap_err();
            let (code, severity) = (body["code"].as_str().unwrap(), body["severity"].as_str().unwrap());
            let kind = if code.is_empty() || severity == "FATAL" { Kind::Refused } else { Kind::Sql };
            assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotExecuted), "{name}: {error}");
            assert!(error.to_string().contains(body["message"].as_str().unwrap()), "{name}: {error}");
            assert_eq!(error.code().unwrap_or_default(), code, "{name}");
        }
    }
    assert!(names.len() > 12, "{names:?}");
}

#[tokio::test]
async fn a_session_that_the_server_gave_up_may_have_run_the_statement() {
    for (sqlstate, refusal, outcome) in [
        ("57P01", "connection_lost", Outcome::Unknown),
        ("57P03", "database_unreachable", Outcome::NotExecuted),
    ] {
        let body = serde_json::json!({ "message": "going away", "code": sqlstate, "severity": "FATAL" });
        let url = "https://ep-x.example.com/sql";
        let transport = Recorded(400, body.to_string());
        let client = Neon::client("postgresql://app:secret@ep-x.example.com/shop", url, transport).unwrap();
        let error = client.execute("update t set n = n + 1", &[]).await.unwrap_err();
        assert_eq!((error.refusal(), error.outcome()), (Some(refusal), outcome), "{sqlstate}: {error}");
        assert_eq!(error.code(), Some(sqlstate));
    }
}
