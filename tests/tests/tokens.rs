//! JSON Web Tokens in place of passwords, in both profiles: what is taken, what is refused, and what SQL sees of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

mod conformance_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use conformance_support::{Endpoint, cases, check_exchange};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use onetrip_tests::http::{self, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MODULUS: &str = "k2407Dmj2Eot9SXJGIRC6mn4dhOAwphiGwxQvQctDtIRC7SSylFUbX14RLr8_2lVcQSv-MT2mDyiipkKDzMlHRudAc8YzPFeH9g2SroBdfJqLzdajf8t5OkDG8s5110kOJYWl3aT5CUDN8BOwxbDeeFa_APt8Ll0gr_r57IyRGuGl1UwVVh8HJ5i80y5ro8mUzy5XBhuT-uWU8YNFS-xOe6hnx-Tdu6ZU2s95lB382lXtsk7LvRsFjn6oTMVM9pblxCRoseP-xZRdlRa6CaMPfUkOsn2yX_ydq3zxgiEOOMv0Clv1ckWEvI_wbrpy5W1LaOrqeijE5m2xSfmyHZeQQ";

fn signing_key() -> EncodingKey {
    let text: String = include_str!("../conformance/signing-key.txt").split_whitespace().collect();
    EncodingKey::from_rsa_der(&STANDARD.decode(text).unwrap())
}

fn public_key(id: &str) -> Value {
    json!({"kty": "RSA", "kid": id, "alg": "RS256", "use": "sig", "n": MODULUS, "e": "AQAB"})
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign(id: &str, claims: &Value) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, claims, &signing_key()).unwrap()
}

/// A token of another header, signed as the caller likes.
fn forge(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.to_string(), claims.to_string());
    format!("{}.{}.{}", part(header.as_bytes()), part(claims.as_bytes()), part(signature))
}

/// An issuer's key set over HTTP, which can be changed, and how often it was asked for.
struct Issuer {
    url: String,
    keys: Arc<Mutex<Value>>,
    asked: Arc<AtomicU64>,
}

impl Issuer {
    async fn start(keys: Value) -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let (keys, asked) = (Arc::new(Mutex::new(keys)), Arc::new(AtomicU64::new(0)));
        let (served, counted) = (keys.clone(), asked.clone());
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let body = served.lock().unwrap().to_string();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Issuer { url, keys, asked }
    }
}

async fn endpoint(settings: &str) -> Endpoint {
    let endpoint = Endpoint::start(&format!(
        "[databases.postgres.jwt]\nroles = [\"authenticated:open sesame\", \"anon:anonymous\"]\n{settings}"
    ))
    .await;
    let roles = "do $$ begin
        create role authenticated login password 'open sesame';
        create role anon login password 'anonymous';
        exception when duplicate_object or unique_violation then null; end $$";
    endpoint.administrator.batch_execute(roles).await.unwrap();
    endpoint
}

async fn query(endpoint: &Endpoint, role: &str, token: &str, body: &Value) -> Response {
    let connection = format!("postgresql://{role}@any.host/postgres");
    let authorization = format!("Bearer {token}");
    let headers = [("neon-connection-string", connection.as_str()), ("authorization", &authorization)];
    let body = body.to_string().into_bytes();
    http::send(endpoint.gateway.address(), "POST", "/sql", &headers, body).await.unwrap()
}

