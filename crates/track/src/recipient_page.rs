use std::time::Duration;

use envelope::RelayId;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::ACCEPT_LANGUAGE;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use seal::{REFUSAL_PATH, Recipient, RefusalToken};
use store::{Event, EventKind, RecipientFacts, Store, StoreError};
use tokio::time::timeout;

use crate::answer::{self, Answer};
use crate::endpoint::KeepAddress;
use crate::event;
use crate::one_click::field;
use crate::recipient_words::Language;
use crate::request_path::request_path;
use crate::visit::Desk;

/// What recipients are told of this installation.
#[derive(Clone, Debug)]
pub struct About {
    /// Whom they can ask.
    pub contact: Option<String>,
    /// How long opens and clicks are kept.
    pub keep_events: Duration,
    /// How much of an address is kept.
    pub address: KeepAddress,
}

pub(crate) const STYLE_PATH: &str = "/about.css";
/// A word and an address.
const MOST_BODY_OCTETS: usize = 1_024;
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// What a recipient wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Refuse,
    Allow,
}

/// The token of a recipient's page, if that is what stands there.
pub(crate) fn token(request: &Parts) -> Option<String> {
    request_path(request.uri.path()).strip_prefix(REFUSAL_PATH).map(str::to_owned)
}

/// What this host is.
pub(crate) fn root(about: &About, headers: &HeaderMap) -> String {
    language(headers).root(about)
}

impl Desk {
    /// Looking changes nothing: programs that look at mail fetch every link in it. A POST refuses, or takes it back.
    pub(crate) async fn recipient_page(&self, token: &str, request: &Parts, body: Incoming) -> Answer {
        let Some(about) = &self.endpoint.about else { return answer::not_found() };
        let Some(token) = self.endpoint.keys.open_refusal(token) else { return answer::not_found() };
        let language = language(&request.headers);
        match request.method {
            Method::GET | Method::HEAD => self.show(&token, about, language).await,
            Method::POST => {
                let read = Limited::new(body, MOST_BODY_OCTETS).collect();
                match timeout(self.endpoint.deadlines.request, read).await {
                    Err(_) => answer::too_slow(),
                    Ok(Err(_)) => answer::too_long(),
                    Ok(Ok(body)) => self.wished(&token, &body.to_bytes(), language).await,
                }
            }
            _ => answer::recipient_page_wrong_method(),
        }
    }

    async fn show(&self, token: &RefusalToken, about: &About, language: Language) -> Answer {
        let not_now = || answer::for_recipients(StatusCode::SERVICE_UNAVAILABLE, language.not_now());
        let Some(store) = &self.endpoint.store else { return not_now() };
        let asked = store.recipient_facts(token.message, index(token));
        match timeout(STORE_PATIENCE, asked).await.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(Some(facts)) => answer::for_recipients(StatusCode::OK, language.facts(&facts, about)),
            Ok(None) => answer::for_recipients(StatusCode::OK, language.nothing_known(about)),
            Err(_) => not_now(),
        }
    }

    async fn wished(&self, token: &RefusalToken, body: &[u8], language: Language) -> Answer {
        let wish = match field(body, "do").as_deref() {
            Some("refuse") => Wish::Refuse,
            Some("allow") => Wish::Allow,
            _ => return answer::for_recipients(StatusCode::UNPROCESSABLE_ENTITY, language.not_understood()),
        };
        let not_now = || answer::for_recipients(StatusCode::SERVICE_UNAVAILABLE, language.not_now());
        let Some(store) = &self.endpoint.store else { return not_now() };
        let done = timeout(STORE_PATIENCE, self.grant(&**store, token, wish, field(body, "address")));
        match done.await.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(()) => answer::for_recipients(StatusCode::OK, language.done(wish, index(token).is_none())),
            Err(error) => {
                event::not_refused(token.message, &error);
                not_now()
            }
        }
    }

    /// Of a copy that several share the address must be one of theirs; whether it is, the answer does not say.
    async fn grant(
        &self,
        store: &dyn Store,
        token: &RefusalToken,
        wish: Wish,
        typed: Option<String>,
    ) -> Result<(), StoreError> {
        let Some((recipient, address)) = whose(store, token, typed).await? else { return Ok(()) };
        let at = self.endpoint.clock.now();
        if wish == Wish::Allow {
            return store.allow(&address).await;
        }
        store.refuse(&address, at).await?;
        let mut random = [0; 10];
        if getrandom::fill(&mut random).is_err() {
            return Ok(());
        }
        // So that the sender can see why nothing more is recorded.
        store
            .record_event(Event {
                id: RelayId::new(at, random),
                at,
                kind: EventKind::Refusal,
                message: token.message,
                recipient: Some(recipient),
                link: None,
                about: None,
                judgement: None,
                device: None,
                place: None,
                address: None,
                user_agent: None,
                evidence: "{}".to_owned(),
            })
            .await
    }
}

async fn whose(
    store: &dyn Store,
    token: &RefusalToken,
    typed: Option<String>,
) -> Result<Option<(u16, String)>, StoreError> {
    match token.recipient {
        Recipient::Index(number) => {
            let facts: Option<RecipientFacts> = store.recipient_facts(token.message, Some(number)).await?;
            Ok(facts.and_then(|facts| Some((number, facts.address?))))
        }
        Recipient::Shared => {
            let Some(typed) = typed.map(|typed| typed.trim().to_owned()) else { return Ok(None) };
            let Some(parties) = store.parties(token.message).await? else { return Ok(None) };
            Ok(parties.recipients.into_iter().find(|(_, address)| address.eq_ignore_ascii_case(&typed)))
        }
    }
}

fn index(token: &RefusalToken) -> Option<u16> {
    match token.recipient {
        Recipient::Index(index) => Some(index),
        Recipient::Shared => None,
    }
}

/// German for those who like it better than English (RFC 9110 §12.5.4).
fn language(headers: &HeaderMap) -> Language {
    let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let weight = |language: &str| {
        let ranges = wanted.split(',').filter_map(|range| {
            let (name, weight) = range.split_once(';').unwrap_or((range, "q=1"));
            let name = name.trim().get(..2)?;
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1").parse::<f32>().unwrap_or(0.0);
            name.eq_ignore_ascii_case(language).then_some(weight)
        });
        ranges.fold(0.0, f32::max)
    };
    if weight("de") > weight("en") { Language::German } else { Language::English }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_readers() {
        for (wanted, german) in [
            ("de", true),
            ("de-AT,de;q=0.9,en;q=0.8", true),
            ("DE", true),
            ("en,de", false),
            ("en;q=0.5, de;q=0.7", true),
            ("fr-FR, de;q=0.3", true),
            ("fr", false),
            ("", false),
            ("*", false),
            ("de;q=x", false),
            ("é", false),
        ] {
            let headers = HeaderMap::from_iter([(
                ACCEPT_LANGUAGE,
                hyper::header::HeaderValue::from_bytes(wanted.as_bytes()).unwrap(),
            )]);
            assert_eq!(language(&headers) == Language::German, german, "{wanted}");
        }
        assert_eq!(language(&HeaderMap::new()), Language::English);
    }
}
