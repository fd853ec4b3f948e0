//! What `deploy/bench koji` measures: sweeps of a large hub, and images that are fetched and verified in one pass.
//!
//! `serve FOLDER` is a hub with a tag of 25,000 builds and 2,000 tasks, and a web server of the folder's files; it writes
//! both addresses to `FOLDER/addresses`. `sweep` reads the tag's history, and looks at all tasks as the engine does; `fetch URL FILE SHA256` fetches a file as builds
//! do, and fails when it is not what the hub says.
#![expect(clippy::print_stdout, reason = "it is a program for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::routing::get;
use futures_util::future::try_join_all;
use muster::adapters::download::{self, Wanted};
use muster::adapters::fetches::Desk;
use muster::adapters::koji::client::Hub;
use muster::adapters::koji::{KojiBuilder, changes};
use muster::port::{Observation, Port};
use muster_flow::step::Handle;
use muster_lab::koji::KojiHub;
use reqwest::header::HeaderMap;
use serde_json::json;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

/// The tag.
const TAG: &str = "f43";

/// How many builds are in it.
const BUILDS: usize = 25_000;

/// How many tasks there are. The lab numbers them from here on.
const TASKS: usize = 2000;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["serve", folder] => serve(Path::new(folder)).await,
        ["sweep", hub, first, files] => sweep(hub, first.parse()?, files).await,
        ["fetch", url, file, digest] => fetch(url, Path::new(file), digest).await,
        _ => bail!("usage: koji_speed serve FOLDER | sweep HUB FIRST-TASK FILES | fetch URL FILE SHA256"),
    }
}

async fn serve(folder: &Path) -> Result<()> {
    let hub = KojiHub::start().await?;
    hub.tag_many(TAG, BUILDS);
    let tasks = hub.make_many(TASKS);
    let first = tasks.first().context("the hub made no tasks")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let files = listener.local_addr()?;
    let text = format!("{} {first} http://{files}\n", hub.url());
    std::fs::write(folder.join("addresses.new"), text)?;
    std::fs::rename(folder.join("addresses.new"), folder.join("addresses"))?;
    let hub = Arc::new(hub);
    let count = get(move || {
        let hub = Arc::clone(&hub);
        async move { hub.requests().to_string() }
    });
    axum::serve(listener, Router::new().route("/requests", count).fallback_service(ServeDir::new(folder)))
        .await?;
    Ok(())
}

async fn sweep(address: &str, first: i64, files: &str) -> Result<()> {
    let before = requests(files).await?;
    let hub = Hub::new(address)?;
    let seen = changes::changes_since(&hub, &BTreeMap::from([(TAG.to_owned(), Some(0))])).await?;
    let news = seen.tags.into_values().next().context("the tag was not read")??;
    ensure!(news.len() == BUILDS, "of {BUILDS} taggings {} were told", news.len());
    let builder = builder(address, files)?;
    let notes = try_join_all((first..).take(TASKS).map(|task| note(&builder, task))).await?;
    println!("builds={BUILDS} tasks={} requests={}", notes.len(), requests(files).await? - before);
    Ok(())
}

fn builder(hub: &str, files: &str) -> Result<KojiBuilder> {
    let login = "[login]\nkind = \"password\"\nusername = \"imagebot\"\npassword_file = \"/dev/null\"";
    let section = format!("hub = \"{hub}\"\ntopurl = \"{files}\"\nweburl = \"{files}\"\n{login}");
    KojiBuilder::new(toml::from_str(&section)?, std::env::temp_dir())
}

/// How far a task is, as a step's row has it.
async fn note(builder: &KojiBuilder, task: i64) -> Result<String> {
    // What rows keep of it, of a build for one architecture.
    let handle = json!({ "task": task, "key": format!("lab/43.{task}/build/x86_64"), "mark": "", "made": 0,
        "version": "43", "name": "Lab", "release": "1", "arches": ["x86_64"], "forms": ["qcow2"], "scratch": true });
    let seen = builder.observe(&Handle(format!("koji:{handle}"))).await?;
    let Observation::Slow { note, .. } = seen else { bail!("task {task}: {seen:?}") };
    Ok(note)
}

/// How many requests the hub has had.
async fn requests(files: &str) -> Result<usize> {
    let count = muster::http::client()?.get(format!("{files}/requests")).send().await?;
    count.text().await?.parse().context("the hub gives no count")
}

async fn fetch(url: &str, file: &Path, digest: &str) -> Result<()> {
    let client = muster::http::client()?;
    let head = client.head(url).send().await?;
    let size =
        head.headers().get("content-length").context("the server tells no length")?.to_str()?.parse()?;
    let folder = file.parent().context("the file lies in no folder")?;
    let desk = Desk::take(folder)?.context("another process fetches there")?;
    let wanted = Wanted { url: url.to_owned(), size, path: file.to_owned(), headers: HeaderMap::new() };
    let ours = download::fetch(&client, &wanted, &desk).await?;
    ensure!(ours == digest, "{url} is {ours}, and should be {digest}");
    println!("size={size}");
    Ok(())
}
