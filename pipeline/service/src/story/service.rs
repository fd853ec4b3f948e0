//! Whether the service is at work: nothing goes on by itself while it is not, and people must be told so first.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::words;

/// How long after its lease the planner still counts as at work: it may be late to renew it.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// Who acts while the service does not run, and need not when it does.
pub const ONCE_STARTED: &str = "Muster, once `muster serve` runs";

/// Whether the service is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Whether it runs.
    pub runs: bool,
    /// Since when it does not run; `None` while it runs, and when that is not known.
    pub stopped: Option<Timestamp>,
}

impl Service {
    /// Told by the end of the planner's lease, `None` when nobody ever held it.
    pub fn of(lease: Option<Timestamp>, now: Timestamp) -> Self {
        let runs = lease.is_some_and(|lease| now <= lease + MARGIN);
        Service { runs, stopped: lease.filter(|_| !runs) }
    }

    /// That it does not run, since when, and what to do; `None` while it runs.
    pub fn notice(&self) -> Option<String> {
        let since = match self.stopped {
            _ if self.runs => return None,
            Some(at) => format!("has not run since {}", words::time(at)),
            None => "does not run".to_owned(),
        };
        Some(format!("The service {since}: nothing goes on until `muster serve` is started."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_while_the_lease_holds_and_a_little_longer() {
        let lease: Timestamp = "2026-11-21T12:00:10Z".parse().unwrap();
        let after = |seconds| Service::of(Some(lease), lease + SignedDuration::from_secs(seconds));
        assert_eq!((after(-10).notice(), after(5).notice()), (None, None));
        let notice = after(6).notice().unwrap();
        assert!(notice.starts_with("The service has not run since 2026-11-21 12:00:10: "), "{notice}");
        assert_eq!(after(6).stopped, Some(lease));
        let never = Service::of(None, lease);
        assert!(!never.runs && never.notice().unwrap().starts_with("The service does not run: "));
    }
}
