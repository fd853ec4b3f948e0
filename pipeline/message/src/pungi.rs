//! What pungi says of its composes.

use muster_flow::change::What;
use serde_json::Value;

use super::text;

pub(super) fn status(body: &Value) -> Result<Option<What>, &'static str> {
    let compose = text(body, "compose_id").ok_or("the compose's id")?;
    let status = text(body, "status").ok_or("the compose's status")?;
    let is_over = !["STARTED", "TERMINATED"].contains(&status);
    let what = What::ComposeFinished { compose: compose.to_owned(), status: status.to_owned() };
    Ok(is_over.then_some(what))
}
