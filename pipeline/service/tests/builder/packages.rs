//! What cannot be installed, and whose signatures are believed.

use std::fs;

use muster::adapters::local::BuildError;
use muster::program::Program;
use muster_flow::recipe::Signatures;

use crate::ground::{assert_says, build, container, distribution, refusal, repository, scratch};

#[tokio::test]
async fn what_cannot_be_installed_is_told_apart() {
    let Some(distribution) = distribution() else { return };
    let (error, text) = refusal(container(&distribution, "nosuch-package")).await;
    assert!(matches!(error, BuildError::Missing { .. }), "{text}");
    assert_says(&text, &["no repository has nosuch-package", "No match for argument: nosuch-package"]);
    let (error, text) = refusal(container(&distribution, "@nosuch-group")).await;
    assert!(matches!(error, BuildError::Missing { .. }), "{text}");
    assert_says(&text, &["no repository has the group nosuch-group"]);
    let (error, text) = refusal(container(&distribution, "broken-dependency")).await;
    assert!(matches!(error, BuildError::Dependency(_)), "{text}");
    assert_says(
        &text,
        &["nothing provides no-such-package >= 5 needed by broken-dependency-1.0-1.mm43.noarch"],
    );
    let (error, text) = refusal(container(&distribution, "murmur-release-iot")).await;
    assert!(matches!(error, BuildError::Dependency(_)), "{text}");
    let (error, text) = refusal(container(&distribution, "hello\nhello-fork")).await;
    assert!(matches!(error, BuildError::FileConflict(_)), "{text}");
    assert_says(&text, &["file /usr/bin/hello conflicts between attempted installs of"]);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_named() {
    let Some(distribution) = distribution() else { return };
    // Nobody listens on port 1 of this machine.
    for (baseurl, words) in
        [("file:///nonexistent/x86_64", "Couldn't open file"), ("http://127.0.0.1:1/x", "Failed to connect")]
    {
        let mut request = container(&distribution, "");
        request.packages.repositories[1].baseurl = baseurl.to_owned();
        let (error, text) = refusal(request).await;
        assert!(matches!(&error, BuildError::Repository { name, .. } if name == "updates"), "{text}");
        assert_says(&text, &["the package repository updates cannot be used", words]);
    }
    let mut request = container(&distribution, "");
    request.packages.repositories.clear();
    assert!(matches!(refusal(request).await.0, BuildError::NoRepository));
}

#[tokio::test]
async fn signatures_are_checked_when_they_are_required() {
    let Some(distribution) = distribution() else { return };
    let key = format!("file://{}/RPM-GPG-KEY", distribution.display());
    let signed = |packages: &str, key: &str| {
        let mut request = container(&distribution, packages);
        request.packages.signatures = Signatures::Required;
        request.packages.repositories.push(repository(&distribution, "unsigned"));
        for repository in &mut request.packages.repositories {
            repository.gpgkeys = vec![key.to_owned()];
        }
        request
    };
    let folder = scratch();
    let output = build(folder.path(), signed("hello", &key)).await.unwrap();
    assert!(output.packages.iter().all(|package| package.name != "gpg-pubkey"));
    let (error, text) = refusal(signed("unsigned", &key)).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["Package unsigned-1.0-1.mm43.noarch.rpm is not signed"]);
    let stranger = stranger().await;
    let (error, text) = refusal(signed("hello", &format!("file://{}", stranger.path().display()))).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["Public key for glibc-"]);
    let (error, text) = refusal(signed("hello", "file:///nonexistent/key")).await;
    assert!(matches!(error, BuildError::Signature(_)), "{text}");
    assert_says(&text, &["/nonexistent/key"]);
    let mut request = signed("hello", &key);
    request.packages.repositories[1].gpgkeys.clear();
    assert!(matches!(refusal(request).await.0, BuildError::NoKey(name) if name == "updates"));
}

/// The public key of somebody who signed nothing.
async fn stranger() -> tempfile::NamedTempFile {
    let home = scratch();
    let gpg = |arguments: &[&str]| {
        Program::new("gpg")
            .arg("--homedir")
            .arg(home.path())
            .args(["--batch", "--quiet", "--passphrase", ""])
            .args(arguments)
    };
    gpg(&["--quick-gen-key", "Stranger <stranger@example.invalid>", "ed25519", "sign", "never"])
        .run()
        .await
        .unwrap();
    let key = gpg(&["--armor", "--export"]).run().await.unwrap().stdout;
    Program::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).run().await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), key).unwrap();
    file
}
