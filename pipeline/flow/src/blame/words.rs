//! Suspects, probes and conclusions, for a person.

use super::suspect::{Change, Suspect, without_arch};
use super::{Accusation, Conclusion, How, Sight, Trial};
use crate::difference::{Difference, What};

impl Suspect {
    /// What it is, such as `hello-2.10-3`.
    pub fn words(&self) -> String {
        match &self.change {
            Change::Packages(differences) => packages(differences),
            Change::Definition { old, new, files } => {
                let between = match (short(old), short(new)) {
                    (old, new) if old.is_empty() || new.is_empty() => String::new(),
                    (old, new) => format!(" from {old} to {new}"),
                };
                format!("the change of {}{between}", files.join(", "))
            }
            Change::Recipe(settings) => format!("the recipe's new {}", settings.join(", ")),
            Change::Testing(changes) => changes.join(", and "),
        }
    }
}

fn packages(differences: &[Difference]) -> String {
    let side = |difference: &Difference, evra: &Option<String>| {
        format!("{}-{}", difference.name, evra.as_deref().map(without_arch).unwrap_or_default())
    };
    let one = |difference: &Difference| match difference.what {
        What::Removed => format!("the loss of {}", side(difference, &difference.old)),
        What::Added | What::Upgraded | What::Downgraded | What::Moved => side(difference, &difference.new),
    };
    let mut names: Vec<String> = differences.iter().map(one).collect();
    names.dedup();
    match &names[..] {
        [] => "no package".to_owned(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} (with {})", others.join(", ")),
    }
}

fn short(commit: &str) -> String {
    commit.chars().take(10).collect()
}

impl Trial {
    /// What it boots.
    pub fn words(&self) -> String {
        match self {
            Trial::Red => "the red image again".to_owned(),
            Trial::Good => "the last good image again".to_owned(),
            Trial::With(names) if names.is_empty() => "the last good image, built anew".to_owned(),
            Trial::With(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("the last good image, built anew with {}", names.join(", "))
            }
        }
    }
}

impl Conclusion {
    /// What was found, in one sentence without its full stop.
    pub fn words(&self) -> String {
        match self {
            Conclusion::Accused(accusation) => accusation.words(),
            Conclusion::Known { of, accusation } => format!("as in {of}, {}", accusation.words()),
            Conclusion::NotReproduced { red, green } => {
                format!(
                    "could not reproduce it: likely a flaky test (red {}, green {})",
                    times(*red),
                    times(*green)
                )
            }
            Conclusion::Elsewhere { what } => format!(
                "no change of the image did it: {what}, is red now as well. Look at the place where it is booted"
            ),
            Conclusion::Inconclusive { why, left } if left.is_empty() => {
                format!("it could not be found out what did it: {why}")
            }
            Conclusion::Inconclusive { why, left } => {
                format!("it could not be found out what did it: {why}; left are {}", left.join(", "))
            }
        }
    }
}

impl Accusation {
    fn words(&self) -> String {
        let names: Vec<String> = self.suspects.iter().map(Suspect::words).collect();
        let names = names.join(" and ");
        if self.suspects.iter().any(|suspect| matches!(suspect.change, Change::Testing(_))) {
            return format!("{names}, and that did it: the last good image is red with it as well");
        }
        let (who, them, alone) = match self.how {
            How::One => (format!("{names} did it"), "it", "it alone"),
            How::Together => (format!("{names} did it together"), "them", "them alone"),
            How::Inseparable => {
                (format!("{names}, which cannot be built without each other, did it"), "them", "them alone")
            }
        };
        let without = match &self.without {
            Sight::Green => format!("without {them} the image is green"),
            Sight::Red => {
                format!("without {them} the image is red too, so that something else does the same")
            }
            Sight::Unknown(_) => format!("without {them} it cannot be built"),
        };
        let alone = match &self.alone {
            Sight::Red => format!("with {alone} it is red"),
            Sight::Green => format!("with {alone} it is green"),
            Sight::Unknown(_) => format!("with {alone} it cannot be built"),
        };
        format!("{who}: {without}, {alone}")
    }
}

fn times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}
