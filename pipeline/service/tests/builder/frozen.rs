//! What a build may take: everything, a frozen package set, all but some packages.

use std::path::Path;

use muster::adapters::local::BuildError;
use muster::adapters::packages::PackageRepositories;
use muster::package_sets::PackageSets;
use muster_flow::batch::{PackageSet, members};
use muster_flow::build::{Allowed, BuildOutput, BuildRequest, Package};
use muster_flow::recipe::Repository;

use crate::ground::{assert_says, build, container, distribution, repository, said, scratch};

/// The package of that name in an image.
fn installed<'a>(output: &'a BuildOutput, name: &str) -> &'a Package {
    output.packages.iter().find(|package| package.name == name).unwrap()
}

/// Keeps a set of packages where `build` in that folder finds it.
fn keep(folder: &Path, packages: &[Package]) -> Allowed {
    let set = PackageSet(packages.iter().map(|package| (package.clone(), package.nvr())).collect());
    Allowed { set: Some(PackageSets::below(folder).keep(&set).unwrap()), without: Vec::new() }
}

#[tokio::test]
async fn a_build_takes_only_what_it_may_take() {
    let Some(distribution) = distribution() else { return };
    let free = scratch();
    let request = container(&distribution, "hello");
    let everything = build(free.path(), request.clone()).await.unwrap();
    let newer = installed(&everything, "hello").clone();
    assert_eq!(newer.release, "2.mm43", "the repositories hold two builds of hello");
    let older = Package { release: "1.mm43".to_owned(), ..newer.clone() };

    let without = scratch();
    let allowed = Allowed { set: None, without: vec![newer.clone()] };
    let output = build(without.path(), BuildRequest { allowed, ..request.clone() }).await.unwrap();
    assert_eq!(*installed(&output, "hello"), older);

    let frozen = scratch();
    let before: Vec<Package> = everything
        .packages
        .iter()
        .map(|package| if *package == newer { &older } else { package }.clone())
        .collect();
    let allowed = keep(frozen.path(), &before);
    let output = build(frozen.path(), BuildRequest { allowed, ..request.clone() }).await.unwrap();
    assert_eq!(output.packages, before, "what came later stays out");

    let vanished = scratch();
    let mut more = before.clone();
    more.push(Package { release: "9.mm43".to_owned(), ..newer.clone() });
    let allowed = keep(vanished.path(), &more);
    let error = build(vanished.path(), BuildRequest { allowed, ..request.clone() }).await.unwrap_err();
    assert!(matches!(error, BuildError::Vanished { .. }), "{error}");
    assert_says(&error.to_string(), &["no repository has hello-0:2.10-9.mm43.x86_64 any more"]);

    let missing = scratch();
    let mut fewer = before;
    fewer.retain(|package| package.name != "hello");
    fewer.push(Package { release: "9.mm43".to_owned(), ..newer });
    let allowed = keep(missing.path(), &fewer);
    let error = build(missing.path(), BuildRequest { allowed, ..request }).await.unwrap_err();
    assert!(matches!(error, BuildError::Vanished { .. }), "{error}");
}

/// Everything that these repositories hold now.
async fn frozen(repositories: &[Repository]) -> PackageSet {
    let reader = PackageRepositories::new().unwrap();
    let mut set = PackageSet::default();
    for repository in repositories {
        set.0.extend(reader.packages(&repository.baseurl).await.unwrap().0);
    }
    set
}

#[tokio::test]
async fn what_came_after_a_batch_was_frozen_is_not_on_its_images_and_an_ejected_member_is_the_old_one() {
    let Some(original) = distribution() else { return };
    let copy = scratch();
    let distribution = copy.path().join("distribution");
    said("cp", &["-a", &original.display().to_string(), &distribution.display().to_string()]).await;
    let repositories = [repository(&distribution, "os"), repository(&distribution, "updates")];
    let before = frozen(&repositories[..1]).await;
    let batch = frozen(&repositories).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let add = root.join("deploy/distribution/add-update").display().to_string();
    said(&add, &[&distribution.display().to_string(), "hello", "2.11-1"]).await;
    let there = frozen(&repositories).await;
    assert!(there.0.keys().any(|package| package.version == "2.11"), "nothing was added");

    let request = container(&distribution, "hello");
    let held_to = |set: PackageSet| {
        let (folder, request) = (scratch(), request.clone());
        async move {
            let name = PackageSets::below(folder.path()).keep(&set).unwrap();
            let allowed = Allowed { set: Some(name), without: Vec::new() };
            let output = build(folder.path(), BuildRequest { allowed, ..request }).await.unwrap();
            installed(&output, "hello").nvr()
        }
    };
    assert_eq!(held_to(there.clone()).await, "hello-2.11-1.mm43");
    assert_eq!(held_to(batch.clone()).await, "hello-2.10-2.mm43", "what came later is on the image");
    let members = members::between(&before, &batch);
    assert_eq!(members.iter().map(|member| member.source.as_str()).collect::<Vec<_>>(), ["hello"]);
    let without = members::without(&batch, &before, &there, &["hello".to_owned()].into());
    assert_eq!(without.absent, [""; 0]);
    assert_eq!(held_to(without.set).await, "hello-2.10-1.mm43", "an ejected member is on the image");
}
