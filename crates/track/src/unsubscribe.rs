use std::time::Duration;

use envelope::RelayId;
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use seal::{Recipient, UNSUBSCRIBE_PATH};
use store::{MessageRecord, Store, Unsubscription};
use tokio::time::timeout;

use crate::answer::{self, Answer};
use crate::event;
use crate::one_click::is_one_click;
use crate::request_path::request_path;
use crate::visit::Desk;

/// What one click sends has 26 octets; as a form of several parts some 200.
const MOST_BODY_OCTETS: usize = 1_024;
/// A mail program waits for the answer, and tries again if it is 5xx.
const STORE_PATIENCE: Duration = Duration::from_secs(2);
/// Nobody has to know whose mail it is about before the page shows.
const NAME_PATIENCE: Duration = Duration::from_millis(300);

/// The token of an unsubscribe, if that is what stands there.
pub(crate) fn token(request: &Parts) -> Option<String> {
    request_path(request.uri.path()).strip_prefix(UNSUBSCRIBE_PATH).map(str::to_owned)
}

impl Desk {
    /// RFC 8058: a POST that says so does it, once however often it comes, with no cookie and no redirect; whatever else
    /// comes changes nothing, because programs that look at mail fetch every link in it.
    pub(crate) async fn unsubscribe(&self, token: &str, request: &Parts, body: Incoming) -> Answer {
        let Some(opened) = self.endpoint.keys.open_unsubscribe(token) else { return answer::not_found() };
        // We make none for a copy that several share.
        let Recipient::Index(recipient) = opened.recipient else { return answer::not_found() };
        match request.method {
            Method::GET | Method::HEAD => {
                answer::unsubscribe(self.sender_of(opened.message).await.as_deref())
            }
            Method::POST => {
                let read = Limited::new(body, MOST_BODY_OCTETS).collect();
                match timeout(self.endpoint.deadlines.request, read).await {
                    Err(_) => answer::too_slow(),
                    Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => answer::too_long(),
                    Ok(Err(_)) => answer::not_one_click(),
                    Ok(Ok(body)) => {
                        let media_type =
                            request.headers.get(CONTENT_TYPE).and_then(|field| field.to_str().ok());
                        if !is_one_click(media_type.unwrap_or_default(), &body.to_bytes()) {
                            return answer::not_one_click();
                        }
                        self.one_click(opened.message, recipient).await
                    }
                }
            }
            _ => answer::unsubscribe_wrong_method(),
        }
    }

    async fn one_click(&self, message: RelayId, recipient: u16) -> Answer {
        let Some(store) = self.endpoint.store.clone() else { return answer::not_now() };
        let unsubscribing = async {
            let Some(record) = record(&*store, message).await? else { return Ok(None) };
            let Some(known) = record.recipients.iter().find(|known| known.index == recipient) else {
                return Ok(None);
            };
            let at = self.endpoint.clock.now();
            let mut random = [0; 10];
            getrandom::fill(&mut random).map_err(event::no_randomness)?;
            let unsubscription = Unsubscription {
                id: RelayId::new(at, random),
                message,
                recipient,
                sender: record.sender.clone(),
                address: known.address.clone(),
                at,
            };
            let written = store.unsubscribe(unsubscription).await;
            written.map_err(|error| event::not_unsubscribed(message, &error)).map(|()| Some(record.sender))
        };
        match timeout(STORE_PATIENCE, unsubscribing).await {
            Ok(Ok(Some(sender))) => {
                event::unsubscribed(message, recipient);
                answer::unsubscribed(&sender)
            }
            // It was deleted since: nobody knows any more whom it was for.
            Ok(Ok(None)) => answer::not_found(),
            Ok(Err(())) => answer::not_now(),
            Err(_) => {
                event::not_unsubscribed(message, &"the store did not answer in time");
                answer::not_now()
            }
        }
    }

    /// Whose mail it is, if the store says so at once.
    async fn sender_of(&self, message: RelayId) -> Option<String> {
        let store = self.endpoint.store.as_ref()?;
        let record = timeout(NAME_PATIENCE, record(&**store, message)).await.ok()?.ok()??;
        Some(record.sender)
    }
}

async fn record(store: &dyn Store, message: RelayId) -> Result<Option<MessageRecord>, ()> {
    match store.message(message).await {
        Ok(found) => Ok(found.map(|found| found.record)),
        Err(error) => {
            event::not_unsubscribed(message, &error);
            Err(())
        }
    }
}
