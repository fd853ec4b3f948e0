//! The search itself: which probe is needed next, or what follows from those that were made.
//!
//! It is told from the beginning each time, as if every probe had been made: where one is missing, the telling stops with
//! what is needed. So there is no state to keep, and a later boot that contradicts an earlier one changes the way by
//! itself.
//!
//! The invariant of the halving: the good image with `base` is green, with `base` and `left` it is red.

use std::collections::BTreeSet;

use super::probe::Answer;
use super::suspect::Suspect;
use super::{Accusation, Case, Conclusion, How, Sight, Trial};

/// How many boots must agree before anybody is accused on their word: one may be red, or green, by chance.
const BOOTS: usize = 2;

/// How often a boot is tried that shows nothing: a place may be broken for once.
const TRIES: usize = 2;

/// Names of suspects.
type Names = BTreeSet<String>;

/// A probe that is needed, and the suspects that are left by now.
pub(super) struct Need {
    pub trial: Trial,
    pub left: Vec<String>,
}

/// What follows from the probes, or the probe that is needed to go on.
pub(super) fn conclude(case: &Case) -> Result<Conclusion, Need> {
    if let Some(conclusion) = stopped(case) {
        return Ok(conclusion);
    }
    let all: Names = case.suspects.iter().map(|suspect| suspect.name.clone()).collect();
    if let Some(conclusion) = not_reproduced(case, &all)? {
        return Ok(conclusion);
    }
    if let Some(conclusion) = control(case, &all)? {
        return Ok(conclusion);
    }
    match case.suspects.len() {
        0 => Ok(inconclusive("nothing that Muster knows of has changed since the last good one", &all)),
        1 => Ok(accuse(case, &all, How::One, (Sight::Red, Sight::Green))),
        _ => search(case, &all),
    }
}

fn stopped(case: &Case) -> Option<Conclusion> {
    case.answers.iter().find_map(|(_, answer)| match answer {
        Answer::Stopped(why) => Some(inconclusive(&format!("a probe was stopped: {why}"), &Names::new())),
        Answer::Red | Answer::Green | Answer::NotBuilt(_) | Answer::NotTold(_) => None,
    })
}

/// The red image is booted again: when it is green even once, chance has a part in it.
fn not_reproduced(case: &Case, all: &Names) -> Result<Option<Conclusion>, Need> {
    let tally = case.tally(&Trial::Red);
    if tally.told() < BOOTS && tally.lost < TRIES {
        return Err(Need { trial: Trial::Red, left: names(all) });
    }
    Ok(match (tally.green, tally.told() < BOOTS) {
        (0, false) => None,
        (0, true) => Some(inconclusive(&format!("the red image cannot be booted again: {}", tally.why), all)),
        // The boot that made it red counts too.
        (_, _) => Some(Conclusion::NotReproduced { red: count(tally.red + 1), green: count(tally.green) }),
    })
}

/// The good image is booted with today's tests in today's places: when it is red now, no change of the image did it.
fn control(case: &Case, all: &Names) -> Result<Option<Conclusion>, Need> {
    let anew = Trial::With(Names::new());
    let sight = match case.sight(&Trial::Good, all)? {
        // Its files may be gone.
        Sight::Unknown(_) => case.sight(&anew, all)?,
        known @ (Sight::Red | Sight::Green) => known,
    };
    Ok(match (sight, &case.testing) {
        (Sight::Green, _) => None,
        (Sight::Red, Some(testing)) => Some(Conclusion::Accused(Accusation {
            suspects: vec![testing.clone()],
            how: How::One,
            alone: Sight::Red,
            without: Sight::Green,
        })),
        (Sight::Red, None) => {
            Some(Conclusion::Elsewhere { what: "the last good image, booted again as it was".to_owned() })
        }
        (Sight::Unknown(why), _) => {
            let why = format!("the last good image can neither be booted again nor be built again: {why}");
            Some(inconclusive(&why, all))
        }
    })
}

fn search(case: &Case, all: &Names) -> Result<Conclusion, Need> {
    if let Some(obstacle) = &case.obstacle {
        return Ok(inconclusive(obstacle, all));
    }
    let (mut base, mut group) = narrow(case, Names::new(), all.clone())?;
    if group == *all {
        return Ok(inconclusive("no part of what has changed can be built without the rest", all));
    }
    let mut how = if group.len() == 1 { How::One } else { How::Inseparable };
    let alone = loop {
        let alone = case.confirmed(&case.with(&group), &group)?;
        if alone == Sight::Red {
            break alone;
        }
        // What was seen once on the way here is seen twice before anything is made of it.
        let joined = base.union(&group).cloned().collect();
        let below = case.confirmed(&case.with(&base), &group)?;
        let above = case.confirmed(&case.with(&joined), &group)?;
        if base.is_empty() || (below, above) != (Sight::Green, Sight::Red) {
            return Ok(inconclusive("the boots contradict each other", &joined));
        }
        if alone != Sight::Green {
            break alone;
        }
        let (rest, partner) = narrow(case, group.clone(), base)?;
        base = rest.difference(&group).cloned().collect();
        group.extend(partner);
        how = How::Together;
    };
    let rest: Names = all.difference(&group).cloned().collect();
    let without = case.sight(&case.with(&rest), &group)?;
    match (&alone, &without) {
        (Sight::Unknown(why), Sight::Unknown(_)) => {
            let why = format!("what is left can be built neither alone nor be left out: {why}");
            return Ok(inconclusive(&why, &group));
        }
        (_, Sight::Red) => {
            // Either something else does it as well, or whatever is built anew is red.
            let anew = case.sight(&Trial::With(Names::new()), &group)?;
            if anew != Sight::Green {
                let what = "the last good image, built anew of the same packages".to_owned();
                return Ok(Conclusion::Elsewhere { what });
            }
        }
        (_, Sight::Green | Sight::Unknown(_)) => {}
    }
    Ok(accuse(case, &group, how, (alone, without)))
}

