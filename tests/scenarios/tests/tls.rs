//! The native transport over TLS: HTTP/2 and HTTP/1.1 by what the server offers, and certificates that are checked.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onetrip::transport::Native;
use onetrip::{Client, Config, Kind, Outcome};
use onetrip_tests::Stack;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A TLS server in front of the gateway, which tells HTTP/2 from HTTP/1.1 by the first bytes.
struct Front {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    connections: Arc<AtomicUsize>,
}

impl Front {
    async fn start(gateway: SocketAddr, protocol: &str) -> Front {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let mut tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .unwrap();
        tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let (acceptor, listener) =
            (TlsAcceptor::from(Arc::new(tls)), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (address, connections) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counter = connections.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), counter.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(connection).await else { return };
                    counter.fetch_add(1, Ordering::Relaxed);
                    let mut gateway = TcpStream::connect(gateway).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut gateway).await;
                });
            }
        });
        Front { address, certificate, connections }
    }

    fn config(&self, stack: &Stack) -> Config {
        let (role, password) = (&stack.database.name, &stack.database.password);
        let port = self.address.port();
        format!("https://{role}:{password}@localhost:{port}/{role}").parse().unwrap()
    }

    fn trusted(&self) -> Native {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Native::with_tls(tls)
    }
}

#[tokio::test]
async fn queries_at_once_share_one_http_2_connection() {
    let stack = Stack::start("").await;
    let front = Front::start(stack.gateway.address(), "h2").await;
    let client = Client::with_transport(front.config(&stack), front.trusted());
    client.query_one("select 0", &[]).await.unwrap();
    let calls: Vec<_> = (0..20i32)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                client.query_one("select $1::int4", &[&number]).await.unwrap().get::<_, i32>(0)
            })
        })
        .collect();
    for (number, call) in (0..).zip(calls) {
        assert_eq!(call.await.unwrap(), number);
    }
    assert_eq!(front.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn http_1_1_over_tls_is_used_where_the_server_offers_no_more() {
    let stack = Stack::start("").await;
    let front = Front::start(stack.gateway.address(), "http/1.1").await;
    let client = Client::with_transport(front.config(&stack), front.trusted());
    for number in 0..5i32 {
        assert_eq!(client.query_one("select $1::int4", &[&number]).await.unwrap().get::<_, i32>(0), number);
    }
    assert_eq!(front.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_before_credentials_are_sent() {
    let stack = Stack::start("").await;
    let front = Front::start(stack.gateway.address(), "h2").await;
    let client = Client::new(front.config(&stack));
    let error = client.query_one("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Unreachable, Outcome::NotExecuted), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(front.connections.load(Ordering::Relaxed), 0);
}
