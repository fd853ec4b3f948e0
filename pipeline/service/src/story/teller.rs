//! Reads from the store what a story is told from, and tells it.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use muster_flow::blame::suspect::Suspect;
use muster_flow::blame::{Conclusion, is_built_again};
use muster_flow::candidate::{Candidate, Outcome, Patience, Stage};
use muster_flow::publish;
use tokio::sync::OnceCell;

use super::blame::{self, Asked, Blame};
use super::boot::{self, Boot};
use super::image::Trust;
use super::packages::{self, Packages};
use super::service::Service;
use super::source::{self, Sources};
use super::wait::{self, Wait};
use super::{Brief, Facts, Story, brief, tell};
use crate::adapters::destination;
use crate::adapters::signer::Signer;
use crate::batches::may_eject;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::lines::Line;
use crate::store::{Milestones, StepRow, Store};

/// How many candidates of a recipe are looked through for the last release, and offered to compare with.
const BASES: u32 = 100;

/// Tells stories from a store.
#[derive(Clone, Debug)]
pub struct Teller {
    /// The store.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    patience: Patience,
    grace: SignedDuration,
    has_bus: bool,
    signer: Signer,
    /// What the signer said of its key, once it was asked.
    fingerprint: Arc<OnceCell<Option<String>>>,
    mirror_of_streams: Option<String>,
}

impl Teller {
    /// A teller over a store.
    pub fn new(store: Store, settings: &Settings, clock: Clock) -> Self {
        let patience = Patience {
            quiet: SignedDuration::from_secs(settings.engine.quiet_s),
            at_most: SignedDuration::from_secs(settings.engine.at_most_s),
        };
        let grace = SignedDuration::from_secs(settings.engine.grace_s);
        Teller {
            store,
            clock,
            patience,
            grace,
            has_bus: settings.bus.is_some(),
            signer: Signer::new(settings.signing.clone()),
            fingerprint: Arc::default(),
            mirror_of_streams: destination::address_of_streams(settings),
        }
    }

    /// The one line about a candidate.
    pub async fn brief(&self, candidate: &Candidate) -> Result<Brief> {
        Ok(brief(&self.facts(candidate, &self.around(candidate).await?, &self.open().await?)))
    }

    /// The lines about several candidates, in their order.
    pub async fn briefs(&self, lines: &[Line]) -> Result<Vec<Brief>> {
        let open = self.open().await?;
        // Rows tell how far running work has got: of what is over there is nothing to tell.
        let rows = self.store.open_step_rows().await?;
        let ids: Vec<_> = lines.iter().map(|line| &line.candidate.id).collect();
        let mut milestones = self.store.milestones(&ids).await?;
        let mut around = Around { rows, lease: self.store.planned_until().await?, ..Around::default() };
        let mut briefs = Vec::with_capacity(lines.len());
        for Line { candidate, changes, note } in lines {
            around.changes = *changes;
            around.note.clone_from(note);
            around.milestones = milestones.remove(&candidate.id).unwrap_or_default();
            briefs.push(brief(&self.facts(candidate, &around, &open)));
        }
        Ok(briefs)
    }

    /// The open candidates around one that is told of.
    async fn open(&self) -> Result<Vec<Candidate>> {
        Ok(self.store.open_lines().await?.into_iter().map(|line| line.candidate).collect())
    }

    /// All there is to tell about a candidate.
    pub async fn story(&self, candidate: &Candidate) -> Result<Story> {
        let mut around = Around { asked: self.asked(candidate).await?, ..self.around(candidate).await? };
        if publish::is_promoted(candidate) {
            let releases = self.store.releases(&candidate.recipe.stream).await?;
            around.is_current = releases.iter().any(|release| release.candidate == candidate.id.0);
            around.trust = self.trust().await;
        }
        Ok(tell(&self.facts(candidate, &around, &self.open().await?)))
    }

