use std::sync::Arc;

use hyper::Method;
use hyper::http::request::Parts;
use seal::{LINK_PATH, PIXEL_PATH};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::answer::{self, Answer};
use crate::endpoint::Endpoint;
use crate::event;
use crate::hit::{Hit, Visitor};

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) endpoint: Arc<Endpoint>,
    /// Bounds the events on their way to the store.
    pub(crate) recordings: Arc<Semaphore>,
}

impl Desk {
    /// One request, from the end of its header to the answer we owe. The query and the body are not looked at.
    pub(crate) async fn answer(&self, visitor: Visitor, request: Parts) -> Answer {
        let keys = &self.endpoint.keys;
        let path = request.uri.path();
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if let Some(token) = path.strip_prefix(PIXEL_PATH) {
            if !reads {
                return answer::wrong_method();
            }
            if let Some(token) = keys.open_pixel(token) {
                self.record(Hit::open(&token), visitor, request).await;
            }
            // An error would be kept by image proxies, and shown as a broken image.
            return answer::pixel();
        }
        if let Some(token) = path.strip_prefix(LINK_PATH) {
            if !reads {
                return answer::wrong_method();
            }
            let Some(token) = keys.open_link(token) else { return answer::not_found() };
            self.record(Hit::click(&token), visitor, request).await;
            return answer::redirect(&token.target);
        }
        match path {
            "/" | "/robots.txt" | "/favicon.ico" if !reads => answer::wrong_method(),
            "/" => answer::home(),
            "/robots.txt" => answer::robots(),
            "/favicon.ico" => answer::no_icon(),
            _ => answer::not_found(),
        }
    }

    /// Records the hit, and returns when it is on disk, or when the client has waited long enough.
    ///
    /// It goes on in a task of its own: it is not given up when the client goes away or has its answer, and if
    /// it panics the client has its answer too.
    async fn record(&self, hit: Hit, visitor: Visitor, request: Parts) {
        let Some(recorder) = self.endpoint.recorder.clone() else { return };
        let (at, endpoint) = (self.endpoint.clock.now(), Arc::clone(&self.endpoint));
        let deadline = Instant::now() + endpoint.deadlines.recording;
        let place = timeout_at(deadline, Arc::clone(&self.recordings).acquire_owned()).await;
        let Ok(Ok(place)) = place else { return event::crowded() };
        let recording = tokio::spawn(async move {
            let message = match &endpoint.surroundings {
                Some(surroundings) => surroundings.message_quickly(hit.message(), at).await,
                None => None,
            };
            match hit.judged(at, visitor, &request, &endpoint, message.as_deref()) {
                Ok(event) => {
                    event::hit(&event);
                    // What is lost, the recorder tells the log.
                    recorder.record(event).await;
                }
                Err(error) => event::no_randomness(error),
            }
            drop(place);
        });
        match timeout_at(deadline, recording).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => event::recording_panicked(&error),
            Err(_) => event::answered_first(),
        }
    }
}
