use std::sync::Arc;

use hyper::Method;
use hyper::http::request::Parts;
use seal::{LINK_PATH, PIXEL_PATH};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::answer::{self, Answer};
use crate::client_address::{Visitor, client_address};
use crate::endpoint::Endpoint;
use crate::event;
use crate::hit::Hit;
use crate::recipient_page;
use crate::recording::Recording;
use crate::request_path::request_path;
use crate::unrecorded::Unrecorded;

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Bounds the events on their way to the store.
    pub(crate) recordings: Arc<Semaphore>,
    pub(crate) unrecorded: Arc<Unrecorded>,
}

/// What stands at a path.
enum Door<'a> {
    /// Whatever follows: an error would be kept by image proxies, and shown as a broken image.
    Pixel(&'a str),
    Link(&'a str),
    Home,
    Style,
    Robots,
    SecurityTxt(&'a str),
    Icon,
}

impl Desk {
    /// One request, from the end of its header to the answer we owe. The query and the body are not looked at.
    pub(crate) async fn answer(&self, visitor: Visitor, request: Parts) -> Answer {
        // Owned, because the request goes to the recording.
        let path = request_path(request.uri.path()).into_owned();
        let Some(door) = self.door(&path) else { return answer::not_found() };
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return answer::wrong_method();
        }
        match door {
            Door::Pixel(token) => self.pixel(token, visitor, request).await,
            Door::Link(token) => self.link(token, visitor, request).await,
            Door::Home => match &self.endpoint.about {
                Some(about) => answer::about(recipient_page::root(about, &request.headers)),
                None => answer::home(),
            },
            Door::Style => answer::style(),
            Door::Robots => answer::robots(),
            Door::SecurityTxt(contact) => answer::security_txt(contact, self.endpoint.clock.now()),
            Door::Icon => answer::no_icon(),
        }
    }

    fn door<'a>(&'a self, path: &'a str) -> Option<Door<'a>> {
        if let Some(token) = path.strip_prefix(PIXEL_PATH) {
            return Some(Door::Pixel(token));
        }
        if let Some(token) = path.strip_prefix(LINK_PATH) {
            return Some(Door::Link(token));
        }
        match path {
            "/" => Some(Door::Home),
            recipient_page::STYLE_PATH if self.endpoint.about.is_some() => Some(Door::Style),
            "/robots.txt" => Some(Door::Robots),
            "/.well-known/security.txt" => self.endpoint.contact.as_deref().map(Door::SecurityTxt),
            "/favicon.ico" => Some(Door::Icon),
            _ => None,
        }
    }

    async fn pixel(&self, token: &str, visitor: Visitor, request: Parts) -> Answer {
        let opened = self.endpoint.keys.open_pixel(token);
        if let Some(opened) = opened.filter(|opened| !self.endpoint.revoked.pixel(opened)) {
            self.record(token, Hit::open(&opened), visitor, request).await;
        }
        answer::pixel()
    }

    async fn link(&self, token: &str, visitor: Visitor, request: Parts) -> Answer {
        let Some(opened) = self.endpoint.keys.open_link(token) else { return answer::not_found() };
        if self.endpoint.revoked.link(&opened) {
            return answer::revoked();
        }
        self.record(token, Hit::click(&opened), visitor, request).await;
        answer::redirect(&opened.target)
    }

    /// Records the hit as far as may be, and returns when it is on disk, or when the client has waited long enough.
    ///
    /// It goes on in a task of its own: it is not given up when the client goes away or has its answer, and if
    /// it panics the client has its answer too.
    async fn record(&self, token: &str, hit: Hit, visitor: Visitor, request: Parts) {
        let Some(recorder) = self.endpoint.recorder.clone() else { return };
        let (at, keeping) = (self.endpoint.clock.now(), &self.endpoint.keeping);
        let asked_not_to = keeping.is_asked_not_to(&request.headers);
        if !keeping.keeps_any(hit.kind(), hit.message(), asked_not_to, at) {
            return;
        }
        if !self.may_be_recorded(token, visitor, &request) {
            return recorder.left_out();
        }
        let deadline = Instant::now() + self.endpoint.deadlines.recording;
        // Who asked not to be tracked does not wait for it.
        let patience = if asked_not_to { Instant::now() } else { deadline };
        let place = timeout_at(patience, Arc::clone(&self.recordings).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            self.unrecorded.crowded.one_more();
            return recorder.left_out();
        };
        let recording = Recording {
            hit,
            at,
            visitor,
            request,
            asked_not_to,
            endpoint: Arc::clone(&self.endpoint),
            recorder: Arc::clone(&recorder),
        };
        let recording = tokio::spawn(async move {
            recording.run().await;
            drop(place);
        });
        if asked_not_to {
            return;
        }
        match timeout_at(deadline, recording).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => event::recording_panicked(&error),
            Err(_) => {
                self.unrecorded.answered_first.one_more();
                recorder.answered_first();
            }
        }
    }

    /// Not what one address or one URL does too often: see [`crate::Limits`].
    fn may_be_recorded(&self, token: &str, visitor: Visitor, request: &Parts) -> bool {
        let address = client_address(visitor.peer, &request.headers, &self.endpoint.trusted_proxies);
        let alone = address.filter(|address| !self.endpoint.rules.carries_many(*address));
        self.unrecorded.admits(alone, &token)
    }
}
