//! Access tokens: signing in, keeping, renewing, and sending with them.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use envelope::{Clock, ManualClock, Secret, Timestamp};
use fake::Act::{C, End, S};
use fake::{Fake, after_ehlo};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use waxseal_upstream::{Connection, HandoffError, OAuthClient, OAuthError, Pkce, Tokens, Upstream, Vault};

/// An authorisation server that follows RFC 6749 and 7636 as far as we need it.
struct Server {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By code: challenge and redirect URI.
    codes: HashMap<String, (String, String)>,
    /// The one that is good.
    refresh: String,
    issued: usize,
    asked: usize,
    /// What is said instead.
    instead: Option<String>,
    silent: bool,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(answer(tcp, shared.clone()));
            }
        });
        Self { port, state }
    }

    fn client(&self, upstream: &Upstream) -> OAuthClient {
        OAuthClient {
            authorize_url: format!("http://127.0.0.1:{}/authorize?tenant=x", self.port),
            token_url: format!("http://127.0.0.1:{}/token", self.port),
            scope: "mail send".into(),
            client_id: "client-1".into(),
            client_secret: Some(Secret::new("s3cret&=")),
            redirect_host: "127.0.0.1".into(),
            like: upstream.clone(),
        }
    }

    /// What a person does: opens the link, says yes. Gives the code.
    fn consent(&self, link: &str, pkce: &Pkce) -> Secret {
        let link = url::Url::parse(link).unwrap();
        let query: HashMap<String, String> = link.query_pairs().into_owned().collect();
        assert_eq!(query["tenant"], "x", "what stood in the URL stays");
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], "client-1");
        assert_eq!(query["scope"], "mail send");
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["login_hint"], "ana@x.test");
        assert_eq!(query["state"], pkce.state);
        assert!(query["state"].len() >= 32);
        let code = format!("code{}", query["state"]);
        self.state
            .lock()
            .unwrap()
            .codes
            .insert(code.clone(), (query["code_challenge"].clone(), query["redirect_uri"].clone()));
        Secret::new(code)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }
}

async fn answer(mut tcp: TcpStream, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    let (head, form) = loop {
        let mut octets = [0; 4096];
        let Ok(count) = tcp.read(&mut octets).await else { return };
        if count == 0 {
            return;
        }
        request.extend_from_slice(&octets[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            if body.len() >= length.parse().unwrap() {
                break (head.to_owned(), body.to_owned());
            }
        }
    };
    let silent = state.lock().unwrap().silent;
    if silent {
        let _ = tcp.read(&mut [0]).await;
        return;
    }
    let said = decide(&head, &form, &mut state.lock().unwrap());
    let _ = tcp.write_all(said.as_bytes()).await;
}

fn decide(head: &str, form: &str, state: &mut State) -> String {
    let json = |status: u16, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    state.asked += 1;
    if let Some(instead) = &state.instead {
        return instead.clone();
    }
    let form: HashMap<String, String> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    if !head.starts_with("POST /token HTTP/1.1")
        || !head.to_ascii_lowercase().contains("content-type: application/x-www-form-urlencoded")
        || form["client_id"] != "client-1"
        || form["client_secret"] != "s3cret&="
    {
        return json(401, r#"{"error":"invalid_client"}"#);
    }
    let granted = match form["grant_type"].as_str() {
        "authorization_code" => state.codes.remove(&form["code"]).is_some_and(|(challenge, redirect_uri)| {
            let verifier = &form["code_verifier"];
            verifier.len() >= 43
                && URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) == challenge
                && form["redirect_uri"] == redirect_uri
        }),
        "refresh_token" => form["refresh_token"] == state.refresh,
        _ => false,
    };
    if !granted {
        return json(
            400,
            r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#,
        );
    }
    state.issued += 1;
    // It changes each time: who does not keep the new one is locked out.
    state.refresh = format!("refresh{}", state.issued);
    json(
        200,
        &format!(
            r#"{{"access_token":"access{}","expires_in":3600,"refresh_token":"{}","token_type":"Bearer","scope":"x"}}"#,
            state.issued, state.refresh
        ),
    )
}

fn xoauth2(token: &str) -> &'static str {
    let response = format!("user=ana@x.test\x01auth=Bearer {token}\x01\x01");
    format!("AUTH XOAUTH2 {}", STANDARD.encode(response)).leak()
}

struct House {
    server: Server,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    upstream: Upstream,
}

