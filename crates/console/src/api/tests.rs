use axum::body::Body;
use axum::http::Request;
use envelope::{Choice, ManualClock, Timestamp};
use http_body_util::BodyExt;
use serde_json::json;
use store::{ApiTokens as _, ChoiceOrigin, Event, EventKind, MessageRecord, SqliteStore};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

/// Does what it is asked, and says so.
struct Stage;

#[async_trait]
impl Backstage for Stage {
    async fn take_report(&self, raw: &[u8]) -> Result<Value, Refused> {
        match raw {
            b"" => Err(Refused::Wrong("nothing in it".into())),
            b"later" => Err(Refused::Later("busy".into())),
            raw => Ok(json!({ "octets": raw.len() })),
        }
    }
    async fn correct(&self, event: RelayId, who: Who) -> Result<Value, Refused> {
        Ok(json!({ "about": event.to_string(), "who": format!("{who:?}") }))
    }
}

struct House {
    _folder: TempDir,
    store: SqliteStore,
    api: Api,
}

fn moment(n: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000 + n)
}

fn id(n: u8) -> RelayId {
    RelayId::new(moment(i64::from(n)), [n; 10])
}

fn message(n: u8, sender: &str) -> MessageRecord {
    MessageRecord {
        id: id(n),
        accepted_at: moment(i64::from(n)),
        sender: sender.into(),
        reverse_path: format!("<{sender}>"),
        from: None,
        subject: Some("<script>".into()),
        message_id: None,
        choice: Choice { opens: true, links: true },
        choice_origin: ChoiceOrigin::Header,
        pixel: true,
        links_tracked: 0,
        reasons: vec![],
        parts: vec![],
        recipients: vec![],
        links: vec![],
        upstream: "main".into(),
        code: 250,
        reply: String::new(),
        octets_in: 1,
        octets_out: 1,
        took_ms: 1,
    }
}

fn bounce(n: u8, message: u8) -> Event {
    Event {
        id: id(100 + n),
        at: moment(1000),
        kind: EventKind::Bounce,
        message: id(message),
        recipient: None,
        link: None,
        about: None,
        judgement: None,
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: "{}".into(),
    }
}

/// Ana has messages 1 and 3, Bo has 2; an event of each, in this order.
async fn house() -> House {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&folder.path().join("s.db")).unwrap();
    for (n, sender) in [(1, "ana@example.com"), (2, "bo@example.com"), (3, "Ana@example.com")] {
        store.record_message(message(n, sender)).await.unwrap();
        store.record_event(bounce(n, n)).await.unwrap();
    }
    let clock = Arc::new(ManualClock::new(moment(5_000)));
    let api = Api { store: Arc::new(store.clone()), backstage: Arc::new(Stage), clock };
    House { _folder: folder, store, api }
}

