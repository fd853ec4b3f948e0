//! `primary.xml`: the packages of a repository, read as a stream of some hundred megabytes.

use std::io::{BufReader, Read};

use anyhow::{Context, Result};
use quick_xml::Reader;
use quick_xml::events::Event;

use muster_flow::batch::PackageSet;
use muster_flow::build::Package;

use super::Index;
use super::repomd::attribute;

/// The part of a package's entry that text belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Name,
    Arch,
    SourceRpm,
    Other,
}

/// One package, as far as it is read.
#[derive(Default)]
struct Entry {
    name: String,
    arch: String,
    epoch: u32,
    version: String,
    release: String,
    source: String,
}

/// Reads which builds there are.
pub(super) fn read(xml: impl Read, revision: String) -> Result<Index> {
    let mut index = Index { revision, ..Index::default() };
    each(xml, |entry| add(&mut index, &entry))?;
    Ok(index)
}

/// Reads every package.
pub(super) fn read_all(xml: impl Read) -> Result<PackageSet> {
    let mut set = PackageSet::default();
    each(xml, |entry| {
        let nvr = format!("{}-{}-{}", entry.name, entry.version, entry.release);
        let source = source_of(&entry, &nvr).to_owned();
        let Entry { name, arch, epoch, version, release, .. } = entry;
        set.0.insert(Package { name, epoch, version, release, arch }, source);
    })?;
    // What is there to be built from is never installed.
    set.0.retain(|package, _| !matches!(package.arch.as_str(), "src" | "nosrc"));
    Ok(set)
}

/// Reads the list of packages. Names, versions and releases hold no character that XML must escape.
#[expect(clippy::wildcard_enum_match_arm, reason = "XML has more kinds of events than matter here")]
fn each(xml: impl Read, mut add: impl FnMut(Entry)) -> Result<()> {
    let mut reader = Reader::from_reader(BufReader::with_capacity(1 << 16, xml));
    let (mut buffer, mut entry, mut inside) = (Vec::new(), Entry::default(), Inside::Other);
    loop {
        match reader.read_event_into(&mut buffer).context("the metadata is broken")? {
            Event::Start(tag) => {
                inside = match tag.local_name().as_ref() {
                    // Files and dependencies have no element of this name.
                    b"name" => Inside::Name,
                    b"arch" => Inside::Arch,
                    b"sourcerpm" => Inside::SourceRpm,
                    _ => Inside::Other,
                }
            }
            Event::Empty(tag) if tag.local_name().as_ref() == b"version" => {
                entry.epoch = attribute(&tag, "epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
                entry.version = attribute(&tag, "ver").unwrap_or_default();
                entry.release = attribute(&tag, "rel").unwrap_or_default();
            }
            Event::Text(text) if inside != Inside::Other => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                match inside {
                    Inside::Name => entry.name = text,
                    Inside::Arch => entry.arch = text,
                    Inside::SourceRpm => entry.source = text,
                    Inside::Other => {}
                }
            }
            Event::End(tag) => {
                inside = Inside::Other;
                if tag.local_name().as_ref() == b"package" {
                    add(std::mem::take(&mut entry));
                }
            }
            Event::Eof => return Ok(()),
            _ => {}
        }
        buffer.clear();
    }
}

/// The source package of a package, which is the package itself where none is named.
fn source_of<'a>(entry: &'a Entry, nvr: &'a str) -> &'a str {
    let source = entry.source.strip_suffix(".src.rpm").or_else(|| entry.source.strip_suffix(".nosrc.rpm"));
    source.unwrap_or(nvr)
}

fn add(index: &mut Index, entry: &Entry) {
    if entry.name.is_empty() {
        return;
    }
    let nvr = format!("{}-{}-{}", entry.name, entry.version, entry.release);
    let source = source_of(entry, &nvr);
    if !index.builds.contains(source) {
        index.builds.insert(source.to_owned());
    }
    if source != nvr {
        index.packages.insert(nvr.clone(), source.to_owned());
    }
    if let Some(of) = super::name_of(source)
        && of != entry.name
    {
        index.sources.insert(entry.name.clone(), of.to_owned());
    }
}