impl House {
    async fn new() -> Self {
        let fake = Fake::start(vec![]).await;
        Self {
            server: Server::start().await,
            clock: Arc::new(ManualClock::new(Timestamp::from_unix_millis(1_800_000_000_000))),
            folder: tempfile::tempdir().unwrap(),
            upstream: Upstream { name: "google".into(), ..fake.upstream() },
        }
    }

    fn vault(&self) -> Vault {
        Vault::new(self.folder.path().join("oauth"), vec![[3; 32]])
    }

    /// As another process would see it.
    fn tokens(&self) -> Tokens {
        Tokens::new(self.server.client(&self.upstream), self.vault(), self.clock.clone() as Arc<dyn Clock>)
    }

    async fn sign_in(&self, tokens: &Tokens) -> Result<(), OAuthError> {
        let pkce = Pkce::new()?;
        let redirect_uri = "http://127.0.0.1:5/";
        let link = tokens.client().authorization_link(&pkce, redirect_uri, "ana@x.test")?;
        let code = self.server.consent(&link, &pkce);
        tokens.sign_in("Ana@x.test", &code, &pkce, redirect_uri).await.map(drop)
    }
}

async fn token_of(tokens: &Tokens) -> Result<String, HandoffError> {
    tokens.login("ana@X.test").await.map(|login| login.password.expose().to_owned())
}

#[tokio::test]
async fn signed_in_once_and_sent_with_a_token_that_is_renewed_ahead_of_its_end() {
    let house = House::new().await;
    let tokens = house.tokens();
    assert!(matches!(token_of(&tokens).await.unwrap_err(), HandoffError::NoToken { .. }));
    house.sign_in(&tokens).await.unwrap();
    assert_eq!(token_of(&tokens).await.unwrap(), "access1");
    assert_eq!(token_of(&house.tokens()).await.unwrap(), "access1", "it is on disk");
    assert_eq!(house.server.with(|state| state.asked), 1);

    house.clock.advance(Duration::from_mins(54));
    assert_eq!(token_of(&tokens).await.unwrap(), "access1");
    house.clock.advance(Duration::from_mins(2));
    // Many at once, and one renewal.
    let tokens = Arc::new(tokens);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let tokens = tokens.clone();
        tasks.spawn(async move { token_of(&tokens).await.unwrap() });
    }
    while let Some(token) = tasks.join_next().await {
        assert_eq!(token.unwrap(), "access2");
    }
    assert_eq!(house.server.with(|state| state.asked), 2);
    // Another process has the new refresh token: the old one is worth nothing any more.
    house.clock.advance(Duration::from_mins(56));
    assert_eq!(token_of(&house.tokens()).await.unwrap(), "access3");

    let script = after_ehlo(&["AUTH XOAUTH2"], vec![C(xoauth2("access3")), S("235 in"), End]);
    let fake = Fake::start(script).await;
    let login = house.tokens().login("ana@x.test").await.unwrap();
    drop(Connection::open(&fake.upstream(), Some(&login)).await.unwrap());
    fake.finish().await;

    let listed = house.vault().list().unwrap();
    assert_eq!(
        (listed.len(), listed[0].upstream.as_str(), listed[0].address.as_str()),
        (1, "google", "ana@x.test")
    );
    assert_eq!(listed[0].access_expires, house.clock.now().plus(Duration::from_hours(1)));
    assert_eq!(listed[0].trouble, None);
}

#[tokio::test]
async fn a_code_without_its_verifier_is_worth_nothing() {
    let house = House::new().await;
    let tokens = house.tokens();
    let (pkce, other) = (Pkce::new().unwrap(), Pkce::new().unwrap());
    for (pkce_used, redirect_used) in [(&other, "http://127.0.0.1:5/"), (&pkce, "http://127.0.0.1:6/")] {
        let link = tokens.client().authorization_link(&pkce, "http://127.0.0.1:5/", "ana@x.test").unwrap();
        let code = house.server.consent(&link, &pkce);
        let error = tokens.sign_in("ana@x.test", &code, pkce_used, redirect_used).await.unwrap_err();
        assert!(error.needs_sign_in(), "{error}");
    }
    assert_eq!(house.vault().list().unwrap(), []);
    assert!(!format!("{pkce:?}").contains("verifier: Secret(\""));
}

