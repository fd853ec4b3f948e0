//! What can go wrong with one call, or with one file that is read.

use std::time::Duration;

/// What can go wrong with one call.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// The hub answers with this fault, and does nothing.
    Fault(i64, String),
    /// The web server answers with this status, and the hub never hears of it.
    Status(u16),
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The answer is this, whatever was asked.
    Raw(Vec<u8>),
    /// The answer is one string of so many bytes.
    Huge(usize),
    /// It is done and answered, after so long a time.
    Late(Duration),
}

/// What can go wrong with one file that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMishap {
    /// It is not there.
    Gone,
    /// The connection ends after so many bytes.
    CutAfter(usize),
    /// After so many bytes nothing comes for five seconds; then the rest does.
    StallAfter(usize),
    /// The header says it is so long, and no more is sent.
    SaysLength(usize),
    /// It is sent whole although a part was asked for.
    IgnoresRange,
    /// One byte is another.
    Corrupt,
    /// The web server cannot.
    Status(u16),
}
