//! The repositories that a treefile names: files in the package manager's own format beside it.

use std::path::Path;

use muster_definition::Source as _;
use muster_definition::treefile::Treefile;
use muster_flow::build::BuildRequest;
use muster_flow::recipe::Signatures;

use super::Source;
use crate::adapters::local::fault::{BuildError, Result};

/// The settings of a repository that mean the same here as on a machine.
const KNOWN: [&str; 12] = [
    "baseurl",
    "metalink",
    "mirrorlist",
    "gpgkey",
    "cost",
    "priority",
    "includepkgs",
    "excludepkgs",
    "proxy",
    "sslverify",
    "sslcacert",
    "module_hotfixes",
];

/// The repositories that the treefile names, each found in some `.repo` file of the definition.
pub fn sources(treefile: &Treefile, request: &BuildRequest) -> Result<Vec<Source>> {
    let found: Vec<Source> = texts(treefile, request).iter().flat_map(|text| sections(text)).collect();
    let required = request.packages.signatures == Signatures::Required;
    let mut sources = Vec::new();
    for name in &treefile.repos {
        let Some(source) = found.iter().find(|source| source.name == *name) else {
            return Err(BuildError::Unsupported {
                at: request.definition.file.clone(),
                what: format!("the repository {name}, which stands in no .repo file of the definition,"),
                instead: "name the repositories in the recipe's packages".to_owned(),
            });
        };
        let mut source = source.clone();
        if required {
            if !source.settings.iter().any(|(name, _)| *name == "gpgkey") {
                return Err(BuildError::NoKey(source.name));
            }
            source.settings.push(("gpgcheck", "1".to_owned()));
        }
        sources.push(source);
    }
    if sources.is_empty() { Err(BuildError::NoRepository) } else { Ok(sources) }
}

/// The files `NAME.repo` beside the treefile, and every other `.repo` file of the definition.
fn texts(treefile: &Treefile, request: &BuildRequest) -> Vec<String> {
    let definition = &request.definition;
    let named = treefile.repos.iter().filter_map(|name| {
        let file = format!("{name}.repo");
        definition.texts.text(&file, Some(&definition.file)).ok().map(|(_, text)| text)
    });
    let others = definition
        .texts
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|ending| ending == "repo"))
        .map(|(_, text)| text.clone());
    named.chain(others).collect()
}

fn sections(text: &str) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sources.push(Source { name: name.to_owned(), settings: Vec::new() });
        } else if let (Some(source), Some((key, value))) = (sources.last_mut(), line.split_once('='))
            && let Some(known) = KNOWN.iter().find(|known| **known == key.trim())
        {
            source.settings.push((known, value.trim().to_owned()));
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repo_file_gives_its_sections_and_the_settings_that_mean_something_here() {
        let text = "# comment\n[os]\nname=Murmur\nbaseurl = http://a/$basearch\nenabled=1\n\n[updates]\nmetalink=http://b?c=d\n";
        let source = |name: &str, key, value: &str| Source {
            name: name.to_owned(),
            settings: vec![(key, value.to_owned())],
        };
        assert_eq!(
            sections(text),
            [source("os", "baseurl", "http://a/$basearch"), source("updates", "metalink", "http://b?c=d")]
        );
    }
}