#[tokio::test]
async fn a_server_that_is_away_is_bridged_and_a_revoked_sign_in_is_said() {
    let house = House::new().await;
    let tokens = house.tokens();
    house.sign_in(&tokens).await.unwrap();
    house.clock.advance(Duration::from_mins(57));
    house.server.with(|state| state.instead = Some("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".into()));
    assert_eq!(token_of(&tokens).await.unwrap(), "access1", "three minutes are left of it");
    assert_eq!(token_of(&tokens).await.unwrap(), "access1");
    assert_eq!(house.server.with(|state| state.asked), 2, "and the server is left alone for a while");
    house.clock.advance(Duration::from_secs(31));
    house.server.with(|state| state.instead = None);
    assert_eq!(token_of(&tokens).await.unwrap(), "access2");

    house.server.with(|state| state.refresh = "revoked".into());
    house.clock.advance(Duration::from_mins(61));
    let error = token_of(&tokens).await.unwrap_err();
    let reply = error.reply().to_string();
    assert!(reply.starts_with("454 4.7.0 There is no sign-in for ana@x.test"), "{reply}");
    assert!(reply.contains("invalid_grant Token has been expired or revoked."), "{reply}");
    assert!(error.hint().unwrap().contains("waxseal upstream login"));
    assert!(house.vault().list().unwrap()[0].trouble.as_deref().unwrap().contains("invalid_grant"));

    // A person signs in, in another process.
    house.sign_in(&house.tokens()).await.unwrap();
    house.clock.advance(Duration::from_secs(31));
    assert_eq!(token_of(&tokens).await.unwrap(), "access3");
    assert_eq!(house.vault().list().unwrap()[0].trouble, None);
}

#[tokio::test]
async fn a_token_the_provider_does_not_take_is_renewed() {
    let house = House::new().await;
    let tokens = house.tokens();
    house.sign_in(&tokens).await.unwrap();
    assert_eq!(token_of(&tokens).await.unwrap(), "access1");
    tokens.refused("ana@x.test").await;
    tokens.refused("nobody@x.test").await;
    assert_eq!(token_of(&tokens).await.unwrap(), "access2");
    assert_eq!(token_of(&tokens).await.unwrap(), "access2");
}

#[tokio::test]
async fn odd_servers() {
    let house = House::new().await;
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(200_000));
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let bad = |body: &str| format!("HTTP/1.1 400 Bad\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let elsewhere = Server::start().await;
    let redirect = format!(
        "HTTP/1.1 307 T\r\nLocation: http://127.0.0.1:{}/token\r\nContent-Length: 0\r\n\r\n",
        elsewhere.port
    );
    for (case, instead, said) in [
        ("a redirect", redirect, "307 without a reason"),
        ("not JSON", ok("<html>"), "200 without an access token"),
        ("no token", ok("{}"), "200 without an access token"),
        ("a token with a line end", ok(r#"{"access_token":"a\r\nb"}"#), "200 without an access token"),
        ("nothing to renew it with", ok(r#"{"access_token":"a"}"#), "200 without a refresh token"),
        ("endless", endless, "went on too long"),
        ("not HTTP", "220 smtp ready\r\n".into(), "something that is not HTTP"),
        ("hangs up", String::new(), "something that is not HTTP"),
        ("half", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".into(), "broke off"),
        ("an error that is no text", bad(r#"{"error":5}"#), "400 without a reason"),
        (
            "controls and secrets",
            bad(r#"{"error":"x\u0007","error_description":"no s3cret&= here"}"#),
            "x  no *** here",
        ),
    ] {
        house.server.with(|state| state.instead = Some(instead));
        let error = house.sign_in(&house.tokens()).await.unwrap_err();
        assert!(error.to_string().contains(said), "{case}: {error}");
        assert!(!format!("{error:?}").contains("s3cret"), "{case}");
    }
    assert_eq!(elsewhere.with(|state| state.asked), 0, "a redirect is not followed");
    house.server.with(|state| state.silent = true);
    let impatient = Upstream { timeout: Duration::from_millis(100), ..house.upstream.clone() };
    let client = house.server.client(&impatient);
    let tokens = Tokens::new(client, house.vault(), house.clock.clone() as Arc<dyn Clock>);
    let error = house.sign_in(&tokens).await.unwrap_err();
    assert!(matches!(error, OAuthError::Unreachable { .. }), "{error:?}");
    assert!(!error.needs_sign_in());
    assert_eq!(house.vault().list().unwrap(), []);

    // A secret goes nowhere in plain text but to this machine.
    for url in ["http://accounts.example/token", "ftp://127.0.0.1/", "nonsense", "https:///"] {
        let client = OAuthClient { token_url: url.into(), ..house.server.client(&house.upstream) };
        let error = client.refresh(&Secret::new("x")).await.unwrap_err();
        assert!(matches!(error, OAuthError::Url(_) | OAuthError::Unreachable { .. }), "{url}: {error:?}");
    }
}
