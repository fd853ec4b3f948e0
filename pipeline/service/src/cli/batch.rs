//! `muster batch`: the frozen package sets that releases are built from, and what people change of them.

use std::fmt::Write;

use muster_flow::batch::BatchId;

use super::call::{Call, Ending, Failure};
use super::output;
use crate::batches::{self, Changed, Ground, Wish, Wisher};
use crate::package_sets::PackageSets;
use crate::sources::Sources;
use crate::story::batch::{self, BatchBrief, BatchStory};
use crate::story::words;

/// How many batches are listed.
const LISTED: u32 = 50;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  muster batch list
  muster batch show stable/20261121.0
  muster batch eject stable/20261121.0 openssl --why 'it breaks ssh, see #123'
  muster batch restore stable/20261121.0 openssl --why 'the new build is good'
  muster batch evaluate stable/20261121.0
  muster batch refreeze stable/20261121.0 --why 'the fix was tagged'

All releases that one window or one request calls for, and that take packages from the same source, are
built from one batch, and are published together when its gate says yes.")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The newest batches and how each stands.
    List,
    /// One batch: its members, its revisions, its candidates, and what its gate says.
    Show {
        /// Its name, such as stable/20261121.0.
        batch: String,
    },
    /// Put a member back to what it was in the batch before, and build again what it is on.
    Eject(Member),
    /// Take an ejected member back, and build again what was built without it.
    Restore(Member),
    /// Judge every candidate of a batch, and the batch, again by what is known now, such as a waiver.
    Evaluate {
        /// Its name, such as stable/20261121.0.
        batch: String,
    },
    /// Freeze a batch again, as its packages are now, and build again the candidates that this changes.
    Refreeze {
        /// Its name, such as stable/20261121.0.
        batch: String,
        /// Why.
        #[arg(long)]
        why: String,
    },
}

#[derive(Debug, clap::Args)]
struct Member {
    /// The batch's name, such as stable/20261121.0.
    batch: String,
    /// The name of a package or of its source package; all that is built from that source goes along.
    package: String,
    /// Why.
    #[arg(long)]
    why: String,
}

pub async fn run(call: &Call, args: &Args) -> Result<Ending, Failure> {
    match &args.action {
        Action::List => {
            let batches = batch::all(&call.store().await?, LISTED).await?;
            call.say(&list(&batches), &batches)?;
        }
        Action::Show { batch } => {
            let store = call.store().await?;
            let id = BatchId(batch.clone());
            let story = batch::tell(&store, &id, call.clock.now()).await?;
            let story = story.ok_or_else(|| missing(&id))?;
            call.say(&show(&story), &story)?;
        }
        Action::Eject(member) => {
            change(call, &member.batch, Wish::Eject(&member.package), &member.why).await?;
        }
        Action::Restore(member) => {
            change(call, &member.batch, Wish::Restore(&member.package), &member.why).await?;
        }
        Action::Refreeze { batch, why } => change(call, batch, Wish::Refreeze, why).await?,
        Action::Evaluate { batch } => evaluate(call, batch).await?,
    }
    Ok(Ending::Done)
}

fn missing(id: &BatchId) -> Failure {
    Failure::not_found(format!("there is no batch {id}"), "`muster batch list` names those there are.")
}

async fn change(call: &Call, batch: &str, wish: Wish<'_>, why: &str) -> Result<(), Failure> {
    let (store, id) = (call.store().await?, BatchId(batch.to_owned()));
    if store.batch(&id).await?.is_none() {
        return Err(missing(&id));
    }
    let sets = PackageSets::below(&call.settings.service.state);
    let upstream = Sources::new(&call.settings, call.clock.clone())?;
    let ground = Ground { store: &store, sets: &sets, upstream: &upstream };
    let wisher = Wisher { who: call.person().await?, why: why.to_owned(), at: call.clock.now() };
    let changed = batches::change(ground, &id, wish, &wisher).await.map_err(|error| {
        Failure::refused(format!("{error:#}"), format!("`muster batch show {id}` says how it stands."))
    })?;
    call.say(&told(&changed), &changed)
}

fn told(changed: &Changed) -> String {
    let Changed { batch, revision, rebuilt, stand } = changed;
    let mut text = format!(
        "{batch} has revision {} now, of {} packages: {}",
        revision.number,
        revision.packages,
        output::plain(&revision.why)
    );
    for absent in &revision.absent {
        let _ = write!(text, "\n  no repository has {} any more: it is absent", output::plain(absent));
    }
    for id in rebuilt {
        let _ = write!(text, "\n  {id} is built again");
    }
    for id in stand {
        let _ = write!(text, "\n  {id} stands: nothing of it has changed");
    }
    text
}

async fn evaluate(call: &Call, batch: &str) -> Result<(), Failure> {
    let (store, id) = (call.store().await?, BatchId(batch.to_owned()));
    if store.batch(&id).await?.is_none() {
        return Err(missing(&id));
    }
    let count = batches::evaluate(&store, &id, &call.person().await?).await?;
    let words = format!("{id} is judged again, with {count} of its candidates, at the service's next look");
    call.say(&words, &serde_json::json!({ "batch": id, "candidates": count }))
}

fn list(batches: &[BatchBrief]) -> String {
    if batches.is_empty() {
        return "There is no batch yet: the first release freezes one.".to_owned();
    }
    let widest = batches.iter().map(|batch| batch.batch.0.len()).max().unwrap_or(0);
    let line = |batch: &BatchBrief| {
        format!(
            "{:widest$}  {:11}  frozen {:.0}, revision {}, {}",
            batch.batch.0,
            batch.state,
            batch.frozen,
            batch.revision,
            words::count(batch.candidates, "candidate")
        )
    };
    batches.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn show(story: &BatchStory) -> String {
    let brief = &story.brief;
    let mut text = format!("{}: {}\n  {}\n", brief.batch, brief.state, output::plain(&story.headline));
    let _ = write!(
        text,
        "  frozen {:.0} from {}\n  {} packages, sha256 {}",
        brief.frozen,
        output::plain(&story.source),
        story.packages,
        story.set
    );
    let _ = write!(text, "\n\nMembers ({})", output::plain(&story.compared));
    for member in &story.members {
        let mark = if member.ejected { " [ejected]" } else { "" };
        let _ = write!(text, "\n  {}{mark}", output::plain(&member.source));
        for package in &member.packages {
            let _ = write!(text, "\n    {}", output::plain(package));
        }
    }
    text.push_str("\n\nRevisions");
    for revision in &story.revisions {
        let why = output::plain(&revision.why);
        let _ = write!(text, "\n  r{} {:.0} {}: {why}", revision.number, revision.at, revision.who);
        for absent in &revision.absent {
            let _ = write!(text, "\n    absent, since no repository has it: {}", output::plain(absent));
        }
    }
    text.push_str("\n\nCandidates");
    for reason in &story.reasons {
        let _ = write!(text, "\n  {}  {}", reason.candidate, output::plain(&reason.words()));
    }
    text
}