/// Halves what is left until one is, or until no part of it can be built without the rest. Returns what was green below
/// it, and it.
fn narrow(case: &Case, mut base: Names, mut left: Names) -> Result<(Names, Names), Need> {
    while left.len() > 1 {
        let mut halved = None;
        for part in parts(&left) {
            let joined: Names = base.union(&part).cloned().collect();
            match case.sight_of_one(&case.with(&joined), &left)? {
                Sight::Red => halved = Some((base.clone(), part)),
                Sight::Green => halved = Some((joined, left.difference(&part).cloned().collect())),
                // They need something of the others, or the others of them: they are put together otherwise.
                Sight::Unknown(_) => continue,
            }
            break;
        }
        let Some(next) = halved else { break };
        (base, left) = next;
    }
    Ok((base, left))
}

/// Ways to take about half of them: the first half, the second, every other, and the rest of those.
fn parts(left: &Names) -> Vec<Names> {
    let take = |wanted: &dyn Fn(usize) -> bool| -> Names {
        left.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, name)| name.clone()).collect()
    };
    let half = left.len().div_ceil(2);
    let mut parts = vec![take(&|at| at < half), take(&|at| at >= half)];
    if left.len() > 2 {
        parts.extend([take(&|at| at % 2 == 0), take(&|at| at % 2 == 1)]);
    }
    parts
}

fn accuse(case: &Case, group: &Names, how: How, (alone, without): (Sight, Sight)) -> Conclusion {
    let suspects: Vec<Suspect> =
        case.suspects.iter().filter(|suspect| group.contains(&suspect.name)).cloned().collect();
    Conclusion::Accused(Accusation { suspects, how, alone, without })
}

fn inconclusive(why: &str, left: &Names) -> Conclusion {
    Conclusion::Inconclusive { why: why.to_owned(), left: names(left) }
}

fn names(names: &Names) -> Vec<String> {
    names.iter().cloned().collect()
}

fn count(boots: usize) -> u32 {
    u32::try_from(boots).unwrap_or(u32::MAX)
}

/// What the boots of one image have shown.
#[derive(Default)]
struct Tally {
    red: usize,
    green: usize,
    /// Boots that showed nothing.
    lost: usize,
    not_built: bool,
    /// Why nothing was shown.
    why: String,
}

impl Tally {
    fn told(&self) -> usize {
        self.red + self.green
    }
}

impl Case {
    /// The good image with these suspects. With all of them it is the red one, with none the good one.
    fn with(&self, names: &Names) -> Trial {
        match names.len() {
            0 => Trial::Good,
            all if all == self.suspects.len() => Trial::Red,
            _ => Trial::With(names.clone()),
        }
    }

    fn tally(&self, trial: &Trial) -> Tally {
        let mut tally = Tally::default();
        for (_, answer) in self.answers.iter().filter(|(of, _)| of == trial) {
            match answer {
                Answer::Red => tally.red += 1,
                Answer::Green => tally.green += 1,
                Answer::NotBuilt(why) => (tally.not_built, tally.why) = (true, why.clone()),
                Answer::NotTold(why) | Answer::Stopped(why) => {
                    tally.lost += 1;
                    tally.why.clone_from(why);
                }
            }
        }
        tally
    }

    /// What the most of at least so many boots have shown.
    fn seen(&self, trial: &Trial, least: usize, left: &Names) -> Result<Sight, Need> {
        let tally = self.tally(trial);
        match () {
            () if tally.red.max(tally.green) >= least && tally.red > tally.green => Ok(Sight::Red),
            () if tally.red.max(tally.green) >= least && tally.green > tally.red => Ok(Sight::Green),
            () if tally.not_built || tally.lost >= TRIES => Ok(Sight::Unknown(tally.why)),
            () => Err(Need { trial: trial.clone(), left: names(left) }),
        }
    }

    /// What one boot has shown; enough for the way, since the end of it is looked at twice.
    fn sight_of_one(&self, trial: &Trial, left: &Names) -> Result<Sight, Need> {
        self.seen(trial, 1, left)
    }

    /// What is green at first sight, or else red as often as it takes.
    fn sight(&self, trial: &Trial, left: &Names) -> Result<Sight, Need> {
        match self.seen(trial, 1, left)? {
            Sight::Red => self.confirmed(trial, left),
            other @ (Sight::Green | Sight::Unknown(_)) => Ok(other),
        }
    }

    /// What several boots have shown.
    fn confirmed(&self, trial: &Trial, left: &Names) -> Result<Sight, Need> {
        self.seen(trial, BOOTS, left)
    }
}
