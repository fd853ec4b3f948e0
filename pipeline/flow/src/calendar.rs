//! When releases start by calendar.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A window of a stream: from its opening on, a release is due once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The stream.
    pub stream: String,
    /// When it opens.
    pub opens: Timestamp,
}

impl Window {
    /// The id of the change that its opening is: the same for every process that sees it.
    pub fn change_id(&self) -> String {
        format!("window/{}/{:.0}", self.stream, self.opens)
    }
}
