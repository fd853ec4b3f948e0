//! One row of a command's description: an option or a word, since which release, and how it is written.
//!
//! Knows how descriptions are put down as data. Must not know any single command.

use super::Syntax;

/// The releases for which something holds, such as `"RHEL6 F18-"` or `"F7-F13"`, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Releases(pub(super) &'static str);

impl Releases {
    /// Every release.
    pub(super) const ALL: Self = Self("F7-");

    /// Whether `syntax` is one of them.
    pub(super) fn include(self, syntax: Syntax) -> bool {
        self.ranges().any(|(first, last)| first <= syntax && syntax <= last)
    }

    /// The first release after `syntax` with which they begin, one of the same distribution if there is any.
    pub(super) fn next_after(self, syntax: Syntax) -> Option<Syntax> {
        let later = || self.ranges().map(|(first, _)| first).filter(|first| *first > syntax);
        let of_same_kind = later().filter(|first| first.is_enterprise() == syntax.is_enterprise()).min();
        of_same_kind.or_else(|| later().min())
    }

    fn ranges(self) -> impl Iterator<Item = (Syntax, Syntax)> {
        self.0.split_whitespace().filter_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let last = if last.is_empty() { Some(Syntax::LAST) } else { last.parse().ok() };
            Some((first.parse().ok()?, last?))
        })
    }
}

/// What follows an option, and so what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: the option is there or not.
    Nothing,
    /// Nothing: the key gets this text.
    Constant(&'static str),
    /// Nothing: the key, a list, gets these texts appended.
    Constants(&'static [&'static str]),
    /// A text.
    Text,
    /// A text, or nothing (then the key gets the empty text).
    OptionalText,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// One of these texts in any letter case; the second of each pair is what is meant.
    Means(&'static [(&'static str, &'static str)]),
    /// A whole number.
    Number,
    /// A truth value: on, yes, true, 1, off, no, false or 0.
    Boolean,
    /// A list with commas between.
    List,
    /// A list with commas between that grows when the option is given again.
    Lists,
    /// As `Lists`, of ports; one without protocol is a TCP port.
    Ports,
    /// A text, appended to a list.
    Append,
    /// No option but a word: exactly one.
    Word,
    /// No option but a word: at most one.
    OptionalWord,
    /// No option but words, any number.
    Words,
}

/// How a row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// `--option=value`, with commas in a list; a flag as `--option`, a word as it is.
    Bare,
    /// `--option="value"`.
    Quoted,
    /// As `Bare`, a zero too.
    Zero,
    /// Not at all.
    Hidden,
}

/// An option or a word of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Its spellings, the one that is written first; for a word what it is called in errors.
    pub(super) spellings: &'static [&'static str],
    /// Where its value is kept.
    pub(super) key: &'static str,
    /// What follows it.
    pub(super) takes: Takes,
    /// The releases that know it.
    pub(super) releases: Releases,
    /// Those of them in which it does nothing any more.
    pub(super) deprecated: Option<Releases>,
    /// What to write instead of it where it is unknown or deprecated.
    pub(super) instead: &'static str,
    /// How it is written.
    pub(super) show: Show,
    /// Whether the command needs it.
    pub(super) required: bool,
    /// Its value when it is not given.
    pub(super) default: Option<&'static str>,
    /// It is written only when the option with this key is written too.
    pub(super) needs: Option<&'static str>,
}

/// A row with these spellings, the first of which gives the key.
pub(super) const fn row(spellings: &'static [&'static str], key: &'static str, takes: Takes) -> Row {
    Row {
        spellings,
        key,
        takes,
        releases: Releases::ALL,
        deprecated: None,
        instead: "",
        show: Show::Bare,
        required: false,
        default: None,
        needs: None,
    }
}

impl Row {
    /// The releases that know it.
    pub(super) const fn releases(mut self, releases: &'static str) -> Self {
        self.releases = Releases(releases);
        self
    }

    /// The releases in which it does nothing any more.
    pub(super) const fn deprecated(mut self, releases: &'static str) -> Self {
        self.deprecated = Some(Releases(releases));
        self
    }

    /// What to write instead.
    pub(super) const fn instead(mut self, instead: &'static str) -> Self {
        self.instead = instead;
        self
    }

    /// It is written in quotes.
    pub(super) const fn quoted(mut self) -> Self {
        self.show = Show::Quoted;
        self
    }

    /// A zero is written too.
    pub(super) const fn zero(mut self) -> Self {
        self.show = Show::Zero;
        self
    }

    /// It is not written, or the command writes it itself.
    pub(super) const fn hidden(mut self) -> Self {
        self.show = Show::Hidden;
        self
    }

    /// The command needs it.
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Its value when it is not given.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = Some(value);
        self
    }

    /// It is written only beside the option with this key.
    pub(super) const fn needs(mut self, key: &'static str) -> Self {
        self.needs = Some(key);
        self
    }

    /// Whether it is a word and no option.
    pub(super) fn is_word(&self) -> bool {
        matches!(self.takes, Takes::Word | Takes::OptionalWord | Takes::Words)
    }

    /// The spelling that is written.
    pub(super) fn name(&self) -> &'static str {
        self.spellings.first().copied().unwrap_or_default()
    }
}

/// Rows whose key is the name of the option without its dashes.
macro_rules! option {
    ($name:literal, $takes:expr) => {
        $crate::kickstart::row::row(&[concat!("--", $name)], $name, $takes)
    };
}
/// An option that is there or not.
macro_rules! flag {
    ($name:literal) => {
        $crate::kickstart::row::option!($name, $crate::kickstart::row::Takes::Nothing)
    };
}
/// An option with a text.
macro_rules! text {
    ($name:literal) => {
        $crate::kickstart::row::option!($name, $crate::kickstart::row::Takes::Text)
    };
}
/// An option with a number.
macro_rules! number {
    ($name:literal) => {
        $crate::kickstart::row::option!($name, $crate::kickstart::row::Takes::Number)
    };
}
/// An option with a list.
macro_rules! list {
    ($name:literal) => {
        $crate::kickstart::row::option!($name, $crate::kickstart::row::Takes::List)
    };
}
/// A word that is no option.
macro_rules! word {
    ($name:literal) => {
        $crate::kickstart::row::row(&[$name], $name, $crate::kickstart::row::Takes::Word)
    };
}
pub(super) use {flag, list, number, option, text, word};
