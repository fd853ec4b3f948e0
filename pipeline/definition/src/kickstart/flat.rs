//! Writes a document as one kickstart, the way its release writes it.
//!
//! Knows the order of things and the form of sections. Must not know single commands.

use super::command::{self, Lines};
use super::commands::COMMANDS;
use super::document::{Certificate, Document, KeptSection};
use super::row::Releases;
use super::words::{bare, in_quotes};
use super::{Moment, Script, Syntax};
use std::collections::BTreeMap;

/// The whole document as text that reads back as the same document.
pub(super) fn written(document: &Document) -> String {
    let syntax = document.syntax;
    let mut text = "# Flattened by muster\n".to_owned();
    if !document.platform.is_empty() {
        text.extend(["#platform=", &document.platform, "\n"]);
    }
    let version = if syntax == Syntax::NEWEST { "DEVEL".to_owned() } else { syntax.to_string() };
    text.extend(["#version=", &version, "\n"]);
    commands(&mut text, document);
    document.scripts.iter().for_each(|section| script(&mut text, section, syntax));
    if !document.kept.is_empty() {
        document.kept.iter().for_each(|section| kept(&mut text, section));
    }
    if let Some(packages) = &document.packages {
        text.push_str(&packages.written(syntax));
    }
    document.certificates.iter().for_each(|section| certificate(&mut text, section));
    text
}

fn commands(text: &mut String, document: &Document) {
    let syntax = document.syntax;
    let mut parts: BTreeMap<(u8, &str), String> = BTreeMap::new();
    for command in COMMANDS.iter().copied().flatten().filter(|command| command.releases.include(syntax)) {
        let absent = (command.absent)(syntax);
        if !absent.is_empty() {
            parts.insert((command.rank, command.sort), absent.to_owned());
        }
    }
    for (place, (command, lines)) in &document.commands {
        let lines: String = lines.iter().map(|line| command::written(command, line, syntax)).collect();
        let part = match command.lines {
            Lines::Add if !lines.is_empty() => [command.comment, &lines, command.below].concat(),
            Lines::Add | Lines::Change => lines,
        };
        parts.insert(*place, part);
    }
    text.extend(parts.into_values());
}

fn script(text: &mut String, script: &Script, syntax: Syntax) {
    text.push_str(match script.moment {
        Moment::Pre => "\n%pre",
        Moment::PreInstall => "\n%pre-install",
        Moment::Post => "\n%post",
        Moment::OnError => "\n%onerror",
        Moment::Traceback => "\n%traceback",
    });
    if script.interpreter != "/bin/sh" {
        text.extend([" --interpreter=", &bare(&script.interpreter)]);
    }
    if script.moment == Moment::Post && !script.chroot {
        text.push_str(" --nochroot");
    }
    if let Some(log) = &script.log {
        text.extend([" --logfile=", &if log.is_empty() { "".into() } else { bare(log) }]);
    }
    if script.error_on_fail {
        text.push_str(" --erroronfail");
    }
    text.push('\n');
    text.push_str(&script.body);
    if !script.body.ends_with('\n') {
        text.push('\n');
    }
    end(text, syntax);
}

fn end(text: &mut String, syntax: Syntax) {
    if Releases("F8-").include(syntax) {
        text.push_str("%end\n");
    }
}

fn kept(text: &mut String, section: &KeptSection) {
    let header: Vec<_> = section.header.iter().map(|word| bare(word)).collect();
    text.extend(["\n", &header.join(" "), "\n", &section.body]);
    if !section.body.is_empty() && !section.body.ends_with('\n') {
        text.push('\n');
    }
    // What follows brings its own newline.
    text.push_str("%end");
}

fn certificate(text: &mut String, section: &Certificate) {
    text.extend(["\n%certificate --filename=", &in_quotes(&section.filename)]);
    for (option, value) in [("type", &section.kind), ("dir", &section.dir)] {
        if let Some(value) = value {
            text.extend([" --", option, "=", &in_quotes(value)]);
        }
    }
    text.extend(["\n", &section.text, "\n%end\n"]);
}
