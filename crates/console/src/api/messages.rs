use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use envelope::RelayId;
use serde::{Deserialize, Serialize};
use store::{MessageFilter, MessageSummary, StoredEvent};

use super::Api;
use super::access::Access;
use super::problem::Problem;
use super::token::Scope;

/// What a list gives: some items, and how to go on.
#[derive(Serialize)]
pub(super) struct Page<T, C> {
    pub(super) items: Vec<T>,
    /// The cursor of the next page; null: there is none.
    pub(super) next: Option<C>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// At most so many: 1 to 200.
    limit: Option<u32>,
    /// The cursor: only older ones than this message.
    before: Option<String>,
}

pub(super) const DEFAULT_LIMIT: u32 = 50;
pub(super) const MOST: u32 = 200;

/// Messages, newest first.
pub(super) async fn list(
    State(api): State<Api>,
    access: Access,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Page<MessageSummary, String>>, Problem> {
    access.needs(Scope::Read)?;
    let Query(wanted) = wanted.map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))?;
    let limit = limit(wanted.limit)?;
    let before = wanted.before.as_deref().map(id).transpose()?;
    let filter = MessageFilter { sender: access.owner().map(str::to_owned), limit, before };
    let items = api.store.messages(filter).await?;
    let is_full = items.len() == limit as usize;
    let next = items.last().filter(|_| is_full).map(|last| last.record.id.to_string());
    Ok(Json(Page { items, next }))
}

/// One message.
pub(super) async fn one(
    State(api): State<Api>,
    access: Access,
    Path(wanted): Path<String>,
) -> Result<Json<MessageSummary>, Problem> {
    access.needs(Scope::Read)?;
    message(&api, &access, &wanted).await.map(Json)
}

/// What happened to a message, oldest first; the newest of it if that is very much.
pub(super) async fn events(
    State(api): State<Api>,
    access: Access,
    Path(wanted): Path<String>,
) -> Result<Json<Page<StoredEvent, i64>>, Problem> {
    access.needs(Scope::Read)?;
    let message = message(&api, &access, &wanted).await?;
    let items = api.store.events_of(message.record.id).await?;
    Ok(Json(Page { items, next: None }))
}

async fn message(api: &Api, access: &Access, wanted: &str) -> Result<MessageSummary, Problem> {
    let id = id(wanted)?;
    let found = api.store.message(id).await?.filter(|message| access.sees(Some(&message.record.sender)));
    found.ok_or_else(|| Problem::no_such("message"))
}

pub(super) fn id(text: &str) -> Result<RelayId, Problem> {
    text.parse().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))
}

pub(super) fn limit(wanted: Option<u32>) -> Result<u32, Problem> {
    let limit = wanted.unwrap_or(DEFAULT_LIMIT);
    if (1..=MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, format!("limit is {limit}: 1 to {MOST} is possible")))
}
