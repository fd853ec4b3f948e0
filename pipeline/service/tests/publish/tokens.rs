//! A registry behind a token server: strangers get tokens to pull, the account gets tokens to push.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use muster::program::Program;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::registry::{DockerRegistry, image, release};

struct Tokens {
    folder: tempfile::TempDir,
    certificate: String,
}

#[derive(Deserialize)]
struct Ask {
    service: String,
    scope: Option<String>,
}

impl Tokens {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make =
            Program::new("openssl").folder(folder.path()).args(["req", "-x509", "-newkey", "rsa:2048"]);
        let make = make.args([
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "30",
            "-subj",
            "/CN=tokens",
        ]);
        make.run().await.unwrap();
        let pem = fs::read_to_string(folder.path().join("cert.pem")).unwrap();
        let certificate = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        Tokens { folder, certificate }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A token for what is asked, cut down to pulling when nobody says who asks.
    async fn grant(&self, ask: &Ask, may_push: bool) -> String {
        #[expect(clippy::disallowed_methods, reason = "the registry compares it with the time of day")]
        let now = Timestamp::now().as_second();
        let access: Vec<Value> = ask
            .scope
            .iter()
            .filter_map(|scope| {
                let (name, asked) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
                let granted: Vec<_> = asked.split(',').filter(|&act| act == "pull" || may_push).collect();
                Some(json!({ "type": "repository", "name": name, "actions": granted }))
            })
            .collect();
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [self.certificate] });
        let claims = json!({ "iss": "tokens", "sub": "", "aud": ask.service, "exp": now + 60, "nbf": now - 5,
            "iat": now, "jti": format!("{now}"), "access": access });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let key = self.path("key.pem");
        let sign = Program::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).input(text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(sign.run().await.unwrap().stdout))
    }
}

async fn token(
    State(tokens): State<Arc<Tokens>>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    let account = format!("Basic {}", STANDARD.encode("muster:open sesame"));
    let may_push = match headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()) {
        None => false,
        Some(said) if said == account => true,
        Some(_) => return Err(StatusCode::UNAUTHORIZED),
    };
    Ok(Json(json!({ "token": tokens.grant(&ask, may_push).await, "expires_in": 60 })))
}

#[tokio::test]
async fn tokens_are_asked_for_as_they_are_needed_by_the_account_and_by_strangers() {
    let tokens = Arc::new(Tokens::new().await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let realm = format!("http://{}/token", listener.local_addr().unwrap());
    let router = Router::new().route("/token", get(token)).with_state(tokens.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let bundle = tokens.path("cert.pem").display().to_string();
    let auth = format!(
        "auth: {{token: {{realm: \"{realm}\", service: r, issuer: tokens, rootcertbundle: {bundle}}}}}\n"
    );
    let registry = DockerRegistry::start(&auth).await;
    fs::write(tokens.path("good"), "open sesame\n").unwrap();
    fs::write(tokens.path("bad"), "open poppy\n").unwrap();
    let account =
        |file: &str| format!("username = \"muster\"\npassword_file = \"{}\"\n", tokens.path(file).display());

    let ground = Ground::new(&registry.settings(&account("good"))).await;
    let upload = release("43.20261121.0", vec![image(ground.folder.path(), "x86_64", &[vec![1; 10]])]);
    let (_, promoted) = ground.publish(&upload).await;
    assert_eq!(promoted.pointers.len(), 4);

    let other = release("43.20261122.0", vec![image(ground.folder.path(), "x86_64", &[vec![2; 10]])]);
    for settings in [String::new(), account("bad")] {
        let refused = Ground::new(&registry.settings(&settings)).await;
        let fault = refused.upload(&other).await.unwrap_err();
        assert!(matches!(fault, muster::port::Fault::GiveUp(_)), "{settings} {fault:?}");
    }
}
