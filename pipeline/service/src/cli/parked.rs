//! `muster parked`: messages that could not be understood.

use serde_json::json;

use super::call::{Call, Ending, Failure};
use super::output;
use crate::store::Store;
use crate::story::next_action::shell;
use crate::story::words;
use muster_message::{Incoming, Parked};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster parked                              list them
  muster parked show 5a2b...                 one of them, whole
  muster parked replay 5a2b...               try to understand it again
  muster parked drop 5a2b...                 throw it away")]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List them.
    List,
    /// Show one of them, whole.
    Show {
        /// Its id.
        id: String,
    },
    /// Take one in again, as if it had just come.
    Replay {
        /// Its id.
        id: String,
    },
    /// Throw one away.
    Drop {
        /// Its id.
        id: String,
    },
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    let store = call.store().await?;
    match args.what.as_ref().unwrap_or(&What::List) {
        What::List => list(call, &store.parked().await?)?,
        What::Show { id } => {
            let parked = find(&store, id).await?;
            let body = String::from_utf8_lossy(&parked.body);
            let words = format!(
                "{}  {}  {}\n{}\n\n{}",
                words::time(parked.received),
                output::plain(&parked.id),
                output::plain(&parked.topic),
                output::wrap(&parked.reason, "", 100),
                output::plain(&body)
            );
            call.say(&words, &shape(&parked, &body))?;
        }
        What::Replay { id } => {
            let parked = find(&store, id).await?;
            store.replay(&parked.id, &again(&parked)?).await?;
            let words = format!(
                "{} is taken in again; `muster parked` shows it when it is still not understood",
                parked.id
            );
            call.say(&output::plain(&words), &json!({ "id": parked.id, "done": "replay" }))?;
        }
        What::Drop { id } => {
            let parked = find(&store, id).await?;
            store.drop_parked(&parked.id, &call.person().await?).await?;
            call.say(
                &output::plain(&format!("{} is dropped", parked.id)),
                &json!({ "id": parked.id, "done": "drop" }),
            )?;
        }
    }
    Ok(Ending::Done)
}

fn shape(parked: &Parked, body: &str) -> serde_json::Value {
    json!({
        "id": parked.id,
        "topic": parked.topic,
        "reason": parked.reason,
        "received": parked.received,
        "bytes": parked.body.len(),
        "body": body,
    })
}

fn list(call: &Call, parked: &[Parked]) -> Result<(), Failure> {
    let line = |parked: &Parked| {
        let head = format!("{}  {}  {}", words::time(parked.received), parked.id, parked.topic);
        format!("{}\n{}", output::plain(&head), output::wrap(&parked.reason, "    ", 100))
    };
    let words = if parked.is_empty() {
        "every message was understood".to_owned()
    } else {
        parked.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let shapes: Vec<_> = parked
        .iter()
        .map(|parked| {
            shape(parked, &String::from_utf8_lossy(&parked.body).chars().take(600).collect::<String>())
        })
        .collect();
    call.say(&words, &json!({ "parked": shapes }))
}

/// The message as it would come in from the bus.
fn again(parked: &Parked) -> Result<Incoming, Failure> {
    let body = String::from_utf8(parked.body.clone()).map_err(|_| {
        Failure::refused(
            format!("{} is not text, so it cannot be understood the next time either", parked.id),
            format!("Drop it with `muster parked drop {}`, and tell its sender.", shell(&parked.id)),
        )
    })?;
    Ok(Incoming {
        id: parked.id.clone(),
        topic: parked.topic.clone(),
        headers: parked.headers.clone(),
        body,
        sent_at: None,
    })
}

/// The message of that id, or the only one whose id begins so.
async fn find(store: &Store, id: &str) -> Result<Parked, Failure> {
    let mut fitting: Vec<Parked> =
        store.parked().await?.into_iter().filter(|parked| parked.id.starts_with(id)).collect();
    if let Some(at) = fitting.iter().position(|parked| parked.id == id) {
        return Ok(fitting.swap_remove(at));
    }
    match (fitting.len(), fitting.pop()) {
        (1, Some(parked)) => Ok(parked),
        (0, _) => {
            Err(Failure::not_found(format!("no message {id} is parked"), "`muster parked` lists them."))
        }
        (several, _) => Err(Failure::refused(
            format!("{several} parked messages have ids that begin with {id}"),
            "Write more of the id; `muster parked` lists them.",
        )),
    }
}
