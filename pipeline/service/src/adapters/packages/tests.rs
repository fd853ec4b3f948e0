use super::*;

const PRIMARY: &str = r#"<?xml version="1.0"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2">
<package type="rpm"><name>kernel-core</name><arch>x86_64</arch><version epoch="0" ver="6.17.1" rel="300.fc43"/>
<format><rpm:sourcerpm>kernel-6.17.1-300.fc43.src.rpm</rpm:sourcerpm>
<rpm:provides><rpm:entry name="kernel" flags="EQ" epoch="0" ver="6.17.1" rel="300.fc43"/></rpm:provides></format></package>
<package type="rpm"><name>bash</name><arch>x86_64</arch><version epoch="0" ver="5.3.0" rel="2.fc43"/>
<format><rpm:sourcerpm>bash-5.3.0-2.fc43.src.rpm</rpm:sourcerpm></format></package>
</metadata>"#;

fn repository(folder: &Path, primary: &[u8], name: &str) -> String {
    std::fs::create_dir_all(folder.join("repodata")).unwrap();
    std::fs::write(folder.join("repodata").join(name), primary).unwrap();
    let sum = hex(&Sha256::digest(primary));
    let repomd = format!(
        r#"<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="filelists"><checksum type="sha256">0</checksum>
        <location href="repodata/filelists.xml"/></data><data type="primary"><checksum type="sha256">{sum}</checksum>
        <location href="repodata/{name}"/></data></repomd>"#
    );
    std::fs::write(folder.join("repodata/repomd.xml"), repomd).unwrap();
    format!("file://{}", folder.display())
}

#[tokio::test]
async fn a_repository_is_known_by_its_source_packages_however_it_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let repositories = PackageRepositories::new().unwrap();
    let plain = PRIMARY.as_bytes().to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], ruzstd::encoding::CompressionLevel::Fastest);
    for (name, bytes) in
        [("primary.xml", plain), ("primary.xml.gz", gzip.finish().unwrap()), ("primary.xml.zst", zstd)]
    {
        let url = repository(folder.path(), &bytes, name);
        let index = repositories.index(&url).await.unwrap();
        let kernel = Some("kernel-6.17.1-300.fc43");
        assert_eq!(index.build_of("kernel-6.17.1-300.fc43"), kernel, "{name}");
        assert_eq!(index.build_of("kernel-core-6.17.1-300.fc43"), kernel);
        assert_eq!(index.build_of("bash-5.3.0-2.fc43"), Some("bash-5.3.0-2.fc43"));
        assert_eq!(index.build_of("bash-5.3.0-1.fc43"), None);
        assert_eq!(index.builds.len(), 2);
        assert_eq!(index.sources["kernel-core"], "kernel");
        assert!(!index.sources.contains_key("bash"));
        let all = repositories.packages(&url).await.unwrap().text();
        let bash = "bash-0:5.3.0-2.fc43.x86_64\tbash-5.3.0-2.fc43\n";
        assert_eq!(all, format!("{bash}kernel-core-0:6.17.1-300.fc43.x86_64\tkernel-6.17.1-300.fc43\n"));
    }
}

#[tokio::test]
async fn metadata_that_is_about_to_change_is_an_error_and_not_an_empty_repository() {
    let folder = tempfile::tempdir().unwrap();
    let url = repository(folder.path(), PRIMARY.as_bytes(), "primary.xml");
    std::fs::write(folder.path().join("repodata/primary.xml"), "half").unwrap();
    let error = PackageRepositories::new().unwrap().index(&url).await.unwrap_err();
    assert!(format!("{error:#}").contains("about to change"), "{error:#}");
    let error = PackageRepositories::new().unwrap().index("file:///nowhere").await.unwrap_err();
    assert!(format!("{error:#}").contains("/nowhere/repodata/repomd.xml"), "{error:#}");
}
