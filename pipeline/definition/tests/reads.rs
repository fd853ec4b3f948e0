//! What the reader gives to whoever builds an image.
#![expect(clippy::unwrap_used, reason = "a test")]

use muster_definition::Directory;
use muster_definition::kickstart::{
    Ending, Extent, FirstBoot, Kickstart, Location, Moment, Password, Selinux, read,
};

fn kickstart(file: &str, release: &str) -> Kickstart {
    let folder = Directory::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kickstarts"));
    read(file, &folder, release.parse().unwrap()).unwrap()
}

#[test]
fn a_cloud_image_is_typed_with_what_it_includes() {
    let cloud = kickstart("cloud.ks", "F44");
    assert_eq!(cloud.files, ["cloud.ks", "base.ks", "repos.ks"]);
    assert_eq!(cloud.ending, Ending::PowerOff);
    assert!(cloud.warnings.is_empty(), "{:?}", cloud.warnings);

    let [main, updates] = cloud.origin.repos.as_slice() else { panic!("{:?}", cloud.origin.repos) };
    assert!(matches!(&main.location, Some(Location::MirrorList(url)) if url.ends_with("&arch=$basearch")));
    assert_eq!(updates.cost, Some(10));
    assert_eq!(updates.exclude, ["kernel*", "dracut"]);
    assert_eq!(updates.at, ("repos.ks".to_owned(), 2));

    let packages = cloud.packages.unwrap();
    assert_eq!(packages.install, ["cloud-init", "kernel-core", "plymouth"]);
    assert_eq!(packages.exclude, ["*-firmware"]);
    assert_eq!(packages.excluded_groups, ["hardware-support"]);
    assert_eq!(
        packages.groups.iter().map(|group| group.extent).collect::<Vec<_>>(),
        [Extent::Default, Extent::All]
    );
    assert!(packages.options.no_core && packages.options.exclude_docs);

    let [part] = cloud.storage.partitions.as_slice() else { panic!("{:?}", cloud.storage.partitions) };
    assert_eq!((part.mount_point.as_str(), part.size, part.grow), ("/", Some(3000), true));
    assert_eq!(part.fstype.as_deref(), Some("ext4"));
    let bootloader = cloud.storage.bootloader.unwrap();
    assert_eq!(bootloader.timeout, Some(1));
    assert!(bootloader.append.unwrap().starts_with("no_timer_check"));
    assert!(!bootloader.disabled && cloud.storage.zero_mbr && cloud.storage.clear.unwrap().all);

    assert_eq!(cloud.system.services.enabled, ["sshd", "cloud-init"]);
    assert_eq!(cloud.system.selinux, Some(Selinux::Enforcing));
    assert_eq!(cloud.system.firewall.unwrap().enabled, Some(false));
    assert_eq!(cloud.system.root.unwrap().password, Some(Password::Plain("locked".to_owned())));
    let timezone = cloud.system.timezone.unwrap();
    assert_eq!((timezone.name.as_deref(), timezone.utc), (Some("Etc/UTC"), true));

    let [inside, outside] = cloud.scripts.as_slice() else { panic!("{:?}", cloud.scripts) };
    assert_eq!((inside.moment, inside.chroot, inside.error_on_fail), (Moment::Post, true, true));
    assert_eq!(inside.log.as_deref(), Some("/root/post.log"));
    assert!(inside.body.contains("%{not a section}\n"), "{}", inside.body);
    assert_eq!((outside.interpreter.as_str(), outside.chroot), ("/usr/bin/python3", false));
    assert_eq!(outside.at, ("cloud.ks".to_owned(), 28));
}

#[test]
fn a_container_has_no_bootloader_and_no_kernel() {
    let container = kickstart("container.ks", "F44");
    assert_eq!(container.files, ["container.ks", "container-extra.pkgs"]);
    assert!(container.storage.bootloader.unwrap().disabled);
    let automatic = container.storage.automatic.unwrap();
    assert_eq!(automatic.scheme.as_deref(), Some("plain"));
    assert!(automatic.no_boot && automatic.no_home && automatic.no_swap);
    let packages = container.packages.unwrap();
    assert_eq!(packages.install, ["bash", "dnf", "rootfiles", "vim-minimal"]);
    assert_eq!(packages.options.languages.as_deref(), Some("en"));
    assert!(packages.options.exclude_weak_dependencies);
    let url = container.origin.url.unwrap();
    assert_eq!(url.location, Location::BaseUrl("https://example.org/tree".to_owned()));
    assert!(!url.verify_tls);
    assert!(container.system.root.unwrap().locked);
    assert_eq!(container.scripts.first().unwrap().moment, Moment::PreInstall);
}

#[test]
fn an_ostree_host_names_its_remote_and_its_volumes() {
    let host = kickstart("ostree.ks", "F44");
    let ostree = host.origin.ostree.unwrap();
    assert_eq!(ostree.reference, "example/44/x86_64/host");
    assert!(!ostree.verify);
    assert_eq!(
        host.storage.further.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(),
        ["logvol", "volgroup"]
    );
    assert!(host.storage.required.is_some_and(|required| !required.add_boot));
    assert_eq!(host.ending, Ending::Reboot);
}

#[test]
fn an_old_kickstart_is_read_as_its_release_reads_it() {
    let old = kickstart("old-cloud.ks", "F14");
    assert_eq!(old.system.first_boot, Some(FirstBoot::Reconfigure));
    assert!(old.system.skip_x && old.system.start_x);
    assert_eq!(old.system.authentication.as_deref(), Some("--useshadow --enablemd5"));
    assert_eq!(old.system.firewall.unwrap().services, ["ssh"]);
    assert!(old.storage.partitions.last().unwrap().recommended);
    assert_eq!(old.ending, Ending::Halt);
    assert!(kickstart_error("old-cloud.ks", "F44").contains("install: F44 has removed the command"));
}

fn kickstart_error(file: &str, release: &str) -> String {
    let folder = Directory::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kickstarts"));
    read(file, &folder, release.parse().unwrap()).unwrap_err().to_string()
}

#[test]
fn a_folder_does_not_give_files_outside_it_even_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link.ks")).unwrap();
    std::fs::write(folder.path().join("root.ks"), "%include link.ks\n").unwrap();
    let error = read("root.ks", &Directory::new(folder.path()), "F44".parse().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "root.ks:1: link.ks lies outside the folder of the definition");
}
