use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use envelope::Choice;
use serde::Deserialize;
use store::{MessageFilter, Store};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::guard::guard;
use crate::live;
use crate::office::{Comparison, Office, Places};
use crate::view::{EventRow, MessageRow, event_rows, message_rows};

/// How many messages and events the page shows.
const SHOWN: u32 = 50;

#[derive(Clone)]
struct Desk {
    store: Arc<dyn Store>,
    office: Arc<dyn Office>,
    shutdown: watch::Receiver<bool>,
}

/// Serves the demo's page until `shutdown` becomes true.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    store: Arc<dyn Store>,
    office: Arc<dyn Office>,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let desk = Desk { store, office, shutdown: shutdown.clone() };
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/demo") }))
        .route("/demo", get(page))
        .route("/demo/messages", get(messages))
        .route("/demo/activity", get(activity))
        .route("/demo/caught/{number}", get(caught))
        .route("/demo/send", post(send))
        .route("/demo/live", get(live))
        .route("/assets/demo.css", get(|| async { asset("text/css; charset=utf-8", CSS) }))
        .route("/assets/demo.js", get(|| async { asset("text/javascript; charset=utf-8", JS) }))
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "There is nothing here. Try /demo.\n") })
        .layer(middleware::from_fn(guard))
        .with_state(desk);
    let mut shutdown = shutdown;
    let stopped = async move {
        let _ = shutdown.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, pages).with_graceful_shutdown(stopped).await
}

const CSS: &str = include_str!("../assets/demo.css");
const JS: &str = include_str!("../assets/demo.js");

fn asset(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

#[derive(Template)]
#[template(path = "demo.html")]
struct DemoPage {
    places: Places,
    comparison: Option<Comparison>,
    open: Option<u64>,
    open_has_html: bool,
    messages: MessagesFragment,
    activity: ActivityFragment,
}

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesFragment {
    messages: Vec<MessageRow>,
    open: Option<u64>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct ActivityFragment {
    events: Vec<EventRow>,
}

#[derive(Deserialize)]
struct Shown {
    open: Option<u64>,
}

#[derive(Deserialize)]
struct SampleForm {
    opens: Option<String>,
    links: Option<String>,
}

async fn page(State(desk): State<Desk>, Query(shown): Query<Shown>) -> Response {
    let caught = desk.office.caught();
    let open = shown.open.filter(|number| caught.iter().any(|note| note.number == *number));
    let compared = open.or_else(|| caught.first().map(|note| note.number));
    render(&DemoPage {
        places: desk.office.places(),
        comparison: compared.and_then(|number| desk.office.comparison(number)),
        open,
        open_has_html: caught.iter().any(|note| Some(note.number) == open && note.has_html),
        messages: messages_fragment(&desk, open).await,
        activity: activity_fragment(&desk).await,
    })
}

async fn messages(State(desk): State<Desk>, Query(shown): Query<Shown>) -> Response {
    render(&messages_fragment(&desk, shown.open).await)
}

async fn activity(State(desk): State<Desk>) -> Response {
    render(&activity_fragment(&desk).await)
}

async fn messages_fragment(desk: &Desk, open: Option<u64>) -> MessagesFragment {
    let filter = MessageFilter { limit: SHOWN, ..MessageFilter::default() };
    let messages = desk.store.messages(filter).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the page cannot read the messages");
        vec![]
    });
    MessagesFragment { messages: message_rows(messages, &desk.office.caught()), open }
}

async fn activity_fragment(desk: &Desk) -> ActivityFragment {
    let events = desk.store.recent_events(SHOWN).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the page cannot read the events");
        vec![]
    });
    ActivityFragment { events: event_rows(events) }
}

/// The mail as its recipient sees it. Loading its images here *is* the open, so this is the demo's
/// page only: the console's own previews never fetch the pixel.
async fn caught(State(desk): State<Desk>, Path(number): Path<u64>) -> Response {
    const SANDBOX: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
                           img-src http: https: data:; style-src 'unsafe-inline'; base-uri 'self'";
    let Some(html) = desk.office.caught_html(number) else {
        return (StatusCode::NOT_FOUND, "This mail has no HTML part, or is not in the mailbox any more.\n")
            .into_response();
    };
    // A mail program opens links in a browser, not in its reading pane.
    let html = format!("<base target=\"_blank\">{html}");
    ([(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX))], Html(html)).into_response()
}

async fn send(State(desk): State<Desk>, Form(form): Form<SampleForm>) -> Response {
    let choice = Choice { opens: form.opens.is_some(), links: form.links.is_some() };
    match desk.office.send_sample(choice).await {
        // Sent, not opened: that is for the person to do.
        Ok(_) => Redirect::to("/demo").into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
    }
}

async fn live(State(desk): State<Desk>) -> impl IntoResponse {
    ([("x-accel-buffering", "no")], live::stream(&desk.store, &desk.office, desk.shutdown.clone()))
}

fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page could not be made; the log says why.\n")
                .into_response()
        }
    }
}
