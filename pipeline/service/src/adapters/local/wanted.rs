//! What is to be installed, in terms of the package manager, from a definition and a recipe.
//!
//! Knows kickstarts, treefiles and recipes. Must not know how packages are installed.

mod beside;

use muster_definition::kickstart::{Extent, Kickstart, Location, Repo};
use muster_definition::treefile::Treefile;
use muster_flow::build::BuildRequest;
use muster_flow::recipe::Signatures;

use super::fault::{BuildError, Result};

/// Everything the package manager is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where packages come from.
    pub sources: Vec<Source>,
    /// One transaction for each; more than one only when groups are wanted to different extents.
    pub rounds: Vec<Round>,
    /// Names and globs that must not be installed.
    pub excludes: Vec<String>,
    /// Further settings of the package manager.
    pub options: Vec<(&'static str, String)>,
    /// Macros of RPM.
    pub macros: Vec<(&'static str, String)>,
}

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// How much of a group is meant.
    pub extent: Extent,
    /// Groups as `@name`, names, globs, files.
    pub specs: Vec<String>,
}

/// One package repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its short name.
    pub name: String,
    /// Its settings in the order in which they are written.
    pub settings: Vec<(&'static str, String)>,
}

/// Where the package database lies in a system that is not OSTree's.
pub const DATABASE: &str = "/usr/lib/sysimage/rpm";

/// Where it lies in an OSTree commit, in which `/usr/lib/sysimage/rpm` is a link to it.
pub const OSTREE_DATABASE: &str = "/usr/share/rpm";

/// What a kickstart wants, and what a person should know about it.
pub fn of_kickstart(kickstart: &Kickstart, request: &BuildRequest) -> Result<(Wanted, Vec<String>)> {
    refuse_other_origins(kickstart, &request.definition.file)?;
    let packages = kickstart.packages.clone().unwrap_or_default();
    let mut warnings = Vec::new();
    if !packages.excluded_groups.is_empty() {
        if packages.environment.is_some() {
            return Err(BuildError::Unsupported {
                at: request.definition.file.clone(),
                what: format!("excluding the group {} from an environment", packages.excluded_groups[0]),
                instead: "name the groups instead of the environment".to_owned(),
            });
        }
        warnings.push(format!("-@{}: no such group was asked for", packages.excluded_groups.join(", -@")));
    }
    let mut wanted = Wanted {
        sources: sources(kickstart, request)?,
        rounds: rounds(&packages),
        excludes: packages.exclude.clone(),
        options: Vec::new(),
        macros: vec![("_dbpath", DATABASE.to_owned())],
    };
    let options = &packages.options;
    let flag = |on: bool| u8::from(on).to_string();
    wanted.options.push(("install_weak_deps", flag(!options.exclude_weak_dependencies)));
    wanted.options.push(("strict", flag(!(options.ignore_missing || options.ignore_broken))));
    if options.exclude_docs {
        wanted.options.push(("tsflags", "nodocs".to_owned()));
    }
    if options.multilib {
        wanted.options.push(("multilib_policy", "all".to_owned()));
    }
    wanted.options.extend(options.timeout.map(|seconds| ("timeout", seconds.to_string())));
    wanted.options.extend(options.retries.map(|times| ("retries", times.to_string())));
    wanted.macros.extend(options.languages.as_deref().map(|languages| ("_install_langs", langs(languages))));
    if options.default {
        warnings.push("%packages --default: there is no default package set, nothing was added".to_owned());
    }
    Ok((wanted, warnings))
}

/// What a treefile wants.
pub fn of_treefile(treefile: &Treefile, request: &BuildRequest) -> Result<Wanted> {
    let sources = if request.packages.repositories.is_empty() {
        beside::sources(treefile, request)?
    } else {
        recipe_sources(request)?
    };
    let specs = treefile.packages.iter().cloned();
    let specs = specs.chain(treefile.repo_packages.iter().flat_map(|from| from.packages.iter().cloned()));
    let mut wanted = Wanted {
        sources,
        rounds: vec![Round { extent: Extent::Default, specs: specs.collect() }],
        excludes: treefile.exclude_packages.clone(),
        options: vec![
            ("install_weak_deps", u8::from(treefile.recommends).to_string()),
            ("strict", "1".to_owned()),
        ],
        macros: vec![("_dbpath", OSTREE_DATABASE.to_owned())],
    };
    if !treefile.documentation {
        wanted.options.push(("tsflags", "nodocs".to_owned()));
    }
    wanted.macros.extend(treefile.install_langs.as_ref().map(|langs| ("_install_langs", langs.join(":"))));
    Ok(wanted)
}

fn refuse_other_origins(kickstart: &Kickstart, file: &str) -> Result<()> {
    let origin = &kickstart.origin;
    let what = if origin.live_image.is_some() {
        "liveimg"
    } else if origin.ostree.is_some() {
        "ostreesetup"
    } else if origin.ostree_container.is_some() {
        "ostreecontainer"
    } else if !origin.modules.is_empty() {
        "module"
    } else {
        return Ok(());
    };
    let instead = match what {
        "module" => "modules are gone from Fedora: name the packages themselves",
        "ostreesetup" => "give the recipe a treefile and the product ostree",
        _ => "install packages with url, repo and %packages",
    };
    let (what, instead) = (what.to_owned(), instead.to_owned());
    Err(BuildError::Unsupported { at: file.to_owned(), what, instead })
}

