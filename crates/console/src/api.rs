//! The API under `/api/v1`: what the pages show and do, for programs.
//!
//! Every request carries a token (`Authorization: Bearer wxs_…`), and sees what the token's owner may see. What
//! goes wrong is told as a problem document (RFC 9457). Lists are read by cursor: `next` of one answer is the
//! parameter of the next request.

mod access;
mod events;
mod feedback;
mod messages;
mod problem;
mod token;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::routing::{get, post};
use envelope::{Clock, RelayId};
use serde::Deserialize;
use serde_json::Value;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use problem::Problem;

pub use token::{NewToken, Scope, TokenError, new_token};

/// What the API needs beside the store.
#[async_trait]
pub trait Backstage: Send + Sync {
    /// Takes a bounce or a complaint, and says what was recorded.
    async fn take_report(&self, raw: &[u8]) -> Result<Value, Refused>;
    /// Records who an open or a click was, and gives the event that says so.
    async fn correct(&self, event: RelayId, who: Who) -> Result<Value, Refused>;
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such thing.
    Unknown(String),
    /// It is not of the form, or not of the kind, that was asked for.
    Wrong(String),
    /// It may work later.
    Later(String),
}

/// Who an open or a click was, as its sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// "This was me."
    Me,
    /// "This was a person."
    Person,
    /// "This was a machine."
    Machine,
}

/// Everything the API answers with.
#[derive(Clone)]
pub struct Api {
    /// What is remembered.
    pub store: Arc<dyn Store>,
    /// What is done elsewhere.
    pub backstage: Arc<dyn Backstage>,
    /// Tells whether a token has ended.
    pub clock: Arc<dyn Clock>,
}

/// A report brings back a message at most.
const MOST_REPORT_OCTETS: usize = 50 << 20;

/// Serves the API until `shutdown` becomes true.
///
/// # Errors
/// When the listener fails.
pub async fn serve_api(
    listener: TcpListener,
    api: Api,
    mut shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let stopped = async move {
        if shutdown.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    axum::serve(listener, routes(api)).with_graceful_shutdown(stopped).await
}

fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/v1/messages", get(messages::list))
        .route("/api/v1/messages/{id}", get(messages::one))
        .route("/api/v1/messages/{id}/events", get(messages::events))
        .route("/api/v1/events", get(events::list))
        .route("/api/v1/events/{id}/correction", post(events::correct))
        .route("/api/v1/feedback", post(feedback::take).layer(DefaultBodyLimit::max(MOST_REPORT_OCTETS)))
        .fallback(|uri: Uri| async move {
            Problem::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
        })
        .method_not_allowed_fallback(|method: Method| async move {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not known here"))
        })
        .layer(middleware::map_response(async |mut response: axum::response::Response| {
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            response
        }))
        .with_state(api)
}

#[cfg(test)]
mod tests;
