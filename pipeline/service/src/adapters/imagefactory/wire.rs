//! Requests and answers of the REST API, version 2.
//!
//! It answers 500 where others answer 404, so that what is gone is told by the list of what there is. Every request
//! names JSON, also one without a body: without it the server stumbles.

use anyhow::{Context, Result};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Settings;
use super::oauth::{self, Signer};
use crate::clock::Clock;
use crate::http;
use crate::port::Fault;

/// The largest answer that is read: an image's, with its template and what was installed.
const LARGEST: usize = 32 << 20;

/// How much of an error is shown.
const SHOWN: usize = 300;

/// A kind of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Base,
    Target,
}

impl Kind {
    fn member(self) -> &'static str {
        match self {
            Kind::Base => "base_image",
            Kind::Target => "target_image",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Kind::Base => "base_images",
            Kind::Target => "target_images",
        }
    }
}

/// How an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    New,
    Pending,
    Building,
    Complete,
    Failed,
    Deleting,
    Deleted,
    #[serde(rename = "DELETEFAILED")]
    DeleteFailed,
}

impl State {
    /// Whether it is no image any more.
    pub fn is_going(self) -> bool {
        matches!(self, State::Deleting | State::Deleted | State::DeleteFailed)
    }
}

/// One image.
#[derive(Clone, Debug)]
pub struct Image {
    pub id: String,
    pub state: State,
    pub template: String,
    pub activity: String,
    pub error: String,
    pub target: Option<String>,
    /// The images that were made of it.
    pub targets: Vec<Image>,
}

impl Image {
    fn decode(value: &Value) -> Result<Self, Fault> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let state = serde_json::from_value(value["status"].clone()).context("it has an unknown status");
        let detail = &value["status_detail"];
        let targets = value["target_images"].as_array().into_iter().flatten();
        let targets = targets.map(|target| Image::decode(target.get("target_image").unwrap_or(target)));
        Ok(Image {
            id: value["id"].as_str().context("it has no id").map_err(garbled)?.to_owned(),
            state: state.map_err(garbled)?,
            template: text(&value["template"]),
            activity: text(&detail["activity"]),
            error: text(&detail["error"]),
            target: value["target"].as_str().map(str::to_owned),
            targets: targets.collect::<Result<_, _>>()?,
        })
    }
}

fn garbled(error: impl Into<anyhow::Error>) -> Fault {
    Fault::Retry(format!("ImageFactory's answer cannot be understood: {:#}", error.into()))
}

/// A factory.
#[derive(Clone, Debug)]
pub struct Factory {
    http: Client,
    settings: Settings,
    clock: Clock,
}

