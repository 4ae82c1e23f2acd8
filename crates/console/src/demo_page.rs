use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use envelope::{Choice, Clock};
use serde::Deserialize;
use store::{MessageFilter, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::guard::guard;
use crate::live;
use crate::office::{CaughtNote, Comparison, Mark, Office, Places, Stretch};
use crate::view::{EventRow, MessageRow, Overview, ShownMessage};

/// How many messages and events the page shows.
const SHOWN: u32 = 50;

#[derive(Clone)]
struct Desk {
    store: Arc<dyn Store>,
    office: Arc<dyn Office>,
    clock: Arc<dyn Clock>,
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
    clock: Arc<dyn Clock>,
    shutdown: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let desk = Desk { store, office, clock, shutdown: shutdown.clone() };
    let pages = Router::new()
        .route("/", get(|| async { Redirect::to("/demo") }))
        .route("/demo", get(page))
        .route("/demo/news", get(news))
        .route("/demo/caught/{number}", get(caught))
        .route("/demo/send", post(send))
        .route("/demo/live", get(live))
        .route("/assets/demo.css", get(|| async { asset("text/css; charset=utf-8", CSS) }))
        .route("/assets/demo.js", get(|| async { asset("text/javascript; charset=utf-8", JS) }))
        .route("/assets/seal.svg", get(|| async { asset("image/svg+xml", SEAL) }))
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
const SEAL: &str = include_str!("../assets/seal.svg");

fn asset(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], text).into_response()
}

#[derive(Template)]
#[template(path = "demo.html")]
struct DemoPage {
    places: Places,
    comparison: Option<Comparison>,
    opened: bool,
    news: News,
}

/// What changes while one looks: the signs of the message shown, what happened, the list.
#[derive(Template)]
#[template(path = "news.html")]
struct News {
    shown: Option<ShownMessage>,
    messages: Vec<MessageRow>,
    events: Vec<EventRow>,
}

#[derive(Deserialize)]
struct Wanted {
    /// A number in the mailbox; the newest if there is none such.
    message: Option<u64>,
    /// Whether the recipient opens it.
    open: Option<String>,
}

#[derive(Deserialize)]
struct SampleForm {
    opens: Option<String>,
    links: Option<String>,
}

async fn page(State(desk): State<Desk>, Query(wanted): Query<Wanted>) -> Response {
    let caught = desk.office.caught();
    let note = chosen(&caught, wanted.message);
    let news = desk.news(&caught, note).await;
    render(&DemoPage {
        places: desk.office.places(),
        comparison: note.and_then(|note| desk.office.comparison(note.number)),
        // What was sent a moment ago is not there yet.
        opened: wanted.open.is_some() && news.shown.as_ref().is_some_and(|shown| !shown.in_the_post),
        news,
    })
}

async fn news(State(desk): State<Desk>, Query(wanted): Query<Wanted>) -> Response {
    let caught = desk.office.caught();
    render(&desk.news(&caught, chosen(&caught, wanted.message)).await)
}

fn chosen(caught: &[CaughtNote], wanted: Option<u64>) -> Option<&CaughtNote> {
    caught.iter().find(|note| Some(note.number) == wanted).or(caught.last())
}

impl Desk {
    async fn news(&self, caught: &[CaughtNote], note: Option<&CaughtNote>) -> News {
        let filter = MessageFilter { limit: SHOWN, ..MessageFilter::default() };
        let messages = or_nothing(self.store.messages(filter).await);
        let events = or_nothing(self.store.recent_events(SHOWN).await);
        let mut overview = Overview::new(messages, events, caught);
        // What happens now may happen to a message of long ago.
        for id in overview.unknown_messages() {
            overview.add(or_nothing(self.store.message(id).await));
        }
        let shown = match note.and_then(|note| Some((note, note.id?))) {
            Some((note, id)) => or_nothing(self.store.message(id).await)
                .map(|message| overview.shown(&message, note, &*self.clock)),
            None => None,
        };
        News {
            shown,
            messages: overview.message_rows(note.map(|note| note.number)),
            events: overview.event_rows(),
        }
    }
}

fn or_nothing<T: Default>(read: Result<T, StoreError>) -> T {
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "the page cannot read the store");
        T::default()
    })
}

/// The mail as its recipient sees it. Loading its images here *is* the open, so this is the demo's
/// page only: the console's own previews never fetch the pixel.
async fn caught(State(desk): State<Desk>, Path(number): Path<u64>) -> Response {
    let Some(html) = desk.office.caught_html(number) else {
        return (StatusCode::NOT_FOUND, "This mail has no HTML part, or is not in the mailbox any more.\n")
            .into_response();
    };
    // Everything stays on this computer: of a mail's images only our own are loaded.
    let policy = format!(
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src {} data:; \
         style-src 'unsafe-inline'; base-uri 'self'",
        desk.office.places().tracking
    );
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(with_links_outside(&html))).into_response()
}

/// A mail program opens links in a browser, not in its reading pane.
fn with_links_outside(html: &str) -> String {
    // Behind the doctype: a document that does not begin with it is laid out by older rules.
    let start = html.len() - html.trim_start().len();
    let doctype = html.get(start..start + 9).is_some_and(|start| start.eq_ignore_ascii_case("<!doctype"));
    let at = if doctype { html.find('>').map_or(0, |end| end + 1) } else { 0 };
    format!("{}<base target=\"_blank\">{}", &html[..at], &html[at..])
}

async fn send(State(desk): State<Desk>, Form(form): Form<SampleForm>) -> Response {
    let choice = Choice { opens: form.opens.is_some(), links: form.links.is_some() };
    match desk.office.send_sample(choice).await {
        // Sent, not opened: that is for the person to do.
        Ok(number) => Redirect::to(&format!("/demo?message={number}")).into_response(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_stands_before_the_mail_but_behind_its_doctype() {
        for (mail, shown) in [
            ("<p>é", "<base target=\"_blank\"><p>é"),
            (" <!DOCTYPE html>\r\n<p>", " <!DOCTYPE html><base target=\"_blank\">\r\n<p>"),
            ("<!doctype", "<base target=\"_blank\"><!doctype"),
            ("<!docté", "<base target=\"_blank\"><!docté"),
            ("", "<base target=\"_blank\">"),
        ] {
            assert_eq!(with_links_outside(mail), shown);
        }
    }
}