#[tokio::test]
async fn every_case_of_tokens_is_answered_as_clients_expect() {
    let issuer = Issuer::start(json!({"keys": [public_key("a")]})).await;
    let endpoint = endpoint(&format!("jwks_url = \"{}\"", issuer.url)).await;
    let cases = cases("jwt.json");
    assert_eq!(cases.len(), 5, "a case is missing");
    let with_sub = json!({"sub": "user1", "exp": now() + 600});
    let tokens = |header: &str| {
        let Some(wanted) = header.strip_prefix("Bearer ") else { return header.to_owned() };
        let token = match wanted {
            "<RS256 JWT, sub=user1, exp in the future>" => sign("a", &with_sub),
            "<RS256 JWT without sub>" => sign("a", &json!({"exp": now() + 600})),
            "<kid not in JWKS>" => sign("unknown", &with_sub),
            "<signature altered>" => {
                let token = sign("a", &with_sub);
                let (signed, signature) = token.rsplit_once('.').unwrap();
                let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                signature[10] ^= 1;
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
            }
            other => panic!("a token that the test cannot make: {other}"),
        };
        format!("Bearer {token}")
    };
    for case in &cases {
        check_exchange(&endpoint, case, &tokens).await.unwrap();
    }
}

#[tokio::test]
async fn the_claims_of_a_token_reach_row_level_security_and_no_other_request() {
    let issuer = Issuer::start(json!({"keys": [public_key("a")]})).await;
    let endpoint = endpoint(&format!("jwks_url = \"{}\"", issuer.url)).await;
    let table = "drop table if exists token_notes; create table token_notes (owner text, body text);
        alter table token_notes enable row level security;
        create policy own on token_notes using (owner = nullif(current_setting('request.jwt.claims', true), '')::json->>'sub');
        grant select on token_notes to authenticated;
        insert into token_notes values ('ada', 'of Ada'), ('grace', 'of Grace')";
    endpoint.administrator.batch_execute(table).await.unwrap();
    let token = |sub: &str| sign("a", &json!({"sub": sub, "exp": now() + 600, "z": 1, "a": [2]}));
    let select = json!({"query": "select body from token_notes order by body"});
    for (sub, body) in [("ada", "of Ada"), ("grace", "of Grace"), ("ada", "of Ada")] {
        let answer = query(&endpoint, "authenticated", &token(sub), &select).await;
        assert_eq!(
            answer.json()["rows"],
            json!([{"body": body}]),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }
    // A batch with a failure, and one whose statement cannot stand behind another one.
    let failing = json!({"queries": [{"query": "select 1"}, {"query": "select 1/0"}]});
    assert_eq!(query(&endpoint, "authenticated", &token("ada"), &failing).await.json()["code"], "22012");
    let isolation = json!({"query": "set transaction isolation level serializable"});
    assert_eq!(query(&endpoint, "authenticated", &token("ada"), &isolation).await.status, 200);
    // Claims of a connection string do not stand in for a token's.
    let authorization = format!("Bearer {}", token("ada"));
    let forged = "postgresql://authenticated@h/postgres?options=-c%20request.jwt.claims%3D%7B%22sub%22%3A%22grace%22%7D";
    let headers = [("neon-connection-string", forged), ("authorization", &authorization)];
    let body = select.to_string().into_bytes();
    let answer = http::send(endpoint.gateway.address(), "POST", "/sql", &headers, body).await.unwrap();
    assert_eq!(answer.json()["rows"], json!([{"body": "of Ada"}]));

    // The same role by its password, on the same pooled connections: no claims are left.
    let headers = [("neon-connection-string", "postgresql://authenticated:open%20sesame@h/postgres")];
    for _ in 0..5 {
        let body = select.to_string().into_bytes();
        let answer = http::send(endpoint.gateway.address(), "POST", "/sql", &headers, body).await.unwrap();
        assert_eq!(
            (answer.status, &answer.json()["rows"]),
            (200, &json!([])),
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
    }

    // Profile 1: the first role, one statement, a batch, and several groups.
    let bearer = format!("Bearer {}", token("grace"));
    for request in [
        json!({"sql": "select current_user as who, current_setting('request.jwt.claims')::json->>'sub' as sub"}),
        json!({"batch": [{"sql": "select current_user as who, current_setting('request.jwt.claims')::json->>'sub' as sub"}]}),
    ] {
        let answer =
            endpoint.gateway.pipeline_as(&bearer, "postgres", request.to_string().into_bytes()).await;
        let answer = answer.json();
        let rows = answer.get("rows").unwrap_or_else(|| &answer["results"][0]["rows"]);
        assert_eq!(rows, &json!([{"who": "authenticated", "sub": "grace"}]), "{answer}");
    }
}

#[tokio::test]
async fn a_client_cannot_give_itself_claims_where_they_are_signed() {
    const KEY: &str = "a key of these tests that is long enough";
    let issuer = Issuer::start(json!({"keys": [public_key("a")]})).await;
    let endpoint = endpoint(&format!("jwks_url = \"{}\"\nclaims_key = \"{KEY}\"", issuer.url)).await;
    let script = include_str!("../../gateway/claims.sql").replace("'KEY'", &format!("'{KEY}'"));
    let administrator = &endpoint.administrator;
    administrator.batch_execute("drop schema if exists claims cascade").await.unwrap();
    administrator.batch_execute(&script).await.unwrap();
    let token = sign("a", &json!({"sub": "ada", "exp": now() + 600}));
    let verified = "select claims.verified()->>'sub' as sub";
    let answer = query(&endpoint, "authenticated", &token, &json!({ "query": verified })).await;
    assert_eq!(answer.json()["rows"], json!([{"sub": "ada"}]), "{}", answer.json());
    let forged = json!({"queries": [
        {"query": "select set_config('request.jwt.claims', '{\"sub\": \"grace\", \"exp\": 9999999999}', false)"},
        {"query": verified},
    ]});
    let answer = query(&endpoint, "authenticated", &token, &forged).await;
    assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("28000")), "{}", answer.json());
    let key = query(&endpoint, "authenticated", &token, &json!({"query": "select * from claims.key"})).await;
    assert_eq!(key.json()["code"], "42501");
    administrator.batch_execute("drop schema claims cascade").await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused() {
    let issuer = Issuer::start(
        json!({"keys": [public_key("a"), {"kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256"}]}),
    )
    .await;
    let settings = format!(
        "jwks_url = \"{}\"\nissuer = \"https://issuer.example\"\naudience = [\"shop\", \"web\"]\nrole_claim = \"role\"\nclock_skew = \"20s\"",
        issuer.url
    );
    let endpoint = endpoint(&settings).await;
    let good = json!({"iss": "https://issuer.example", "aud": ["web"], "role": "authenticated", "exp": now() + 600, "sub": "x"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let one = json!({"query": "select 1 as one"});
    let within_the_skew = with("exp", json!(now() - 5));
    for claims in [&good, &with("aud", json!("shop")), &within_the_skew, &with("nbf", json!(now() + 5))] {
        let answer = query(&endpoint, "authenticated", &sign("a", claims), &one).await;
        assert_eq!(answer.status, 200, "{claims}: {}", String::from_utf8_lossy(&answer.body));
    }
    let modulus = URL_SAFE_NO_PAD.decode(MODULUS).unwrap();
    let hmac = |secret: &[u8], id: &str| {
        let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap()
    };
    let ps256 = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::PS256) };
    for (token, expected) in [
        (sign("a", &with("exp", json!(now() - 60))), "expired"),
        (sign("a", &with("nbf", json!(now() + 60))), "not valid yet"),
        (sign("a", &with("iss", json!("https://other.example"))), "another issuer"),
        (sign("a", &with("aud", json!("other"))), "another audience"),
        (sign("a", &json!({"role": "authenticated", "exp": now() + 600})), "no exp, or not"),
        (sign("a", &with("exp", Value::Null)), "no exp, or not"),
        (sign("a", &with("role", json!("anon"))), "another role"),
        (sign("a", &with("role", json!("postgres"))), "another role"),
        (sign("a", &with("role", json!(7))), "claim that names its role"),
        // No algorithm but its key's, and no key that anybody could have.
        (forge(&json!({"alg": "none", "kid": "a"}), &good, b""), "not a JSON Web Token"),
        (forge(&json!({"alg": "None", "kid": "a"}), &good, b"x"), "not a JSON Web Token"),
        (hmac(MODULUS.as_bytes(), "a"), "not one of its key"),
        (hmac(&modulus, "a"), "not one of its key"),
        (hmac(b"secret", "secret"), "jwk not found"),
        (jsonwebtoken::encode(&ps256, &good, &signing_key()).unwrap(), "not one of its key"),
        ("abc".to_owned(), "not a JSON Web Token"),
        ("a.b.c".to_owned(), "not a JSON Web Token"),
        ("x".repeat(20_000), "longer than"),
    ] {
        let answer = query(&endpoint, "authenticated", &token, &one).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, 400, "{expected}: {message}");
        assert!(message.contains(expected), "{expected}: {message}");
        let bearer = format!("Bearer {token}");
        if !expected.contains("another role") {
            let body = br#"{"sql": "select 1"}"#.to_vec();
            let answer = endpoint.gateway.pipeline_as(&bearer, "postgres", body).await;
            assert_eq!(answer.status, 401, "{expected}");
        }
    }
    let answer = query(&endpoint, "postgres", &sign("a", &good), &one).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_key_that_is_new_is_fetched_and_a_made_up_one_does_not_make_the_endpoint_ask_again() {
    let issuer = Issuer::start(json!({"keys": [public_key("old")]})).await;
    let endpoint = endpoint(&format!("jwks_url = \"{}\"", issuer.url)).await;
    let claims = json!({"exp": now() + 600});
    let one = json!({"query": "select 1 as one"});
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 0, "nothing is fetched before it is needed");
    for _ in 0..3 {
        assert_eq!(query(&endpoint, "anon", &sign("old", &claims), &one).await.status, 200);
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    for made_up in 0..20 {
        let answer = query(&endpoint, "anon", &sign(&format!("made up {made_up}"), &claims), &one).await;
        assert_eq!(answer.json()["message"], "jwk not found");
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "asked a moment ago");
    *issuer.keys.lock().unwrap() = json!({"keys": [public_key("new")]});
    assert_eq!(query(&endpoint, "anon", &sign("old", &claims), &one).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_the_endpoints_fault_and_passes() {
    let issuer = Issuer::start(json!("no key set")).await;
    let endpoint = endpoint(&format!("jwks_url = \"{}\"", issuer.url)).await;
    let one = json!({"query": "select 1 as one"});
    let token = sign("a", &json!({"exp": now() + 600}));
    let answer = query(&endpoint, "anon", &token, &one).await;
    assert_eq!(answer.status, 502, "{}", String::from_utf8_lossy(&answer.body));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn wrong_passwords_are_bound_and_the_right_one_in_use_is_not() {
    let endpoint = Endpoint::start("").await;
    let create = "do $$ begin create role guessed login password 'right'; \
                  exception when duplicate_object or unique_violation then null; end $$";
    endpoint.administrator.batch_execute(create).await.unwrap();
    let send = async |password: &str| {
        let connection = format!("postgresql://guessed:{password}@h/postgres");
        let headers = [("neon-connection-string", connection.as_str())];
        let body = br#"{"query": "select 1"}"#.to_vec();
        http::send(endpoint.gateway.address(), "POST", "/sql", &headers, body).await.unwrap()
    };
    assert_eq!(send("right").await.status, 200);
    let mut refused = 0;
    for guess in 0..15 {
        let answer = send(&format!("wrong{guess}")).await;
        match answer.status {
            400 => assert_eq!(answer.json()["code"], "28P01"),
            429 => {
                refused += 1;
                assert!(answer.header("retry-after").parse::<u32>().unwrap() <= 61);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused, 5);
    assert_eq!(send("right").await.status, 200, "a password in use is no guess");
}
