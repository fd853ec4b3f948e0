//! Brokers that go away, cables that are cut, and certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use muster::adapters::fedora_messaging::consumer::Event;
use muster::adapters::fedora_messaging::publisher::Publisher;
use muster::adapters::fedora_messaging::settings::Tls;
use muster::clock::Clock;
use muster::port::{Fault, Port};
use muster::program::Program;
use muster_flow::step::StepKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::rustls;

use super::bench::{Bench, Hold, manage, ordinary, variable};
use super::publishing::ended;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_in_the_middle_costs_nothing() {
    let Some(manage) = manage() else { return };
    let Some(bench) = Bench::new(&Hold::Alone) else { return };
    bench.declare().await;
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let collector = bench.collect();
    let (sent, is_back) = (AtomicUsize::new(0), AtomicBool::new(false));
    let restart = async {
        while sent.load(Ordering::Relaxed) < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Program::new(&manage).arg("restart").limit(Duration::from_mins(2)).run().await.unwrap();
        is_back.store(true, Ordering::Relaxed);
    };
    // One message after the other: before the broker goes, while it is away, and when it is back.
    let publish = async {
        let (mut refused, mut after) = (0, 0);
        while after < 5 {
            let step = StepKey(format!("cloud-base/1/announce/{}", sent.load(Ordering::Relaxed)));
            let is_back = is_back.load(Ordering::Relaxed);
            match publisher.ensure(&step, &ended()).await {
                Ok(_) => {
                    sent.fetch_add(1, Ordering::Relaxed);
                    after += usize::from(is_back);
                }
                // As the engine does it: a fault that may pass is tried again.
                Err(Fault::Retry(_) | Fault::Away(_)) => refused += 1,
                Err(Fault::NotYet(reason) | Fault::GiveUp(reason)) => panic!("{reason}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        refused
    };
    let (refused, ()) = tokio::join!(publish, restart);
    assert!(refused > 0, "the broker was never away");
    let sent = sent.into_inner();
    collector.until("all messages", |collected| collected.messages.len() == sent).await;
    let collected = collector.end().await;
    assert!(
        collected.events.iter().any(|event| matches!(event, Event::Lost(..))),
        "the broker never went away"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cable_that_is_cut_costs_nothing() {
    let Some(mut bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let raw = bench.raw().await;
    let proxy = Proxy::to(&bench.settings.amqp_url, None).await;
    bench.settings.amqp_url = proxy.address(&bench.settings.amqp_url);
    let collector = bench.collect();
    for number in 0..60 {
        raw.send("some.topic", b"{}", ordinary(&format!("id-{number}"))).await;
        if number % 20 == 10 {
            proxy.cut().await;
        }
    }
    collector.until("all messages", |collected| collected.messages.len() == 60).await;
    let collected = collector.end().await;
    let lost = collected.events.iter().filter(|event| matches!(event, Event::Lost(..))).count();
    assert!(lost > 0, "no cut was felt: {:?}", collected.events);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(raw.waiting().await, 0, "something was not acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_known_by_its_certificate_and_we_by_ours() {
    let Some(mut bench) = Bench::new(&Hold::Shared) else { return };
    bench.declare().await;
    let folder = bench.folder.path().to_owned();
    certificates(&folder).await;
    let proxy = Proxy::to(&bench.settings.amqp_url, Some(acceptor(&folder))).await;
    let address = proxy.address(&bench.settings.amqp_url).replacen("amqp:", "amqps:", 1);
    // The proxy checks certificates; the broker behind it knows only passwords.
    bench.settings.amqp_url =
        format!("{}?auth_mechanism=plain", address.replacen("127.0.0.1", "localhost", 1));
    let key = StepKey("cloud-base/1/announce/ended".to_owned());

    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let fault = publisher.ensure(&key, &ended()).await.unwrap_err().to_string();
    assert!(fault.contains("UnknownIssuer"), "a stranger's certificate was believed: {fault}");

    bench.settings.tls.ca_cert = Some(folder.join("ca.pem"));
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let fault = publisher.ensure(&key, &ended()).await.unwrap_err().to_string();
    assert!(fault.contains("ertificate"), "we were let in without a certificate: {fault}");

    bench.settings.tls = Tls {
        ca_cert: Some(folder.join("ca.pem")),
        certfile: Some(folder.join("client.pem")),
        keyfile: Some(folder.join("client.key")),
    };
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    publisher.ensure(&key, &ended()).await.unwrap();
    let collector = bench.collect();
    collector.until("the message", |collected| collected.messages.len() == 1).await;
    collector.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_knows_us_by_our_certificate_and_no_password() {
    let Some(mut bench) = Bench::new(&Hold::Shared) else { return };
    let (Some(address), Some(folder)) = (variable("MUSTER_TEST_AMQPS"), variable("MUSTER_TEST_CERTIFICATES"))
    else {
        return;
    };
    bench.declare().await;
    let folder = Path::new(&folder);
    bench.settings.amqp_url = address;
    let tls = |name: &str| Tls {
        ca_cert: Some(folder.join("ca.pem")),
        certfile: Some(folder.join(format!("{name}.pem"))),
        keyfile: Some(folder.join(format!("{name}.key"))),
    };
    let key = StepKey("cloud-base/1/announce/ended".to_owned());
    // The same authority has signed it, and the broker has no user by this name.
    bench.settings.tls = tls("stranger");
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    let fault = publisher.ensure(&key, &ended()).await.unwrap_err().to_string();
    assert!(fault.contains("ACCESS_REFUSED") || fault.contains("ACCESS-REFUSED"), "{fault}");

    bench.settings.tls = tls("guest");
    let publisher = Publisher::new(bench.settings.clone(), Clock::system());
    publisher.ensure(&key, &ended()).await.unwrap();
    let collector = bench.collect();
    collector.until("the message", |collected| collected.messages.len() == 1).await;
    collector.end().await;
}

/// A way to the broker that can be cut.
struct Proxy {
    here: SocketAddr,
    lines: Arc<tokio::sync::Mutex<JoinSet<()>>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    async fn to(amqp_url: &str, tls: Option<tokio_rustls::TlsAcceptor>) -> Proxy {
        let there = host_and_port(amqp_url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let lines = Arc::new(tokio::sync::Mutex::new(JoinSet::new()));
        let of_listener = lines.clone();
        let listening = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (there, tls) = (there.clone(), tls.clone());
                of_listener.lock().await.spawn(async move {
                    let Ok(far) = TcpStream::connect(&there).await else { return };
                    match tls {
                        None => copy(near, far).await,
                        Some(tls) => {
                            if let Ok(near) = tls.accept(near).await {
                                copy(near, far).await;
                            }
                        }
                    }
                });
            }
        });
        Proxy { here, lines, listening }
    }

    fn address(&self, amqp_url: &str) -> String {
        amqp_url.replacen(host_and_port(amqp_url), &self.here.to_string(), 1)
    }

    async fn cut(&self) {
        self.lines.lock().await.shutdown().await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn copy(mut near: impl AsyncRead + AsyncWrite + Unpin, mut far: TcpStream) {
    // A cut line is what this is for.
    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
}

fn host_and_port(amqp_url: &str) -> &str {
    let rest = amqp_url.split_once("://").unwrap().1;
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap()
}

/// An authority, and a certificate each for the broker and for us.
async fn certificates(folder: &Path) {
    let script = r"
        set -e
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj '/CN=Test Authority' -keyout ca.key -out ca.pem
        for name in localhost client; do
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
                -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=DNS:%s\n' $name >$name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                -extfile $name.ext -out $name.pem
        done";
    Program::new("sh").args(["-c", script]).folder(folder).run().await.unwrap();
}

/// Lets in only those whose certificate the authority signed.
fn acceptor(folder: &Path) -> tokio_rustls::TlsAcceptor {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    // It fails only when another test of this process has done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = |name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
    let mut authorities = rustls::RootCertStore::empty();
    authorities.add(certificate("ca.pem")).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(authorities)).build().unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate("localhost.pem")],
            PrivateKeyDer::from_pem_file(folder.join("localhost.key")).unwrap(),
        )
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}
