//! What cannot be built is told, and who is at fault.

use muster::adapters::local::BuildError;
use muster_flow::recipe::Product;

use crate::ground::{DISK, assert_says, container, distribution, refusal, request};

#[tokio::test]
async fn a_failing_post_script_fails_the_build_with_its_words() {
    let Some(distribution) = distribution() else { return };
    let mut request = container(&distribution, "");
    let text = request.definition.texts.get_mut("a.ks").unwrap();
    *text += "%post\nexit 1\n%end\n%post --erroronfail\necho 'the disk is upside down' >&2\nexit 9\n%end\n";
    let (error, text) = refusal(request).await;
    assert!(matches!(error, BuildError::Script { .. }));
    assert_eq!(text, "the script at a.ks:10 failed with exit code 9:\nthe disk is upside down");
}

#[tokio::test]
async fn a_failing_scriptlet_fails_the_build_although_dnf_says_nothing() {
    let Some(distribution) = distribution() else { return };
    for kind in ["post", "pre", "posttrans"] {
        let (error, text) = refusal(container(&distribution, &format!("broken-{kind}"))).await;
        assert!(matches!(error, BuildError::Scriptlet { .. }), "{text}");
        let said = format!("the %{kind} script of broken-{kind} gives up");
        assert_says(
            &text,
            &[&format!("(broken-{kind}-1.0-1.mm43.noarch)"), &said, "scriptlet failed, exit status"],
        );
    }
}

#[tokio::test]
async fn a_root_that_is_too_small_is_told_with_its_size() {
    let Some(distribution) = distribution() else { return };
    let small = DISK.replace("--size=160 --grow", "--size=24");
    let (error, text) = refusal(request(&distribution, Product::Disk, &small)).await;
    assert!(matches!(error, BuildError::FileSystemTooSmall { size_mib: 24, files_mib: 30.., .. }), "{text}");
    assert_says(&text, &["the file system / of 24 MiB is too small"]);
}

#[tokio::test]
async fn a_disk_without_a_kernel_is_refused() {
    let Some(distribution) = distribution() else { return };
    let text = "part / --size=100\n%packages --nocore\nmurmur-release-cloud\nglibc\nbusybox\n%end\n";
    let (error, text) = refusal(request(&distribution, Product::Disk, text)).await;
    assert!(matches!(error, BuildError::NoKernel), "{text}");
}

#[tokio::test]
async fn a_definition_that_cannot_be_built_is_told_with_its_line() {
    let Some(distribution) = distribution() else { return };
    let (error, text) =
        refusal(request(&distribution, Product::Disk, "lang en_US\npart --nosuch / --size=x\n")).await;
    assert!(matches!(error, BuildError::Kickstart(_)), "{text}");
    assert_says(&text, &["cannot read the kickstart: a.ks:2: "]);
    let (error, text) = refusal(request(&distribution, Product::Disk, "text\nvolgroup vg pv.01\n")).await;
    assert!(matches!(error, BuildError::Unsupported { .. }), "{text}");
    assert_says(&text, &["a.ks:2: the command volgroup is not supported by the local builder"]);
    let mut request = container(&distribution, "");
    request.arch = "s390x".to_owned();
    let (_, text) = refusal(request).await;
    assert_says(&text, &["building for s390x on x86_64 is not supported"]);
}