/// Groups come with their mandatory and default packages unless they say otherwise.
fn rounds(packages: &muster_definition::kickstart::Packages) -> Vec<Round> {
    let mut plain: Vec<String> = packages.environment.iter().map(|name| format!("@^{name}")).collect();
    if !packages.options.no_core && !packages.groups.iter().any(|group| group.name == "core") {
        plain.push("@core".to_owned());
    }
    let of = |extent: Extent| {
        let groups = packages.groups.iter().filter(move |group| group.extent == extent);
        groups.map(|group| format!("@{}", group.name))
    };
    plain.extend(of(Extent::Default).chain(packages.install.iter().cloned()));
    // What a group has at least goes first: later rounds add to it, none takes away.
    let rounds = [
        Round { extent: Extent::Mandatory, specs: of(Extent::Mandatory).collect() },
        Round { extent: Extent::Default, specs: plain },
        Round { extent: Extent::All, specs: of(Extent::All).collect() },
    ];
    rounds.into_iter().filter(|round| !round.specs.is_empty()).collect()
}

/// RPM compares the languages of a file with these; none of them is `C`.
fn langs(languages: &str) -> String {
    match languages {
        "" | "none" => "C".to_owned(),
        languages => languages.to_owned(),
    }
}

fn sources(kickstart: &Kickstart, request: &BuildRequest) -> Result<Vec<Source>> {
    if !request.packages.repositories.is_empty() {
        return recipe_sources(request);
    }
    let url = kickstart.origin.url.as_ref().map(|url| {
        let mut settings = vec![location(&url.location)];
        settings.extend(url.proxy.clone().map(|proxy| ("proxy", proxy)));
        settings.extend(tls(url.verify_tls, [&url.tls_ca, &url.tls_certificate, &url.tls_key]));
        Source { name: "url".to_owned(), settings }
    });
    let mut sources: Vec<Source> = url.into_iter().collect();
    for repo in &kickstart.origin.repos {
        sources.push(kickstart_source(repo)?);
    }
    match sources.first() {
        None => Err(BuildError::NoRepository),
        Some(first) if request.packages.signatures == Signatures::Required => {
            Err(BuildError::NoKey(first.name.clone()))
        }
        Some(_) => Ok(sources),
    }
}

fn kickstart_source(repo: &Repo) -> Result<Source> {
    let Some(place) = &repo.location else {
        return Err(BuildError::Unsupported {
            at: format!("{}:{}", repo.at.0, repo.at.1),
            what: format!("the repository {} without an address", repo.name),
            instead: "write --baseurl, --mirrorlist or --metalink".to_owned(),
        });
    };
    let mut settings = vec![location(place)];
    settings.extend(repo.cost.map(|cost| ("cost", cost.to_string())));
    settings.extend(joined("includepkgs", &repo.include));
    settings.extend(joined("excludepkgs", &repo.exclude));
    settings.extend(repo.proxy.clone().map(|proxy| ("proxy", proxy)));
    settings.extend(tls(repo.verify_tls, [&repo.tls_ca, &repo.tls_certificate, &repo.tls_key]));
    Ok(Source { name: repo.name.clone(), settings })
}

fn recipe_sources(request: &BuildRequest) -> Result<Vec<Source>> {
    let packages = &request.packages;
    let source = |repository: &muster_flow::recipe::Repository| {
        let mut settings = vec![("baseurl", repository.baseurl.clone())];
        if packages.signatures == Signatures::Required {
            if repository.gpgkeys.is_empty() {
                return Err(BuildError::NoKey(repository.name.clone()));
            }
            settings.push(("gpgcheck", "1".to_owned()));
            settings.push(("gpgkey", repository.gpgkeys.join(" ")));
        }
        Ok(Source { name: repository.name.clone(), settings })
    };
    packages.repositories.iter().map(source).collect()
}

fn location(location: &Location) -> (&'static str, String) {
    match location {
        Location::BaseUrl(url) => ("baseurl", url.clone()),
        Location::MirrorList(url) => ("mirrorlist", url.clone()),
        Location::Metalink(url) => ("metalink", url.clone()),
    }
}

fn tls(verify: bool, [ca, certificate, key]: [&Option<String>; 3]) -> Vec<(&'static str, String)> {
    let mut settings = vec![("sslverify", u8::from(verify).to_string())];
    let files = [("sslcacert", ca), ("sslclientcert", certificate), ("sslclientkey", key)];
    settings.extend(files.into_iter().filter_map(|(name, path)| Some((name, path.clone()?))));
    settings
}

fn joined(name: &'static str, values: &[String]) -> Option<(&'static str, String)> {
    (!values.is_empty()).then(|| (name, values.join(",")))
}
