//! The mirror, as any HTTP server would serve it.

use std::collections::BTreeMap;

use crate::site::site;
use crate::tale::Tale;

#[tokio::test]
async fn the_mirror_is_served_with_ranges_and_validators() {
    let mut tale = Tale::begin().await;
    let root = tale.settings.service.state.join("mirror");
    let mirror: BTreeMap<_, _> = toml::from_str("mirror = { kind = \"mirror\" }").unwrap();
    tale.settings.destinations = mirror;
    std::fs::create_dir_all(root.join("streams")).unwrap();
    std::fs::create_dir_all(root.join("releases/43")).unwrap();
    std::fs::write(root.join("streams/stable.json"), "{\"stream\":\"stable\"}").unwrap();
    std::fs::write(root.join("releases/43/image.qcow2"), "0123456789").unwrap();
    std::fs::write(root.join(".hidden"), "").unwrap();
    let site = site(&tale).await;
    let stream = site.get("/streams/stable.json").await;
    assert_eq!((stream.status, stream.body.as_str()), (200, "{\"stream\":\"stable\"}"));
    assert_eq!(stream.headers["content-type"], "application/json");
    let validator = format!("If-None-Match: {}\r\n", stream.headers["etag"]);
    assert_eq!(site.ask("GET", "/streams/stable.json", &validator).await.status, 304);
    assert!(stream.headers.contains_key("last-modified"));
    let part = site.ask("GET", "/pub/mirror/releases/43/image.qcow2", "Range: bytes=2-4\r\n").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    let folder = site.get("/pub/mirror/releases/").await;
    assert!(folder.words().contains("43/"), "{}", folder.words());
    assert!(site.get("/pub/mirror/releases/43/").await.words().contains("image.qcow2 10 bytes"));
    assert_eq!(site.get("/pub/mirror/releases/44/").await.status, 404);
    // Each folder says where it lies, and leads back.
    let start = site.get("/pub/mirror/").await;
    assert!(start.body.contains("<h1>Files on mirror</h1>") && !start.body.contains("../"), "{}", start.body);
    let deep = site.get("/pub/mirror/releases/43/").await;
    let above = "<a href=\"../../\">Files on mirror</a> / <a href=\"../\">releases</a> / ";
    assert!(deep.body.contains(above) && deep.body.contains("<h1>43</h1>"), "{}", deep.body);
    assert!(site.get("/streams/").await.body.contains("<h1>Streams</h1>"));
}
