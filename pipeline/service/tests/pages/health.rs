//! Whether the service says that it is well.

use crate::site::site;
use crate::tale::Tale;

#[tokio::test]
async fn health_is_whether_the_store_can_be_read() {
    let tale = Tale::begin().await;
    let site = site(&tale).await;
    assert_eq!(site.get("/healthz").await.status, 200);
    tale.store.close().await;
    let sick = site.get("/healthz").await;
    assert_eq!(sick.status, 503);
    assert!(sick.body.contains("the store cannot be read"));
    let page = site.get("/").await;
    assert_eq!(page.status, 500);
    assert!(page.words().contains("Try again in a moment"));
}
