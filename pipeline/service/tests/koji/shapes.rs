//! The lab's replies have the shape of a real hub's: the same members, of the same types. What a real hub says is written
//! down here, member by member.

use muster::adapters::koji::client::Hub;
use serde_json::{Value, json};

use crate::ground::Ground;

/// The type of every member: `?` where it may be nil.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("nil"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(number) if number.is_f64() => json!("double"),
        Value::Number(_) => json!("int"),
        Value::String(_) => json!("string"),
        Value::Array(values) => values.first().map_or(json!([]), |first| json!([shape(first)])),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), shape(value))).collect())
        }
    }
}

fn task(began: bool) -> Value {
    let time = |kind: &str| json!(if began { kind } else { "nil" });
    json!({ "arch": "string", "awaited": "nil", "channel_id": "int", "completion_time": "nil",
        "completion_ts": "nil", "create_time": "string", "create_ts": "double", "host_id": time("int"), "id": "int",
        "label": "nil", "method": "string", "owner": "int", "parent": "nil", "priority": "int",
        "start_time": time("string"), "start_ts": time("double"), "state": "int", "waiting": time("boolean"),
        "weight": "double" })
}

async fn ask(ground: &Ground, method: &str, params: &[Value]) -> Value {
    shape(&Hub::new(&ground.hub.url()).unwrap().call(method, params).await.unwrap())
}

#[tokio::test]
async fn tasks_are_told_as_a_real_hub_tells_them() {
    let ground = Ground::new().await;
    ground.ensure().await.unwrap();
    assert_eq!(ask(&ground, "getTaskInfo", &[json!(33)]).await, task(false));
    ground.hub.begin(33);
    let mut child = task(true);
    for (name, kind) in [("awaited", "boolean"), ("waiting", "nil"), ("label", "string"), ("parent", "int")] {
        child[name] = json!(kind);
    }
    let tree = json!({ "33": [child.clone()], "34": [], "35": [] });
    assert_eq!(ask(&ground, "getTaskDescendents", &[json!(33)]).await, tree);
    let mut listed = task(true);
    for (name, kind) in [("owner_name", "string"), ("owner_type", "int"), ("result", "nil")] {
        listed[name] = json!(kind);
    }
    listed["request"] = json!(["string"]);
    let params = [json!({ "method": "image", "decode": true }), json!({ "order": "-id" })];
    assert_eq!(ask(&ground, "listTasks", &params).await, json!([listed]));
    assert_eq!(ask(&ground, "getTaskInfo", &[json!(99)]).await, json!("nil"));
}

#[tokio::test]
async fn results_are_told_as_a_real_hub_tells_them() {
    let ground = Ground::new().await;
    ground.finished().await;
    assert_eq!(ask(&ground, "getTaskResult", &[json!(33)]).await, json!("string"));
    let made = json!({ "arch": "string", "task_id": "int", "logs": ["string"], "name": "string",
        "version": "string", "release": "string", "rpmlist": [], "files": ["string"] });
    assert_eq!(ask(&ground, "getTaskResult", &[json!(34)]).await, made);
    let stat = json!({ "__starstar": true, "stat": true });
    let file =
        json!({ "st_atime": "double", "st_ctime": "double", "st_mtime": "double", "st_size": "string" });
    let listed = ask(&ground, "listTaskOutput", &[json!(34), stat.clone()]).await;
    assert_eq!(listed["Lab-43-20261121.0.x86_64.qcow2"], file);
    assert_eq!(ask(&ground, "listTaskOutput", &[json!(33), stat]).await, json!({}));
    assert_eq!(ask(&ground, "listTaskOutput", &[json!(33)]).await, json!([]));
    let checked = json!({ "size": "int", "mtime": "double", "sumlength": "int", "hexdigest": "string" });
    let params = [
        json!("tasks/34/34"),
        json!("Lab-43-20261121.0.x86_64.qcow2"),
        json!({ "__starstar": true, "verify": "sha256" }),
    ];
    assert_eq!(ask(&ground, "checkUpload", &params).await, checked);
}

#[tokio::test]
async fn what_was_tagged_is_told_as_a_real_hub_tells_it() {
    let ground = Ground::new().await;
    ground.hub.tag("f43", ["bash", "5.3.0", "2.fc43"]);
    let stay = json!({ "active": "boolean", "build.state": "int", "build_id": "int", "create_event": "int",
        "create_ts": "double", "creator_id": "int", "creator_name": "string", "epoch": "nil", "name": "string",
        "release": "string", "revoke_event": "nil", "revoke_ts": "nil", "revoker_id": "nil", "revoker_name": "nil",
        "tag.name": "string", "tag_id": "int", "version": "string" });
    let asked = json!({ "__starstar": true, "tables": ["tag_listing"], "tag": "f43", "afterEvent": 0 });
    assert_eq!(ask(&ground, "queryHistory", &[asked]).await, json!({ "tag_listing": [stay] }));
    assert_eq!(ask(&ground, "getLastEvent", &[]).await, json!({ "id": "int", "ts": "double" }));
}

#[tokio::test]
async fn targets_and_faults_are_told_as_a_real_hub_tells_them() {
    let ground = Ground::new().await;
    let target = json!({ "build_tag": "int", "build_tag_name": "string", "dest_tag": "int",
        "dest_tag_name": "string", "id": "int", "name": "string" });
    assert_eq!(ask(&ground, "getBuildTarget", &[json!("f43")]).await, target);
    assert_eq!(ask(&ground, "getBuildTarget", &[json!("nosuch")]).await, json!("nil"));
    let fault = json!({ "faultCode": "int", "faultString": "string", "traceback": ["string"] });
    let several =
        json!([{ "methodName": "nosuch", "params": [] }, { "methodName": "getTaskInfo", "params": [1] }]);
    assert_eq!(
        Hub::new(&ground.hub.url())
            .unwrap()
            .call("multiCall", &[several])
            .await
            .map(|reply: Value| { reply.as_array().unwrap().iter().map(shape).collect::<Value>() }),
        Ok(json!([fault, ["nil"]]))
    );
    let quiet = json!({ "__starstar": true, "raise_fault": false });
    ground.ensure().await.unwrap();
    ground.hub.fail(33, (1018, "no"));
    assert_eq!(
        ask(&ground, "getTaskResult", &[json!(33), quiet]).await,
        json!({ "faultCode": "int", "faultString": "string" })
    );
}
