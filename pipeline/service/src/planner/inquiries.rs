//! Inquiries into red candidates: begun when one turns red, and moved on whenever they wait for no probe.

use std::collections::BTreeMap;

use anyhow::Result;
use muster_flow::batch::PackageSet;
use muster_flow::blame::{self, Inquiry, Next, Probe};
use muster_flow::candidate::{Candidate, Outcome, Purpose, Stage};

use super::{Planner, Turn};
use crate::blame::{Begun, begin};
use crate::store::{InquiryRow, Plan};

impl Planner {
    /// Begins the inquiry into a candidate that ends red, where nobody has to ask for it.
    pub(super) async fn inquire(&self, candidate: &Candidate) -> Result<()> {
        let is_red = candidate.stage() == Stage::Finished(Outcome::Rejected);
        if !is_red || !self.blame.automatic.covers(candidate) {
            return Ok(());
        }
        match begin(&self.store, candidate, self.blame.probes, None).await? {
            Begun::Now => tracing::info!(candidate.id = %candidate.id, "what made it red is looked for"),
            Begun::Before => {}
            Begun::Not(why) => {
                tracing::info!(candidate.id = %candidate.id, "what made it red is not looked for: {why}");
            }
        }
        Ok(())
    }

    /// Records what each inquiry needs next; returns how many moved. One that cannot be read keeps none of the others.
    pub(super) async fn move_inquiries(&self, plan: &Plan) -> Result<usize> {
        let mut moved = 0;
        for row in self.store.idle_inquiries().await? {
            match self.move_inquiry(plan, &row).await {
                Ok(Turn::Moved) => moved += 1,
                Ok(Turn::Idle) => {}
                Err(error) => {
                    tracing::error!(candidate.id = %row.candidate, "what made it red cannot be looked for now: {error:#}");
                }
            }
        }
        Ok(moved)
    }

    async fn move_inquiry(&self, plan: &Plan, row: &InquiryRow) -> Result<Turn> {
        let red = self.store.find_readable(&row.candidate).await?;
        let good = self.store.find_readable(&row.good).await?;
        // A newer Muster wrote one of them, and goes on with it.
        let (Some(red), Some(good)) = (red, good) else { return Ok(Turn::Idle) };
        let probes = self.store.probes_of(row).await?;
        let inquiry = Inquiry {
            red: &red,
            good: &good,
            symptoms: &row.terms.symptoms,
            builds: &row.terms.builds,
            probes: &probes,
            earlier: row.terms.earlier,
            bound: row.terms.bound,
        };
        match blame::next(&inquiry, self.clock.now()) {
            Next::Wait => return Ok(Turn::Idle),
            Next::Over(conclusion) => {
                tracing::info!(candidate.id = %red.id, "blame: {}", conclusion.words());
                self.store.conclude(plan, row, &conclusion).await?;
            }
            Next::Probe(probe) => {
                let probe = self.with_its_packages(*probe)?;
                self.store.probe(plan, &red.id, &probe).await?;
            }
        }
        Ok(Turn::Moved)
    }

    /// A probe whose packages are kept as a frozen set, so that its build can be held to them.
    fn with_its_packages(&self, probe: Probe) -> Result<Candidate> {
        let mut candidate = probe.candidate;
        let Some(packages) = probe.packages else { return Ok(candidate) };
        // Nobody asks which source a package of this set was built from.
        let packages: BTreeMap<_, _> = packages.into_iter().map(|package| (package, String::new())).collect();
        let name = self.sets.keep(&PackageSet(packages))?;
        if let Purpose::Probe { set, .. } = &mut candidate.purpose {
            *set = Some(name);
        }
        Ok(candidate)
    }
}
