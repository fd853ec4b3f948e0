//! What is outside: work begun by key, public pointers, messages on a bus.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use muster_flow::build::Package;

/// The outside world. Clones share it; it outlives every engine.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

/// Everything outside.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How often work was really begun, by key. More than once is a fault of the adapters.
    pub begun: BTreeMap<String, u32>,
    /// How often it was asked for, by key, begun or not. More than once without a death or a fault is one of the service.
    pub asked: BTreeMap<String, u32>,
    /// How often work was looked at, by key.
    pub looks: BTreeMap<String, u32>,
    /// Work that was ended by a cancellation.
    pub cancelled: Vec<String>,
    /// What the streams point at: stream and recipe to the candidate's version.
    pub pointers: BTreeMap<String, String>,
    /// Every move of a pointer, in order: pointer, version.
    pub moves: Vec<(String, String)>,
    /// Messages by id; a second message with the same id is recognisable and counted.
    pub messages: BTreeMap<String, (String, u32)>,
    /// What goes wrong, by the beginning of the key's purpose, such as `smoketest/x86_64/uefi`, or of the whole key.
    pub faults: BTreeMap<String, Fault>,
    /// The packages that builders find, of which they take the newest they may; bash and glibc when it is empty.
    pub repository: Vec<Package>,
    /// The folder that the service keeps its state in, where a builder finds the package sets that it is held to.
    pub folder: Option<PathBuf>,
    /// Whether adapters look before they create. The control of the crash suite turns it off.
    pub manners: Manners,
}

/// Whether adapters look before they create.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manners {
    /// They do, as they must.
    #[default]
    Looks,
    /// They create without looking.
    Forgets,
}

/// What goes wrong with a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A smoketest is red.
    Red,
    /// A smoketest is red when this package is on the image, as `name-version-release.arch`.
    RedWith(String),
    /// It fails with a reason.
    Fails(String),
    /// The first so many calls do not get through.
    Flaky(u32),
    /// The answer to the first so many calls is lost after the effect happened.
    AnswerLost(u32),
    /// It vanishes once after it has begun.
    VanishesOnce,
    /// The first so many calls find nobody there.
    Away(u32),
    /// It vanishes each time it has begun.
    Vanishes,
    /// It goes on for ever.
    Hangs,
    /// It is not over before it was told so many times more to end.
    Lingers(u32),
}

impl World {
    /// The state, to look at or to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes something go wrong with the work whose purpose, or whole key, begins so.
    pub fn fault(&self, purpose: &str, fault: Fault) {
        self.state().faults.insert(purpose.to_owned(), fault);
    }
}

impl State {
    /// The fault of a key, if it has one. Keys begin with recipe and version, which most faults leave out.
    pub fn fault_of(&mut self, key: &str) -> Option<&mut Fault> {
        let purpose = key.splitn(3, '/').nth(2)?;
        self.faults
            .iter_mut()
            .find(|(prefix, _)| purpose.starts_with(prefix.as_str()) || key.starts_with(prefix.as_str()))
            .map(|(_, fault)| fault)
    }
}
