use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde_json::Value;

use super::Api;
use super::access::Access;
use super::problem::Problem;
use super::token::Scope;

/// A bounce or a complaint, as it came by mail: RFC 3464, RFC 5965, or a program's own form.
pub(super) async fn take(
    State(api): State<Api>,
    access: Access,
    raw: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    access.needs(Scope::Feedback)?;
    let raw = raw.map_err(|e| Problem::new(e.status(), e.body_text()))?;
    Ok(Json(api.backstage.take_report(&raw).await?))
}
