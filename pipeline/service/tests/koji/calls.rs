//! Calls, sessions and logins.

use muster::adapters::koji::client::Hub;
use muster::adapters::koji::error::CallError;
use muster::adapters::koji::session::Session;
use muster::adapters::koji::settings::Login;
use muster_lab::koji::mishap::Mishap;
use serde_json::json;

use crate::ground::{Ground, session};

fn build() -> Vec<serde_json::Value> {
    vec![
        json!("x"),
        json!("1"),
        json!(["x86_64"]),
        json!("f43"),
        json!("http://t/"),
        json!({ "scratch": true }),
    ]
}

async fn make(session: &Session) -> Result<serde_json::Value, CallError> {
    session.call("buildImageOz", &build()).await
}

fn told(outcome: Result<serde_json::Value, CallError>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn anybody_may_read_and_only_who_is_logged_in_may_build() {
    let ground = Ground::new().await;
    let anybody = Hub::new(&ground.hub.url()).unwrap();
    assert_eq!(anybody.call("getLoggedInUser", &[]).await, Ok(json!(null)));
    assert!(told(anybody.call("buildImageOz", &build()).await).contains("user not logged in"));
    let session = session(&ground.hub, &ground.folder, None);
    assert_eq!(session.user().await.unwrap().name, "imagebot");
    assert_eq!(session.permissions().await, Ok(vec!["image".to_owned()]));
    assert_eq!(make(&session).await, Ok(json!(33)));
    assert_eq!(ground.hub.count("login"), 1);
}

#[tokio::test]
async fn parallel_writes_go_one_after_the_other() {
    let ground = Ground::new().await;
    let session = session(&ground.hub, &ground.folder, None);
    let outcomes = futures_util::future::join_all((0..16).map(|_| make(&session))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(ground.hub.tasks("image").len(), 16);
}

#[tokio::test]
async fn a_session_that_is_too_old_or_forgotten_is_opened_again() {
    let ground = Ground::new().await;
    let session = session(&ground.hub, &ground.folder, None);
    assert_eq!(make(&session).await, Ok(json!(33)));
    ground.hub.expire_sessions();
    assert_eq!(make(&session).await, Ok(json!(34)));
    ground.hub.forget_sessions();
    assert_eq!(make(&session).await, Ok(json!(35)));
    ground.hub.mishap("buildImageOz", Mishap::Fault(1008, "5 > 4 (session 3)".to_owned()));
    assert_eq!(make(&session).await, Ok(json!(36)));
    assert_eq!(ground.hub.count("login"), 4);
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_never_made_twice() {
    let ground = Ground::new().await;
    let session = session(&ground.hub, &ground.folder, None);
    ground.hub.mishap("buildImageOz", Mishap::AnswerLost);
    assert!(told(make(&session).await).contains("no answer"));
    // The number is used again, so that the hub can say that it was carried out.
    assert!(told(make(&session).await).contains("unable to retry call 0"));
    assert_eq!(ground.hub.tasks("image").len(), 1);
    // That was an answer: the next call is a new one.
    assert_eq!(make(&session).await, Ok(json!(34)));
}

#[tokio::test]
async fn a_wrong_password_is_said_and_asks_nobody_twice() {
    let ground = Ground::new().await;
    let password_file = ground.folder.path().join("wrong");
    std::fs::write(&password_file, "guess").unwrap();
    let login = Login::Password { username: "imagebot".to_owned(), password_file };
    let session = session(&ground.hub, &ground.folder, Some(login));
    assert_eq!(told(make(&session).await), "cannot log in to Koji: invalid username or password");
    assert_eq!(ground.hub.count("login"), 1);
}

#[tokio::test]
async fn a_certificate_or_a_ticket_goes_through_curl() {
    let ground = Ground::new().await;
    let session = session(&ground.hub, &ground.folder, Some(Login::Kerberos { keytab: None }));
    let why = told(make(&session).await);
    assert!(why.contains("the hub takes no ticket of ours"), "{why}");
    ground.hub.certify(Some("imagebot"));
    assert_eq!(make(&session).await, Ok(json!(33)));
}

#[tokio::test]
async fn several_calls_in_one_request_have_an_outcome_each() {
    let ground = Ground::new().await;
    let hub = Hub::new(&ground.hub.url()).unwrap();
    let calls =
        [("getTaskInfo", vec![json!(7)]), ("nosuch", Vec::new()), ("getBuildTarget", vec![json!("f43")])];
    let outcomes = hub.multi(&calls).await.unwrap();
    assert_eq!(outcomes[0], Ok(json!(null)));
    assert!(told(outcomes[1].clone()).contains("Invalid method: nosuch (fault 1000)"));
    assert_eq!(outcomes[2].as_ref().unwrap()["dest_tag_name"], "f43");
    assert_eq!(ground.hub.requests(), 1);
}

#[tokio::test]
async fn what_no_hub_would_say_is_refused_in_time() {
    let ground = Ground::new().await;
    let hub = Hub::new(&ground.hub.url()).unwrap();
    let bomb = "<?xml version='1.0'?><!DOCTYPE b [<!ENTITY a \"ha\">]><methodResponse>&a;</methodResponse>";
    let cases = [
        (Mishap::Raw(bomb.into()), "document type"),
        (Mishap::Raw(b"<html>a proxy's greeting</html>".to_vec()), "cannot be understood"),
        (Mishap::Raw(Vec::new()), "cannot be understood"),
        (Mishap::Huge(100 << 20), "it has a text of more than 16 MiB"),
        (Mishap::Status(503), "no answer from Koji to echo: HTTP 503"),
        (Mishap::Status(403), "Koji's web server refuses echo"),
        (Mishap::Fault(1014, "database outage".to_owned()), "database outage (fault 1014)"),
    ];
    for (mishap, why) in cases {
        ground.hub.mishap("echo", mishap);
        let said = told(hub.call("echo", &[]).await);
        assert!(said.contains(why), "{why}: {said}");
    }
}

#[tokio::test]
async fn what_xml_cannot_carry_is_left_out() {
    let ground = Ground::new().await;
    let hub = Hub::new(&ground.hub.url()).unwrap();
    let said = told(hub.call("no\u{0}such\u{1b}", &[json!("a\u{7}b")]).await);
    assert!(said.contains("Invalid method: nosuch"), "{said}");
    assert_eq!(ground.hub.calls()[0].params, [json!("ab")]);
}
