//! TLS on both sides: to PostgreSQL by each sslmode, and to clients with ALPN.

use std::path::PathBuf;
use std::sync::Arc;

use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use onetrip_embedded_postgres::{Options, Postgres, Tls};
use onetrip_wire::representation::JSON;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Endpoint, collect, postgres, start_postgres};

const ONE: &str = r#"{"sql": "select 1 as a"}"#;

/// A certificate authority, and a certificate that it made for a host.
pub struct Authority {
    root_pem: String,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new(host: &str) -> Authority {
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(Vec::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(root, root_key);
        let certificate =
            CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Authority { root_pem, certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root_pem.as_bytes()).unwrap()).unwrap();
        roots
    }

    /// A connection by TLS to a `localhost` whose certificate this authority has made.
    pub async fn connect(
        &self,
        address: std::net::SocketAddr,
        protocol: &str,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    fn postgres(&self) -> Postgres {
        let tls = Tls { certificate_pem: self.certificate_pem.clone(), key_pem: self.key_pem.clone() };
        let lines = ["hostssl all clear 127.0.0.1/32 password", "hostssl all all 127.0.0.1/32 scram-sha-256"];
        start_postgres(Options::for_tests().tls(tls).host_based_authentication(lines))
    }
}

/// A file that is gone with the test.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, text: &str) -> TemporaryFile {
        let path = std::env::temp_dir().join(format!("onetrip-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        TemporaryFile(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sslmode_verifies_what_libpq_would() {
    // The certificate names localhost; the endpoint connects to 127.0.0.1.
    let authority = Authority::new("localhost");
    let server = authority.postgres();
    let root = TemporaryFile::new("root.pem", &authority.root_pem);
    let other = TemporaryFile::new("other.pem", &Authority::new("localhost").root_pem);
    let itself = TemporaryFile::new("itself.pem", &authority.certificate_pem);
    let (root, other, itself) = (root.0.display(), other.0.display(), itself.0.display());
    for (host, query, expected) in [
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={root}"), true),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={root}"), false),
        ("localhost", format!("sslmode=verify-full&sslrootcert={root}"), true),
        ("localhost", format!("sslmode=verify-full&sslrootcert={itself}"), true),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), false),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={other}"), false),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={other}"), false),
        // pg_hba.conf has no line for connections without TLS.
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
    ] {
        let url = format!("postgresql://{host}:{}/postgres?{query}", server.port());
        let endpoint = Endpoint::start(&format!("listen = '127.0.0.1:0'\ndatabases.app.url = '{url}'")).await;
        let caller = endpoint.caller(server.superuser(), server.password());
        let reply =
            caller.json(r#"{"sql": "select ssl from pg_stat_ssl where pid = pg_backend_pid()"}"#).await;
        if expected {
            assert_eq!(reply.value()["rows"][0]["ssl"], true, "{host} {query}");
        } else if query == "sslmode=disable" {
            assert_eq!(reply.problem(401, "invalid_credentials")["sqlstate"], "28000");
        } else {
            reply.problem(502, "database_unreachable");
        }
    }
}

