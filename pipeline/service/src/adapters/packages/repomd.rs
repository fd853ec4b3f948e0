//! `repomd.xml`: which files the metadata of a repository is in.

use anyhow::{Context, Result, bail};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// The file that lists the packages.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Primary {
    /// Its path below the repository.
    pub location: String,
    /// Its SHA-256 in hex, when that is the kind of checksum given.
    pub sha256: Option<String>,
}

/// Finds the list of packages.
#[expect(clippy::wildcard_enum_match_arm, reason = "XML has more kinds of events than matter here")]
pub(super) fn primary(repomd: &[u8]) -> Result<Primary> {
    let mut reader = Reader::from_reader(repomd);
    let mut buffer = Vec::new();
    let (mut is_primary, mut in_checksum) = (false, false);
    let (mut location, mut sha256) = (None, None);
    loop {
        match reader.read_event_into(&mut buffer).context("cannot understand repomd.xml")? {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                b"data" => is_primary = attribute(&tag, "type").as_deref() == Some("primary"),
                b"location" if is_primary => location = attribute(&tag, "href"),
                b"checksum" if is_primary => {
                    in_checksum = attribute(&tag, "type").as_deref() == Some("sha256");
                }
                _ => {}
            },
            Event::Text(text) if in_checksum => {
                sha256 = Some(String::from_utf8_lossy(&text).trim().to_owned());
                in_checksum = false;
            }
            Event::Eof => break,
            _ => {}
        }
        buffer.clear();
    }
    let Some(location) = location else { bail!("repomd.xml names no list of packages") };
    if location.split('/').any(|part| part == "..") || location.starts_with('/') {
        bail!("repomd.xml names {location:?}, which lies outside the repository");
    }
    Ok(Primary { location, sha256 })
}

/// The value of an attribute.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(String::from_utf8_lossy(&attribute.value).into_owned())
}
