//! `primary.xml`: the packages of a repository, read as a stream of some hundred megabytes.

use std::io::{BufReader, Read};

use anyhow::{Context, Result};
use quick_xml::Reader;
use quick_xml::events::Event;

use super::Index;
use super::repomd::attribute;

/// The part of a package's entry that text belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Name,
    SourceRpm,
    Other,
}

/// One package, as far as it is read.
#[derive(Default)]
struct Entry {
    name: String,
    version: String,
    release: String,
    source: String,
}

/// Reads the list of packages. Names, versions and releases hold no character that XML must escape.
#[expect(clippy::wildcard_enum_match_arm, reason = "XML has more kinds of events than matter here")]
pub(super) fn read(xml: impl Read, revision: String) -> Result<Index> {
    let mut reader = Reader::from_reader(BufReader::with_capacity(1 << 16, xml));
    let mut index = Index { revision, ..Index::default() };
    let (mut buffer, mut entry, mut inside) = (Vec::new(), Entry::default(), Inside::Other);
    loop {
        match reader.read_event_into(&mut buffer).context("the metadata is broken")? {
            Event::Start(tag) => {
                inside = match tag.local_name().as_ref() {
                    // Files and dependencies have no element of this name.
                    b"name" => Inside::Name,
                    b"sourcerpm" => Inside::SourceRpm,
                    _ => Inside::Other,
                }
            }
            Event::Empty(tag) if tag.local_name().as_ref() == b"version" => {
                entry.version = attribute(&tag, "ver").unwrap_or_default();
                entry.release = attribute(&tag, "rel").unwrap_or_default();
            }
            Event::Text(text) if inside != Inside::Other => {
                let text = String::from_utf8_lossy(&text).trim().to_owned();
                match inside {
                    Inside::Name => entry.name = text,
                    Inside::SourceRpm => entry.source = text,
                    Inside::Other => {}
                }
            }
            Event::End(tag) => {
                inside = Inside::Other;
                if tag.local_name().as_ref() == b"package" {
                    add(&mut index, std::mem::take(&mut entry));
                }
            }
            Event::Eof => return Ok(index),
            _ => {}
        }
        buffer.clear();
    }
}

fn add(index: &mut Index, entry: Entry) {
    let Entry { name, version, release, source } = entry;
    if name.is_empty() {
        return;
    }
    let nvr = format!("{name}-{version}-{release}");
    // What has no source package is its own build.
    let source =
        source.strip_suffix(".src.rpm").or_else(|| source.strip_suffix(".nosrc.rpm")).unwrap_or(&nvr);
    if !index.builds.contains(source) {
        index.builds.insert(source.to_owned());
    }
    if source != nvr {
        index.packages.insert(nvr.clone(), source.to_owned());
    }
    if let Some(of) = super::name_of(source)
        && of != name
    {
        index.sources.insert(name, of.to_owned());
    }
}