/// Ends the TLS of whoever connects with a certificate of its own, and speaks TLS to PostgreSQL: all it lacks to read
/// along is the password. Returns its port.
async fn man_in_the_middle(authority: &Authority, postgres_port: u16) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(authority.certificate_pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(authority.key_pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root_pem.as_bytes()).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (acceptor, connector) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut victim, _)) = listener.accept().await {
            let mut request = [0; 8];
            victim.read_exact(&mut request).await.unwrap();
            victim.write_all(b"S").await.unwrap();
            let mut victim = acceptor.accept(victim).await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", postgres_port)).await.unwrap();
            server.write_all(&request).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'S');
            let name = ServerName::try_from("localhost").unwrap();
            let mut server = connector.connect(name, server).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut victim, &mut server).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_gives_a_man_in_the_middle_away() {
    let authority = Authority::new("localhost");
    let server = authority.postgres();
    let direct = Endpoint::with(&server, "", "sslmode=require", "").await;
    assert_eq!(direct.owner().value("select 1").await, 1);
    let (port, same) =
        (man_in_the_middle(&authority, server.port()).await, authority_with_another_certificate(&authority));
    let other = man_in_the_middle(&same, server.port()).await;
    // With the very certificate of the server nobody could tell; with any other one SCRAM does not work out, although
    // sslmode=require verifies nothing.
    for (port, expected) in [(port, true), (other, false)] {
        let url = format!("postgresql://127.0.0.1:{port}/postgres?sslmode=require");
        let endpoint = Endpoint::start(&format!("listen = '127.0.0.1:0'\ndatabases.app.url = '{url}'")).await;
        let reply = endpoint.caller(server.superuser(), server.password()).json(ONE).await;
        if expected {
            assert_eq!(reply.status, 200, "{}", reply.text());
        } else {
            assert_eq!(reply.problem(401, "invalid_credentials")["sqlstate"], "28000");
        }
    }
}

/// Trusts the same root, shows a certificate that another one made.
fn authority_with_another_certificate(authority: &Authority) -> Authority {
    Authority { root_pem: authority.root_pem.clone(), ..Authority::new("localhost") }
}

#[tokio::test(flavor = "multi_thread")]
async fn clear_text_is_fine_over_tls_and_a_wrong_password_is_wrong() {
    let server = Authority::new("localhost").postgres();
    let endpoint = Endpoint::with(&server, "", "sslmode=require", "").await;
    let wrong = endpoint.caller(&endpoint.role, "wrong").json(ONE).await.problem(401, "invalid_credentials");
    assert_eq!(wrong["sqlstate"], "28P01");
    endpoint.owner().rows("create role clear login password 'sesame'").await;
    assert_eq!(endpoint.caller("clear", "sesame").value("select 1").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_and_a_large_request_pass_through_tls() {
    let server = Authority::new("localhost").postgres();
    let endpoint = Endpoint::with(&server, "", "sslmode=require", "pool_size = 1").await;
    let owner = endpoint.owner();
    let text = "x".repeat(4 << 20);
    let body = serde_json::json!({ "sql": "select $1 || $1 as a", "params": [text] }).to_string();
    let value = owner.json(&body).await.value();
    assert_eq!(value["rows"][0]["a"].as_str().unwrap().len(), 8 << 20);
    let pid = owner.value("select pg_backend_pid()").await;
    assert_eq!(owner.value("select pg_backend_pid()").await, pid, "a TLS connection is used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_used_only_where_that_is_allowed() {
    let url = |query: &str| format!("postgresql://127.0.0.1:{}/postgres?{query}", postgres().port());
    for (query, expected) in [("sslmode=prefer", true), ("sslmode=require", false)] {
        let endpoint =
            Endpoint::start(&format!("listen = '127.0.0.1:0'\ndatabases.app.url = '{}'", url(query))).await;
        let reply = endpoint.caller(postgres().superuser(), postgres().password()).json(ONE).await;
        assert_eq!(reply.status == 200, expected, "{query}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_use_https_with_http2_or_http1() {
    let authority = Authority::new("localhost");
    let certificate = TemporaryFile::new("server.pem", &authority.certificate_pem);
    let key = TemporaryFile::new("server.key", &authority.key_pem);
    let global = format!("tls.certificate = '{}'\ntls.key = '{}'", certificate.0.display(), key.0.display());
    let endpoint = Endpoint::with(postgres(), &global, "sslmode=disable", "").await;
    for protocol in ["h2", "http/1.1"] {
        let stream = authority.connect(endpoint.address, protocol).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
        let request = endpoint.owner().request(JSON, JSON, ONE);
        let response = if protocol == "h2" {
            let (mut sender, connection) =
                http2::handshake::<_, _, Full<bytes::Bytes>>(TokioExecutor::new(), TokioIo::new(stream))
                    .await
                    .unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        assert_eq!(collect(response).await.value()["rows"][0]["a"], 1, "{protocol}");
    }
}
