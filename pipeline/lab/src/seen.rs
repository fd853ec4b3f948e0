//! What a test wants to have seen of a port; it panics, with what there was, when that is something else.

use std::fmt::Debug;

use muster::port::{Fault, Observation, Port};
use muster_flow::build::{Build, BuildRequest};
use muster_flow::step::{Handle, StepKey};

/// The note of work that goes on.
///
/// # Panics
/// When it does not.
pub fn running<O: Debug>(seen: Result<Observation<O>, Fault>) -> String {
    match seen {
        Ok(Observation::Running(note) | Observation::Slow { note, .. }) => note,
        other => panic!("{other:?}"),
    }
}

/// The reason of work that failed.
///
/// # Panics
/// When it did not.
pub fn failed<O: Debug>(seen: Result<Observation<O>, Fault>) -> String {
    match seen {
        Ok(Observation::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// What work brought.
///
/// # Panics
/// When it brought nothing.
pub fn made<O: Debug>(seen: Result<Observation<O>, Fault>) -> O {
    match seen {
        Ok(Observation::Succeeded(output)) => output,
        other => panic!("{other:?}"),
    }
}

/// Why something is tried again.
///
/// # Panics
/// When it is not.
pub fn retried<T: Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::Retry(why) | Fault::Away(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Why something is given up.
///
/// # Panics
/// When it is not.
pub fn given_up<T: Debug>(outcome: Result<T, Fault>) -> String {
    match outcome {
        Err(Fault::GiveUp(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Asks a hundred times for the same build, every tenth time of a builder that remembers nothing. The handle is always
/// the same one; how often something was made for it, the test counts outside.
///
/// # Panics
/// When another handle comes, or none.
pub async fn asked_a_hundred_times<P: Port<Build>>(
    builder: impl Fn() -> P,
    key: &StepKey,
    request: &BuildRequest,
) -> Handle {
    let mut asked = builder();
    let first = asked.ensure(key, request).await;
    for time in 0..100 {
        if time % 10 == 0 {
            asked = builder();
        }
        assert_eq!(asked.ensure(key, request).await, first);
    }
    match first {
        Ok(handle) => handle,
        Err(fault) => panic!("{fault}"),
    }
}
