//! Sections: their headers, their bodies, and how they end.
//!
//! Knows which sections there are. Must not know files and includes.

use super::document::{Certificate, Document, KeptSection};
use super::fault::Fault;
use super::options;
use super::packages;
use super::row::{Row, Takes, flag, row, text};
use super::values::Values;
use super::words;
use super::{Moment, Script};

/// The names that open a section.
pub(super) const NAMES: [&str; 9] = [
    "%packages",
    "%pre",
    "%pre-install",
    "%post",
    "%onerror",
    "%traceback",
    "%addon",
    "%anaconda",
    "%certificate",
];

/// A section that has been opened.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// Its name.
    pub(super) name: &'static str,
    /// The file and line of its header.
    pub(super) at: (String, usize),
    /// The words of its header.
    header: Vec<String>,
    /// The options of its header.
    values: Values,
    /// Its lines, when they are kept as they stand.
    body: String,
}

/// A section opens with the header `words`; gives the deprecated options it uses, too.
pub(super) fn open(
    words: Vec<String>,
    at: (String, usize),
    document: &mut Document,
) -> Result<(Open, Vec<&'static Row>), Fault> {
    let first = words.first().map(String::as_str).unwrap_or_default();
    let Some(name) = NAMES.iter().copied().find(|name| *name == first) else {
        return Err(Fault::new(
            format!("there is no section {first}"),
            format!("correct the name; there are {}", NAMES.join(", ")),
        ));
    };
    let mut open = Open { name, at, header: Vec::new(), values: Values::default(), body: String::new() };
    if is_kept(name) {
        open.header = words;
        return Ok((open, Vec::new()));
    }
    let all = rows(name);
    let rows: Vec<&Row> = all.iter().filter(|row| row.releases.include(document.syntax)).collect();
    let given = options::parse(words.get(1..).unwrap_or_default(), &rows, document.syntax)?;
    if let Some(word) = given.left_over.first() {
        return Err(options::strange(all, word, document.syntax));
    }
    if name == "%packages" {
        document.packages.get_or_insert_default().start(&given.values)?;
    }
    if name == "%certificate" && given.values.text("dir").or(given.values.text("type")).is_none() {
        return Err(Fault::new(
            "nothing says where the certificate goes",
            "add --dir=FOLDER or --type=anchor",
        ));
    }
    open.values = given.values;
    Ok((open, given.deprecated))
}

fn is_kept(name: &str) -> bool {
    matches!(name, "%addon" | "%anaconda")
}

const CERTIFICATE: &[Row] = &[text!("filename").required(), text!("dir"), text!("type")];
const SCRIPT: &[Row] = &[flag!("erroronfail"), text!("interpreter"), LOG, flag!("nochroot")];
const SCRIPT_OUTSIDE: &[Row] = &[flag!("erroronfail"), text!("interpreter"), LOG];
const LOG: Row = row(&["--logfile", "--log"], "log", Takes::Text);

/// The rows of every release.
fn rows(name: &str) -> &'static [Row] {
    match name {
        "%packages" => packages::ROWS,
        "%certificate" => CERTIFICATE,
        // Only what runs in the installed system can be told to run outside it.
        "%post" => SCRIPT,
        _ => SCRIPT_OUTSIDE,
    }
}

impl Open {
    /// Whether blank lines and comments belong to it.
    pub(super) fn keeps_every_line(&self) -> bool {
        self.name != "%packages"
    }

    /// One line, with what ends it.
    pub(super) fn line(&mut self, line: &str, document: &mut Document) -> Result<(), Fault> {
        if self.keeps_every_line() {
            self.body.push_str(line);
            return Ok(());
        }
        document.packages.get_or_insert_default().add(line)
    }

    fn moment(&self) -> Option<Moment> {
        match self.name {
            "%pre" => Some(Moment::Pre),
            "%pre-install" => Some(Moment::PreInstall),
            "%post" => Some(Moment::Post),
            "%onerror" => Some(Moment::OnError),
            "%traceback" => Some(Moment::Traceback),
            _ => None,
        }
    }

    /// The section ends.
    pub(super) fn close(self, document: &mut Document) -> Result<(), Fault> {
        if let Some(moment) = self.moment() {
            if !words::trimmed(&self.body).is_empty() {
                document.scripts.push(self.script(moment));
            }
        } else if is_kept(self.name) {
            document.kept.push(KeptSection { header: self.header, body: self.body });
        } else if self.name == "%certificate" {
            let text = self.body.strip_suffix('\n').unwrap_or(&self.body).to_owned();
            if words::trimmed(&text).is_empty() {
                return Err(Fault::new(
                    "the section is empty",
                    "put the certificate between its header and %end",
                ));
            }
            document.certificates.push(Certificate {
                filename: self.values.owned("filename").unwrap_or_default(),
                kind: self.values.owned("type"),
                dir: self.values.owned("dir"),
                text,
            });
        }
        Ok(())
    }

    fn script(self, moment: Moment) -> Script {
        let log = match self.values.find("log") {
            Some(super::values::Value::Text(log)) => Some(log.clone()),
            _ => None,
        };
        Script {
            moment,
            interpreter: self.values.owned("interpreter").unwrap_or_else(|| "/bin/sh".to_owned()),
            chroot: moment == Moment::Post && !self.values.has("nochroot"),
            error_on_fail: self.values.has("erroronfail"),
            log,
            body: self.body,
            at: self.at,
        }
    }
}