impl Factory {
    /// A factory by its section of the configuration.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self> {
        let mut builder = http::builder();
        if let Some(path) = &settings.authority {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let authority = Certificate::from_pem(&pem)
                .with_context(|| format!("{} is no certificate", path.display()))?;
            builder = builder.tls_certs_merge([authority]);
        }
        let http = builder.build().context("cannot make a client")?;
        Ok(Factory { http, settings: settings.clone(), clock })
    }

    /// What fetches files.
    pub fn http(&self) -> &Client {
        &self.http
    }

    fn url(&self, path: &str) -> String {
        format!("{}/imagefactory{path}", self.settings.url.trim_end_matches('/'))
    }

    /// What says who asks.
    pub async fn headers(&self, method: &str, url: &str) -> Result<HeaderMap, Fault> {
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let Some(oauth) = &self.settings.oauth else { return Ok(headers) };
        let file = &oauth.secret_file;
        let text = tokio::fs::read_to_string(file).await;
        let text = text.with_context(|| format!("cannot read {}", file.display())).map_err(Fault::give_up)?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let signer = Signer {
            key: &oauth.key,
            secret: text.lines().next().unwrap_or_default().trim(),
            nonce: &nonce,
            timestamp: self.clock.now().as_second(),
        };
        let mut value =
            HeaderValue::from_str(&oauth::header(&signer, method, url)).map_err(Fault::give_up)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }

    async fn send(&self, method: Method, url: &str, body: Option<Value>) -> Result<Response, Fault> {
        let headers = self.headers(method.as_str(), url).await?;
        let mut request = self.http.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let away = |error: reqwest::Error| {
            Fault::Away(format!(
                "no answer from ImageFactory: {:#}",
                anyhow::Error::from(error.without_url())
            ))
        };
        request.send().await.map_err(away)
    }

    /// The answer's JSON, or what its status means.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Fault> {
        let mut response = self.send(method, &self.url(path), body).await?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| Fault::Away(error.to_string()))? {
            if bytes.len() + piece.len() > LARGEST {
                return Err(Fault::Retry(format!(
                    "ImageFactory's answer is larger than {} MiB",
                    LARGEST >> 20
                )));
            }
            bytes.extend_from_slice(&piece);
        }
        if status.is_success() {
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&bytes).map_err(garbled);
        }
        let text: String = String::from_utf8_lossy(&bytes).chars().take(SHOWN).collect();
        let text = format!("ImageFactory says HTTP {status} to {path}: {text}");
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Fault::GiveUp(text),
            _ => Fault::Away(text),
        })
    }

    /// Its version.
    pub async fn version(&self) -> Result<String, Fault> {
        let about = self.ask(Method::GET, "", None).await?;
        let version = about["version"].as_str().context("this is no ImageFactory").map_err(garbled)?;
        Ok(version.to_owned())
    }

    /// The ids of the base images there are.
    pub async fn list(&self) -> Result<Vec<String>, Fault> {
        self.ids(Kind::Base).await
    }

    async fn ids(&self, kind: Kind) -> Result<Vec<String>, Fault> {
        let listed = self.ask(Method::GET, &format!("/{}", kind.list()), None).await?;
        let items = listed.get(kind.list()).unwrap_or(&listed);
        let items = items.as_array().context("it is no list").map_err(garbled)?;
        let id = |item: &Value| item.get(kind.member()).unwrap_or(item)["id"].as_str().map(str::to_owned);
        Ok(items.iter().filter_map(id).collect())
    }

    /// One image; `None` when it is in no list any more.
    pub async fn find(&self, kind: Kind, id: &str) -> Result<Option<Image>, Fault> {
        match self.ask(Method::GET, &format!("/{}/{id}", kind.list()), None).await {
            Ok(value) => Image::decode(value.get(kind.member()).unwrap_or(&value)).map(Some),
            // It answers so for what it does not know, and for what it cannot do now.
            Err(fault @ Fault::Away(_)) => {
                if self.ids(kind).await?.iter().any(|known| known == id) {
                    Err(fault)
                } else {
                    Ok(None)
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// Begins a base image.
    pub async fn make_base(&self, template: &str, kickstart: &str) -> Result<Image, Fault> {
        let parameters = json!({ "install_script": kickstart, "generate_icicle": false });
        let body = json!({ "base_image": { "template": template, "parameters": parameters } });
        let made = self.ask(Method::POST, "/base_images", Some(body)).await?;
        Image::decode(&made["base_image"])
    }

    /// Begins a target image of a base image.
    pub async fn make_target(&self, base: &str, target: &str) -> Result<Image, Fault> {
        let body = json!({ "target_image": { "target": target, "parameters": {} } });
        let made = self.ask(Method::POST, &format!("/base_images/{base}/target_images"), Some(body)).await?;
        Image::decode(&made["target_image"])
    }

    /// Deletes an image. One that is not there is no fault.
    pub async fn delete(&self, kind: Kind, id: &str) -> Result<(), Fault> {
        match self.ask(Method::DELETE, &format!("/{}/{id}", kind.list()), None).await {
            Err(fault @ Fault::Away(_)) if self.ids(kind).await?.iter().any(|known| known == id) => {
                Err(fault)
            }
            Ok(_) | Err(Fault::Away(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Where the file of an image is read from, and how long it is.
    pub async fn raw_image(&self, kind: Kind, id: &str) -> Result<(String, u64), Fault> {
        let url = self.url(&format!("/{}/{id}/raw_image", kind.list()));
        // Only how it begins is looked at.
        let response = self.send(Method::GET, &url, None).await?;
        if !response.status().is_success() {
            return Err(Fault::Away(format!("cannot read {url}: HTTP {}", response.status())));
        }
        let length =
            response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let length = length.with_context(|| format!("{url} does not say how long it is"));
        Ok((url, length.map_err(Fault::retry)?))
    }
}