    /// What strangers check with.
    pub async fn trust(&self) -> Trust {
        let mut trust =
            Trust { signs: self.signer.signs(), fingerprint: None, mirror: self.mirror_of_streams.clone() };
        if trust.signs {
            let told = self.fingerprint.get_or_try_init(|| self.signer.fingerprint()).await;
            // Without it the page is still worth showing; the next look asks again.
            trust.fingerprint = told.cloned().unwrap_or_else(|error| {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "cannot tell the fingerprint of the signing key"
                );
                None
            });
        }
        trust
    }

    /// The packages of a candidate beside those of another; when none is named, of the last release of its recipe
    /// before it, or of the last build where nothing was released.
    pub async fn packages(&self, candidate: &Candidate, since: Option<Candidate>) -> Result<Packages> {
        let since = match since {
            Some(named) => Some(named),
            None => self.base_of(candidate).await?,
        };
        Ok(packages::tell(candidate, since.as_ref()))
    }

    async fn base_of(&self, candidate: &Candidate) -> Result<Option<Candidate>> {
        let older = self.store.lines_of(&self.store.before(&candidate.id, BASES).await?).await?;
        let published = older.iter().find(|line| is_published(&line.candidate));
        let base = published.or_else(|| older.iter().find(|line| is_built(&line.candidate)));
        match base {
            Some(line) => self.store.find_readable(&line.candidate.id).await,
            None => Ok(None),
        }
    }

    /// The candidates of its recipe that the packages of a candidate may be compared with, newest first.
    pub async fn comparable(&self, candidate: &Candidate) -> Result<Vec<Brief>> {
        let mut others = self.store.lines_of(&self.store.siblings(&candidate.id, BASES).await?).await?;
        others.retain(|line| is_built(&line.candidate));
        self.briefs(&others).await
    }

    /// What the boots of a candidate showed.
    pub async fn boots(&self, candidate: &Candidate) -> Result<Vec<Boot>> {
        Ok(boot::all(&self.facts(candidate, &self.around(candidate).await?, &[])))
    }

    /// Everything that any candidate waits for.
    pub async fn waits(&self) -> Result<Vec<Wait>> {
        let open = self.store.open_candidates().await?;
        let unreadable = self.store.unreadable();
        let mut waits: Vec<Wait> =
            unreadable.iter().map(|(id, reason)| wait::of_unreadable(id, reason)).collect();
        for candidate in &open {
            waits.extend(wait::of(&self.facts(candidate, &self.around(candidate).await?, &open)));
        }
        Ok(waits)
    }

    /// Where changes come from, and how much the bus lost.
    pub async fn sources(&self) -> Result<Sources> {
        Ok(source::tell(self.store.source_rows(self.grace).await?, self.has_bus, self.clock.now()))
    }

    /// Whether the service is at work.
    pub async fn service(&self) -> Result<Service> {
        Ok(Service::of(self.store.planned_until().await?, self.clock.now()))
    }

    /// What made a candidate red, as far as that is looked for.
    pub async fn blame(&self, candidate: &Candidate) -> Result<Option<Blame>> {
        let asked = self.asked(candidate).await?;
        Ok(asked.map(|asked| blame::tell(candidate, &asked)))
    }

    async fn asked(&self, candidate: &Candidate) -> Result<Option<Asked>> {
        let Some(row) = self.store.inquiry(&candidate.id).await? else { return Ok(None) };
        if is_built_again(candidate, &row.terms.builds) {
            // What was found is true of an image that it does not have any more.
            return Ok(None);
        }
        let good = self.store.candidate(&row.good).await?;
        let good = good.with_context(|| format!("there is no candidate {}", row.good))?;
        let probes = self.store.probes_of(&row).await?;
        let accused = row.conclusion.as_ref().map(Conclusion::accused).unwrap_or_default();
        let ejectable = self.ejectable(candidate, accused).await?;
        Ok(Some(Asked { row, good, probes, ejectable }))
    }

    /// The names of the suspects that may be ejected from the batch of a candidate.
    async fn ejectable(&self, candidate: &Candidate, suspects: &[Suspect]) -> Result<BTreeSet<String>> {
        let of_packages = suspects.iter().filter(|suspect| !suspect.packages().is_empty());
        let mut names: BTreeSet<String> = of_packages.map(|suspect| suspect.name.clone()).collect();
        let (Some(batch), false) = (&candidate.batch, names.is_empty()) else { return Ok(BTreeSet::new()) };
        let Some(batch) = self.store.batch(&batch.id).await? else { return Ok(BTreeSet::new()) };
        let mut candidates = Vec::new();
        for (id, _) in self.store.of_batch(&batch.id).await? {
            // What cannot be read may have moved pointers.
            let Some(candidate) = self.store.find_readable(&id).await? else { return Ok(BTreeSet::new()) };
            candidates.push(candidate);
        }
        names.retain(|name| may_eject(&batch, &candidates, name).is_ok());
        Ok(names)
    }

    async fn around(&self, candidate: &Candidate) -> Result<Around> {
        let changes = self.store.cause_count(&candidate.id).await?;
        Ok(Around {
            changes: usize::try_from(changes).unwrap_or_default(),
            rows: self.store.step_rows(&candidate.id).await?,
            note: self.store.note(&candidate.id).await?,
            milestones: self.milestones(candidate).await?,
            lease: self.store.planned_until().await?,
            ..Around::default()
        })
    }

    async fn milestones(&self, candidate: &Candidate) -> Result<Milestones> {
        let mut milestones = self.store.milestones(&[&candidate.id]).await?;
        Ok(milestones.remove(&candidate.id).unwrap_or_default())
    }

    fn facts<'a>(&self, candidate: &'a Candidate, around: &'a Around, open: &'a [Candidate]) -> Facts<'a> {
        let now = self.clock.now();
        Facts {
            candidate,
            changes: around.changes,
            rows: &around.rows,
            note: &around.note,
            open,
            asked: around.asked.as_ref(),
            service: Service::of(around.lease, now),
            patience: self.patience,
            trust: &around.trust,
            is_current: around.is_current,
            milestones: &around.milestones,
            now,
        }
    }
}

fn is_published(candidate: &Candidate) -> bool {
    candidate.stage() == Stage::Finished(Outcome::Published)
}

fn is_built(candidate: &Candidate) -> bool {
    candidate.builds().any(|build| build.output().is_some())
}

/// What is read beside a candidate.
#[derive(Default)]
struct Around {
    changes: usize,
    rows: Vec<StepRow>,
    note: String,
    milestones: Milestones,
    /// When the planner's lease ends.
    lease: Option<Timestamp>,
    trust: Trust,
    is_current: bool,
    asked: Option<Asked>,
}