impl House {
    async fn token(&self, scopes: &[Scope], ends_at: Option<Timestamp>) -> String {
        let new = NewToken { owner: "ana@example.com", label: "t", scopes, made_at: moment(0), ends_at };
        let (token, kept) = new_token(&new).unwrap();
        self.store.save_api_token(kept).await.unwrap();
        token.expose().to_owned()
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.starts_with('{') {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = routes(self.api.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(
            kind,
            if status == 200 { "application/json" } else { "application/problem+json" },
            "{path}"
        );
        let octets = response.into_body().collect().await.unwrap().to_bytes();
        let value: Value = serde_json::from_slice(&octets).unwrap();
        if status != 200 {
            assert_eq!(
                (value["status"].as_u64(), value["type"].as_str()),
                (Some(status.into()), Some("about:blank"))
            );
            assert!(value["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        }
        (status, value)
    }

    async fn ids(&self, path: &str, token: &str) -> (Vec<String>, Value) {
        let (status, page) = self.ask("GET", path, token, "").await;
        assert_eq!(status, 200, "{page}");
        let ids = page["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned());
        (ids.collect(), page["next"].clone())
    }
}

#[tokio::test]
async fn without_the_right_token_nothing() {
    let house = house().await;
    let ended = house.token(&[Scope::Read], Some(moment(5_000))).await;
    let right = house.token(&[Scope::Read], Some(moment(5_001))).await;
    let other_secret = format!("{}{}", &right[..right.len() - 32], "a".repeat(32));
    let unknown = right.replacen("wxs_", "wxs_a", 1);
    for token in ["", "x", "wxs_", &ended, &other_secret, &unknown, &right[..right.len() - 1]] {
        assert_eq!(house.ask("GET", "/api/v1/messages", token, "").await.0, 401, "{token}");
    }
    assert_eq!(house.ask("GET", "/api/v1/messages", &right, "").await.0, 200);
    assert_eq!(house.ask("POST", "/api/v1/feedback", &right, "x").await.0, 403);
    let correction = format!("/api/v1/events/{}/correction", id(101));
    assert_eq!(house.ask("POST", &correction, &right, r#"{"who":"me"}"#).await.0, 403);
    let only_feedback = house.token(&[Scope::Feedback], None).await;
    for path in ["/api/v1/messages", "/api/v1/events", &format!("/api/v1/messages/{}", id(1))] {
        assert_eq!(house.ask("GET", path, &only_feedback, "").await.0, 403, "{path}");
    }
}

#[tokio::test]
async fn one_sees_ones_own() {
    let house = house().await;
    let ana = house.token(&[Scope::Read, Scope::Correct], None).await;
    let all = house.token(&[Scope::Read, Scope::Correct, Scope::Everyone], None).await;
    let text = |n| id(n).to_string();
    assert_eq!(house.ids("/api/v1/messages", &ana).await.0, [text(3), text(1)]);
    assert_eq!(house.ids("/api/v1/messages", &all).await.0, [text(3), text(2), text(1)]);
    assert_eq!(house.ids("/api/v1/events", &ana).await.0, [text(101), text(103)]);
    assert_eq!(house.ids("/api/v1/events", &all).await.0.len(), 3);
    for (token, status) in [(&ana, 404), (&all, 200)] {
        assert_eq!(house.ask("GET", &format!("/api/v1/messages/{}", id(2)), token, "").await.0, status);
        assert_eq!(
            house.ask("GET", &format!("/api/v1/messages/{}/events", id(2)), token, "").await.0,
            status
        );
        let path = format!("/api/v1/events/{}/correction", id(102));
        assert_eq!(house.ask("POST", &path, token, r#"{"who":"person"}"#).await.0, status);
    }
    let path = format!("/api/v1/events/{}/correction", id(101));
    let (status, said) = house.ask("POST", &path, &ana, r#"{"who":"me"}"#).await;
    assert_eq!((status, said["who"].as_str()), (200, Some("Me")));
}

#[tokio::test]
async fn pages_and_what_is_asked_wrongly() {
    let house = house().await;
    let token = house.token(&[Scope::Read, Scope::Everyone, Scope::Correct, Scope::Feedback], None).await;
    let (first, next) = house.ids("/api/v1/messages?limit=2", &token).await;
    assert_eq!(first, [id(3).to_string(), id(2).to_string()]);
    let next = next.as_str().unwrap();
    let (second, end) = house.ids(&format!("/api/v1/messages?limit=2&before={next}"), &token).await;
    assert_eq!((second, end), (vec![id(1).to_string()], Value::Null));
    let (first, next) = house.ids("/api/v1/events?limit=2", &token).await;
    assert_eq!(first.len(), 2);
    let (rest, next) = house.ids(&format!("/api/v1/events?after={next}"), &token).await;
    assert_eq!(rest.len(), 1);
    let (none, end) = house.ids(&format!("/api/v1/events?after={next}"), &token).await;
    assert_eq!((none.len(), end), (0, Value::Null));

    for (method, path, body, status) in [
        ("GET", "/api/v1/messages?limit=0", "", 400),
        ("GET", "/api/v1/messages?limit=201", "", 400),
        ("GET", "/api/v1/messages?limit=x", "", 400),
        ("GET", "/api/v1/messages?colour=red", "", 400),
        ("GET", "/api/v1/messages?before=x", "", 400),
        ("GET", "/api/v1/events?after=x", "", 400),
        ("GET", "/api/v1/messages/x", "", 400),
        ("GET", &format!("/api/v1/messages/{}", id(9)), "", 404),
        ("GET", "/api/v1/nothing", "", 404),
        ("GET", "/", "", 404),
        ("DELETE", "/api/v1/messages", "", 405),
        ("POST", &format!("/api/v1/events/{}/correction", id(101)), r#"{"who":"nobody"}"#, 422),
        ("POST", &format!("/api/v1/events/{}/correction", id(101)), "who=me", 415),
        ("POST", &format!("/api/v1/events/{}/correction", id(9)), r#"{"who":"me"}"#, 404),
        ("POST", "/api/v1/feedback", "", 422),
        ("POST", "/api/v1/feedback", "later", 503),
        ("POST", "/api/v1/feedback", "From: x", 200),
    ] {
        assert_eq!(house.ask(method, path, &token, body).await.0, status, "{method} {path} {body}");
    }
}
