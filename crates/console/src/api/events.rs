use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use store::StoredEvent;

use super::access::Access;
use super::messages::{Page, id, limit};
use super::problem::Problem;
use super::token::Scope;
use super::{Api, Who};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// At most so many are looked at: 1 to 200.
    limit: Option<u32>,
    /// The cursor: only those whose number is greater.
    after: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    who: Who,
}

/// Events in the order of their numbers. `next` is given as long as there were any to look at, whosever they were:
/// who follows the log asks with it again.
pub(super) async fn list(
    State(api): State<Api>,
    access: Access,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page<StoredEvent, i64>>, Problem> {
    access.needs(Scope::Read)?;
    let Query(wanted) = wanted.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let mut items = api.store.events_after(wanted.after.unwrap_or(0), limit(wanted.limit)?).await?;
    let next = items.last().map(|event| event.seq);
    items.retain(|event| access.sees(event.sender.as_deref()));
    Ok(Json(Page { items, next }))
}

/// "This was me", "this was a person", "this was a machine".
pub(super) async fn correct(
    State(api): State<Api>,
    access: Access,
    Path(wanted): Path<String>,
    said: Result<Json<Said>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    access.needs(Scope::Correct)?;
    let Json(said) = said.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    let id = id(&wanted)?;
    let event = api.store.event(id).await?.filter(|event| access.sees(event.sender.as_deref()));
    if event.is_none() {
        return Err(Problem::no_such("event"));
    }
    Ok(Json(api.backstage.correct(id, said.who).await?))
}
