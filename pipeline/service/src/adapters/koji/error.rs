//! What can go wrong with one call, and what that means for the step that asked for it.

use crate::port::Fault;

/// The codes of faults that something follows from. All others are for people.
pub mod code {
    /// Nearly everything; only the text tells.
    pub const GENERIC: i64 = 1000;
    /// A login that was refused, or a session that nobody knows any more.
    pub const AUTH: i64 = 1002;
    /// It is not allowed.
    pub const NOT_ALLOWED: i64 = 1004;
    /// The session is too old.
    pub const EXPIRED: i64 = 1007;
    /// A later call of the session was committed before.
    pub const SEQUENCE: i64 = 1008;
    /// A call with this number was committed before: it was carried out, and this one was not.
    pub const REPEATED: i64 = 1009;
    /// The hub is closed.
    pub const OFFLINE: i64 = 1014;
    /// Arguments that the method does not take.
    pub const PARAMETER: i64 = 1019;
}

/// Why a call brought no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The hub says no, by a number and a text.
    #[error("Koji refuses {method}: {text} (fault {code})")]
    Fault {
        /// What was called.
        method: String,
        /// See [`code`].
        code: i64,
        /// For a person.
        text: String,
    },
    /// There was no answer, or one that says "later": nobody knows whether it was carried out.
    #[error("no answer from Koji to {method}: {text}")]
    NoAnswer {
        /// What was called.
        method: String,
        /// Why.
        text: String,
    },
    /// The web server before the hub says no.
    #[error("Koji's web server refuses {method}: {text} (HTTP {status})")]
    Refused {
        /// What was called.
        method: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The answer cannot be understood.
    #[error("Koji's answer to {method} cannot be understood: {text}")]
    Garbled {
        /// What was called.
        method: String,
        /// Why.
        text: String,
    },
    /// Nobody could be logged in.
    #[error("cannot log in to Koji: {0}")]
    Login(String),
}

impl CallError {
    /// Whether it is the fault with this code.
    pub fn is(&self, wanted: i64) -> bool {
        matches!(self, CallError::Fault { code, .. } if *code == wanted)
    }

    /// Whether the same call helps after a new login: it was not carried out.
    pub(super) fn asks_for_login(&self) -> bool {
        [code::EXPIRED, code::SEQUENCE, code::AUTH].into_iter().any(|code| self.is(code))
    }

    /// Whether the hub answered at all, so that its number for calls moves on.
    pub(super) fn is_answer(&self) -> bool {
        matches!(self, CallError::Fault { .. })
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Fault {
        let reason = error.to_string();
        match &error {
            CallError::NoAnswer { .. } => Fault::Away(reason),
            CallError::Fault { code, .. } if *code == code::OFFLINE => Fault::Away(reason),
            CallError::Fault { code, .. }
                if [code::GENERIC, code::NOT_ALLOWED, code::PARAMETER].contains(code) =>
            {
                Fault::GiveUp(reason)
            }
            CallError::Refused { .. } => Fault::GiveUp(reason),
            CallError::Fault { .. } | CallError::Garbled { .. } | CallError::Login(_) => Fault::Retry(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_waited_for_and_what_does_not_is_given_up() {
        let fault =
            |code| Fault::from(CallError::Fault { method: "m".to_owned(), code, text: "t".to_owned() });
        assert!(matches!(fault(code::OFFLINE), Fault::Away(_)), "a closed hub opens again");
        for code in [1, 1001, code::AUTH, 1006, code::EXPIRED, code::SEQUENCE, code::REPEATED] {
            assert!(matches!(fault(code), Fault::Retry(_)), "{code}");
        }
        for code in [code::GENERIC, code::NOT_ALLOWED, code::PARAMETER] {
            assert!(matches!(fault(code), Fault::GiveUp(_)), "{code}");
        }
    }
}
