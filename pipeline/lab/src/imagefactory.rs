//! An ImageFactory over real HTTP, as version 1.1.16 answers: 500 for what it does not know, and for a DELETE that names
//! no type. Images move when a test says so.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A factory on a free port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct ImageFactory {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: String,
    /// `base_image` or `target_image`.
    pub kind: &'static str,
    /// The template it was asked for with.
    pub template: String,
    /// The kickstart.
    pub install_script: String,
    /// How it stands.
    pub status: String,
    /// The kind of target.
    pub target: Option<String>,
    base: Option<String>,
    error: Option<String>,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeMap<String, Image>,
    made: usize,
    requests: Vec<String>,
    mishap: Option<Mishap>,
    consumer: Option<String>,
}

/// What can go wrong with the next request that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// An image is made, and the answer is lost.
    AnswerLost,
    /// The next request is answered 500, whatever it is.
    Breaks,
    /// After so many files that are sent whole, one ends after so many bytes.
    CutAfter(usize, usize),
}

impl ImageFactory {
    /// A factory with nothing in it.
    pub async fn start() -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(answer).with_state(state.clone());
        let server = tokio::spawn(async move {
            // It ends when the factory is dropped.
            let _ = axum::serve(listener, router).await;
        });
        Ok(ImageFactory { state, address, server })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The web server goes away.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// Only requests that are signed by this consumer are answered.
    pub fn ask_for(&self, consumer: &str) {
        self.lock().consumer = Some(consumer.to_owned());
    }

    /// The images of a kind, oldest first.
    pub fn images(&self, kind: &str) -> Vec<Image> {
        self.lock().images.values().filter(|image| image.kind == kind).cloned().collect()
    }

    /// How many requests of a method came for paths that end so.
    pub fn count(&self, method: &str, ending: &str) -> usize {
        let fits = |request: &&String| request.starts_with(method) && request.ends_with(ending);
        self.lock().requests.iter().filter(fits).count()
    }

    /// The next request that fits comes to grief.
    pub fn mishap(&self, mishap: Mishap) {
        self.lock().mishap = Some(mishap);
    }

    /// An image is done.
    pub fn finish(&self, id: &str, body: &[u8]) {
        if let Some(image) = self.lock().images.get_mut(id) {
            (image.status, image.body) = ("COMPLETE".to_owned(), body.to_vec());
        }
    }

    /// An image fails.
    pub fn fail(&self, id: &str, error: &str) {
        if let Some(image) = self.lock().images.get_mut(id) {
            (image.status, image.error) = ("FAILED".to_owned(), Some(error.to_owned()));
        }
    }

    /// Somebody deletes an image.
    pub fn lose(&self, id: &str) {
        self.lock().images.remove(id);
    }
}

impl Drop for ImageFactory {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    Shared(state): Shared<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.requests.push(format!("{method} {}", uri.path()));
    let signed = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(consumer) = &state.consumer
        && !signed.starts_with(&format!("OAuth oauth_consumer_key=\"{consumer}\""))
    {
        return (StatusCode::UNAUTHORIZED, "401 Unauthorized").into_response();
    }
    if state.mishap == Some(Mishap::Breaks) {
        state.mishap = None;
        return broken();
    }
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').skip(1).collect();
    let has_type = headers.contains_key(header::CONTENT_TYPE);
    match (&method, &path[..]) {
        (&Method::GET, []) => json_of(
            StatusCode::OK,
            &json!({ "name": "imagefactory", "version": "1.1.16-1", "api_version": "2.0" }),
        ),
        (&Method::GET, [list @ ("base_images" | "target_images")]) => {
            let kind = list.trim_end_matches('s');
            let of_kind = state.images.values().filter(|image| image.kind == kind);
            let items: Value = of_kind
                .map(|image| json!({ kind: { "_type": kind, "id": image.id, "href": "/" } }))
                .collect();
            json_of(StatusCode::OK, &json!({ *list: items }))
        }
        (&Method::GET, ["base_images" | "target_images", id]) => match state.images.get(*id) {
            Some(image) => json_of(StatusCode::OK, &json!({ image.kind: state.told(image) })),
            None => broken(),
        },
        (&Method::GET, ["base_images" | "target_images", id, "raw_image"]) => state.raw_image(id),
        (&Method::POST, ["base_images"]) => state.make("base_image", None, &body),
        (&Method::POST, ["base_images", base, "target_images"]) => {
            let base = (*base).to_owned();
            state.make("target_image", Some(base), &body)
        }
        (&Method::DELETE, ["base_images" | "target_images", id]) if has_type => {
            match state.images.remove(*id) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => broken(),
            }
        }
        _ => broken(),
    }
}

fn broken() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, "<html>500 Internal Server Error").into_response()
}

fn json_of(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

impl State {
    fn told(&self, image: &Image) -> Value {
        let targets = self.images.values().filter(|target| target.base.as_ref() == Some(&image.id));
        json!({ "_type": image.kind, "id": image.id, "href": "/", "percent_complete": 0, "icicle": null,
            "status": image.status, "status_detail": { "activity": "Installing", "error": image.error },
            "template": image.template, "properties": {}, "target": image.target,
            "parameters": { "install_script": image.install_script },
            "target_images": targets.map(|target| self.told(target)).collect::<Value>() })
    }

    fn make(&mut self, kind: &'static str, base: Option<String>, body: &[u8]) -> Response {
        let Ok(asked) = serde_json::from_slice::<Value>(body) else { return broken() };
        let asked = &asked[kind];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.made += 1;
        let image = Image {
            id: format!("00000000-0000-4000-8000-{:012}", self.made),
            kind,
            template: text(&asked["template"]),
            install_script: text(&asked["parameters"]["install_script"]),
            status: "NEW".to_owned(),
            target: asked["target"].as_str().map(str::to_owned),
            base,
            error: None,
            body: Vec::new(),
        };
        let told = self.told(&image);
        self.images.insert(image.id.clone(), image);
        if self.mishap == Some(Mishap::AnswerLost) {
            self.mishap = None;
            return broken();
        }
        json_of(StatusCode::ACCEPTED, &json!({ kind: told }))
    }

    fn raw_image(&mut self, id: &str) -> Response {
        let Some(image) = self.images.get(id).filter(|image| image.status == "COMPLETE") else {
            return broken();
        };
        let mut body = image.body.clone();
        let length = body.len();
        match self.mishap {
            Some(Mishap::CutAfter(0, bytes)) => {
                self.mishap = None;
                body.truncate(bytes);
            }
            Some(Mishap::CutAfter(whole, bytes)) => self.mishap = Some(Mishap::CutAfter(whole - 1, bytes)),
            Some(Mishap::AnswerLost | Mishap::Breaks) | None => {}
        }
        let is_cut = body.len() < length;
        let whole = stream::iter([Ok(Bytes::from(body))]);
        let cut = stream::iter(is_cut.then_some(())).then(async |()| {
            // What was sent before must be on its way.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(std::io::Error::other("the connection ends"))
        });
        let body = Body::from_stream(whole.chain(cut));
        Response::builder().header(header::CONTENT_LENGTH, length).body(body).unwrap_or_else(|_| broken())
    }
}
