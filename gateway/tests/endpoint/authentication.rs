//! Who is let in, and with which connection.

use onetrip_embedded_postgres::Options;

use crate::support::{Endpoint, postgres, start_postgres};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_and_the_right_ones_still_work() {
    let endpoint = Endpoint::shared().await;
    for (role, password) in
        [("postgres", "wrong"), ("postgres", ""), ("nobody_like_this", "wrong"), ("nobody_like_this", "")]
    {
        let reply = endpoint.caller(role, password).json(r#"{"sql": "select 1"}"#).await;
        let problem = reply.problem(401, "invalid_credentials");
        assert_eq!(problem["sqlstate"], "28P01", "{role}");
        assert_eq!(problem["retryable"], false);
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"onetrip\"");
        assert!(!reply.text().contains("127.0.0.1"), "{}", reply.text());
    }
    assert_eq!(endpoint.owner().value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_connection_is_only_for_the_password_that_opened_it() {
    let endpoint = Endpoint::shared().await;
    assert_eq!(endpoint.owner().value("select 1").await, 1);
    let stranger = endpoint.caller(&endpoint.role, "guess");
    for _ in 0..3 {
        stranger.json(r#"{"sql": "select 1"}"#).await.problem(401, "invalid_credentials");
    }
    // The guesses have not thrown the warm connection away either.
    let reply = endpoint.owner().json(r#"{"sql": "select 1"}"#).await;
    assert!(reply.header("server-timing").contains("connect;dur=0.000"), "{}", reply.header("server-timing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_learnt_from_postgresql() {
    let endpoint = Endpoint::of(postgres(), "pool_size = 2").await;
    let role = endpoint.new_role("old").await;
    assert_eq!(endpoint.caller(&role, "old").value("select 1").await, 1);
    endpoint.owner().rows(&format!("alter role {role} password 'new'")).await;
    assert_eq!(endpoint.caller(&role, "new").value("select 1").await, 1);
    endpoint.caller(&role, "old").json(r#"{"sql": "select 1"}"#).await.problem(401, "invalid_credentials");
    assert_eq!(endpoint.caller(&role, "new").value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_has_connections_of_its_own() {
    let endpoint = Endpoint::shared().await;
    let role = endpoint.new_role("sesame").await;
    assert_eq!(endpoint.owner().value("select session_user").await, "postgres");
    assert_eq!(endpoint.caller(&role, "sesame").value("select session_user").await, role.as_str());
    assert_eq!(endpoint.owner().value("select session_user").await, "postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_credentials_are_refused_before_postgresql_is_asked() {
    let endpoint = Endpoint::shared().await;
    let mut caller = endpoint.owner();
    for (header, expected) in [
        ("Bearer abc", "another scheme"),
        ("Basic !", "base64"),
        ("Basic YWRh", "no colon"),
        ("x", "must be"),
    ] {
        caller.authorization = header.to_owned();
        let problem = caller.json(r#"{"sql": "select 1"}"#).await.problem(401, "invalid_credentials");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
        assert!(problem.get("sqlstate").is_none());
    }
    let mut request = caller.request("application/json", "*/*", r#"{"sql": "select 1"}"#);
    request.headers_mut().remove("authorization");
    let problem = caller.send(request).await.problem(401, "invalid_credentials");
    assert!(problem["detail"].as_str().unwrap().contains("no Authorization header"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn md5_and_clear_text_and_trust_are_what_pg_hba_says() {
    let server = start_postgres(
        Options::for_tests().setting("password_encryption", "md5").host_based_authentication([
            "host all clear 127.0.0.1/32 password",
            "host all trusted 127.0.0.1/32 trust",
            "host all refused 127.0.0.1/32 reject",
            "host all postgres 127.0.0.1/32 scram-sha-256",
            "host all all 127.0.0.1/32 md5",
        ]),
    );
    let endpoint = Endpoint::of(&server, "").await;
    let owner = endpoint.owner();
    for role in ["hashed", "clear", "trusted", "refused"] {
        owner.rows(&format!("create role {role} login password 'pässword'")).await;
    }
    let secret = owner.value("select rolpassword from pg_authid where rolname = 'hashed'").await;
    assert!(secret.as_str().unwrap().starts_with("md5"), "the role has an MD5 password: {secret}");

    assert_eq!(endpoint.caller("hashed", "pässword").value("select 1").await, 1);
    let one = r#"{"sql": "select 1"}"#;
    let wrong = endpoint.caller("hashed", "x").json(one).await.problem(401, "invalid_credentials");
    assert_eq!(wrong["sqlstate"], "28P01");
    let clear = endpoint.caller("clear", "pässword").json(one).await.problem(502, "database_unreachable");
    assert!(clear["detail"].as_str().unwrap().contains("clear text without TLS"), "{clear}");
    let trusted = endpoint.caller("trusted", "anything").json(one).await.problem(403, "forbidden");
    assert!(trusted["detail"].as_str().unwrap().contains("allow_trust"), "{trusted}");
    let refused = endpoint.caller("refused", "pässword").json(one).await.problem(401, "invalid_credentials");
    assert_eq!(refused["sqlstate"], "28000");

    let trusting = Endpoint::of(&server, "allow_trust = true").await;
    assert_eq!(trusting.caller("trusted", "anything").value("select session_user").await, "trusted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_connect_and_a_database_that_is_not_there_are_forbidden() {
    let server = start_postgres(Options::for_tests());
    let endpoint = Endpoint::of(&server, "").await;
    let role = endpoint.new_role("sesame").await;
    endpoint.owner().rows("revoke connect on database postgres from public").await;
    let reply = endpoint.caller(&role, "sesame").json(r#"{"sql": "select 1"}"#).await;
    assert_eq!(reply.problem(403, "forbidden")["sqlstate"], "42501");

    let toml = format!(
        "listen = '127.0.0.1:0'\n[databases.app]\nurl = 'postgresql://127.0.0.1:{}/not_there'",
        server.port()
    );
    let endpoint = Endpoint::start(&toml).await;
    let reply = endpoint.caller("postgres", server.password()).json(r#"{"sql": "select 1"}"#).await;
    assert_eq!(reply.problem(403, "forbidden")["sqlstate"], "3D000");
}
