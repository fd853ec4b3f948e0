use std::fs::{self, File};
use std::path::Path;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::unpack;

/// A layout on disk, to which layers are added from below.
struct Ground {
    folder: tempfile::TempDir,
    layers: Vec<serde_json::Value>,
}

/// One entry of a layer.
#[derive(Clone, Copy)]
enum Entry<'a> {
    File(&'a str),
    Folder(&'a str),
    Link(&'a str, &'a Path),
}

use Entry::{File as F, Folder as D, Link as L};

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("layout/blobs/sha256")).unwrap();
        Ground { folder, layers: Vec::new() }
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let hex: String = crate::text::hex(&Sha256::digest(bytes));
        fs::write(self.folder.path().join("layout/blobs/sha256").join(&hex), bytes).unwrap();
        hex
    }

    /// Adds a layer; what a file holds is its layer's number.
    fn layer(mut self, entries: &[Entry<'_>]) -> Self {
        let number = self.layers.len().to_string();
        let mut tar = tar::Builder::new(Vec::new());
        for entry in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            match entry {
                F(path) => {
                    header.set_size(number.len() as u64);
                    tar.append_data(&mut header, path, number.as_bytes()).unwrap();
                }
                D(path) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    tar.append_data(&mut header, path, &[][..]).unwrap();
                }
                L(path, to) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_size(0);
                    tar.append_link(&mut header, path, to).unwrap();
                }
            }
        }
        let digest = self.blob(&tar.into_inner().unwrap());
        let media_type = "application/vnd.oci.image.layer.v1.tar";
        self.layers.push(json!({"mediaType": media_type, "digest": format!("sha256:{digest}")}));
        self
    }

    /// Unpacks what was added: every file with what it holds, and every folder.
    fn unpacked(&self) -> Result<Vec<String>, String> {
        let config = self.blob(b"{}");
        let config = json!({"mediaType": "application/json", "digest": format!("sha256:{config}")});
        let manifest = json!({"config": config, "layers": self.layers}).to_string();
        let digest = self.blob(manifest.as_bytes());
        let manifest = json!({"mediaType": "manifest", "digest": format!("sha256:{digest}")});
        let layout = self.folder.path().join("layout");
        fs::write(layout.join("index.json"), json!({"manifests": [manifest]}).to_string()).unwrap();
        let root = tempfile::tempdir_in(self.folder.path()).unwrap();
        unpack(&layout, &digest, root.path()).unwrap()?;
        let mut found = Vec::new();
        list(root.path(), root.path(), &mut found);
        found.sort();
        Ok(found)
    }
}

fn list(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if path.is_symlink() {
            found.push(format!("{name}@"));
        } else if path.is_dir() {
            found.push(format!("{name}/"));
            list(root, &path, found);
        } else {
            found.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn a_whiteout_removes_what_lower_layers_have_by_its_name_and_nothing_else() {
    let ground = Ground::new()
        .layer(&[D("a"), F("a/x"), F("a/xy"), D("a/d"), F("a/d/deep"), F("x")])
        .layer(&[F("a/.wh.x"), F("a/.wh.d"), F("a/.wh.never-was")]);
    assert_eq!(ground.unpacked().unwrap(), ["a/", "a/xy=0", "x=0"]);
}

#[test]
fn a_whiteout_leaves_what_its_own_layer_brings_whatever_the_order() {
    let lower = [D("a"), F("a/x"), D("a/d"), F("a/d/old")];
    for upper in [
        [F("a/.wh.x"), F("a/.wh.d"), F("a/x"), F("a/d/new")],
        [F("a/x"), F("a/d/new"), F("a/.wh.x"), F("a/.wh.d")],
        // The same path, written in another way.
        [F("./a/x"), F("./a/d/new"), F("a/.wh.x"), F("a/.wh.d")],
    ] {
        let ground = Ground::new().layer(&lower).layer(&upper);
        assert_eq!(ground.unpacked().unwrap(), ["a/", "a/d/", "a/d/new=1", "a/x=1"]);
    }
}

#[test]
fn an_opaque_folder_keeps_only_what_its_own_layer_brings_whatever_the_order() {
    let lower = [D("a"), F("a/x"), D("a/d"), F("a/d/old"), F("a/d/same"), F("beside")];
    for upper in [
        [D("a"), F("a/.wh..wh..opq"), F("a/d/new"), F("a/d/same")],
        [D("a"), F("a/d/new"), F("a/d/same"), F("a/.wh..wh..opq")],
    ] {
        let ground = Ground::new().layer(&lower).layer(&upper);
        assert_eq!(ground.unpacked().unwrap(), ["a/", "a/d/", "a/d/new=1", "a/d/same=1", "beside=0"]);
    }
}

#[test]
fn what_a_whiteout_removed_may_come_back_in_a_higher_layer() {
    let ground = Ground::new().layer(&[F("x")]).layer(&[F(".wh.x")]).layer(&[D("x"), F("x/y")]);
    assert_eq!(ground.unpacked().unwrap(), ["x/", "x/y=2"]);
}

#[test]
fn no_whiteout_reaches_out_of_the_image() {
    let outside = tempfile::tempdir().unwrap();
    File::create(outside.path().join("victim")).unwrap();
    let lower = [D("a"), L("link", outside.path())];
    for upper in ["a/.wh...", "link/.wh.victim"] {
        let ground = Ground::new().layer(&lower).layer(&[F(upper)]);
        let why = ground.unpacked().unwrap_err();
        assert!(why.contains("leads out"), "{why}");
        assert!(outside.path().join("victim").exists(), "a file of this computer was removed");
    }
    Ground::new().layer(&lower).layer(&[F("link/.wh..wh..opq")]).unpacked().unwrap();
    assert!(outside.path().join("victim").exists(), "a folder of this computer was emptied");
    // A link itself is removed, not what it leads to.
    let ground = Ground::new().layer(&[L("link", outside.path())]).layer(&[F(".wh.link")]);
    assert_eq!(ground.unpacked().unwrap(), Vec::<String>::new());
    assert!(outside.path().join("victim").exists());
}
