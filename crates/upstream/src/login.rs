use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use envelope::{CredentialKind, Credentials, Reply};

use crate::error::{HandoffError, Step};
use crate::extensions::Extensions;
use crate::opening::accepted;
use crate::raw_reply::RawReply;
use crate::upstream::Upstream;
use crate::wire::Wire;

/// A password by AUTH PLAIN (RFC 4616) if the server offers it, else by AUTH LOGIN; an access token
/// by XOAUTH2, which the providers that have tokens all know, else by OAUTHBEARER (RFC 7628).
///
/// Says by which. On the wire itself, not through lettre: that decides by the words of the prompts, which servers
/// choose as they like, and the order is always login, then password.
pub(crate) async fn log_in(
    wire: &mut Wire,
    extensions: &Extensions,
    upstream: &Upstream,
    credentials: &Credentials,
) -> Result<&'static str, HandoffError> {
    let host = || upstream.host.clone();
    let offers = |mechanism: &str| extensions.auth.iter().any(|offered| offered == mechanism);
    if !wire.is_private() {
        return Err(HandoffError::LoginUnencrypted { host: host() });
    }
    if !is_sendable(credentials) {
        return Err(HandoffError::LoginUnsendable { host: host() });
    }
    let mechanisms = match credentials.kind {
        CredentialKind::Password => ["PLAIN", "LOGIN"],
        CredentialKind::AccessToken => ["XOAUTH2", "OAUTHBEARER"],
    };
    let Some(mechanism) = mechanisms.into_iter().find(|mechanism| offers(mechanism)) else {
        return Err(HandoffError::LoginNotOffered { host: host(), mechanisms });
    };
    let script = script(mechanism, credentials, upstream);
    let outcome = converse(wire, &script, upstream).await;
    outcome.map(|()| mechanism).map_err(|error| without_secrets(error, credentials, &script))
}

/// What is said in a login.
struct Script {
    /// Each but the first answers a 334.
    lines: Vec<String>,
    /// What answers a 334 after the last. A challenge there holds the reason of a refusal, and the
    /// refusal itself comes only after this.
    last_word: &'static str,
}

fn script(mechanism: &str, credentials: &Credentials, upstream: &Upstream) -> Script {
    let (login, secret) = (credentials.login.as_str(), credentials.password.expose());
    match mechanism {
        "PLAIN" => Script {
            lines: vec![format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{login}\0{secret}")))],
            last_word: "*",
        },
        "XOAUTH2" => Script {
            lines: vec![format!(
                "AUTH XOAUTH2 {}",
                STANDARD.encode(format!("user={login}\x01auth=Bearer {secret}\x01\x01"))
            )],
            last_word: "",
        },
        "OAUTHBEARER" => {
            // RFC 5801 §4: the name in the GS2 header has its own escapes.
            let name = login.replace('=', "=3D").replace(',', "=2C");
            let Upstream { host, port, .. } = upstream;
            let response =
                format!("n,a={name},\x01host={host}\x01port={port}\x01auth=Bearer {secret}\x01\x01");
            // RFC 7628 §3.2.3: the answer to the error is one %x01.
            Script {
                lines: vec![format!("AUTH OAUTHBEARER {}", STANDARD.encode(response))],
                last_word: "AQ==",
            }
        }
        _ => Script {
            lines: vec!["AUTH LOGIN".to_owned(), STANDARD.encode(login), STANDARD.encode(secret)],
            last_word: "*",
        },
    }
}

/// Nothing in it that the mechanisms put between their fields.
fn is_sendable(credentials: &Credentials) -> bool {
    let both = [credentials.login.as_str(), credentials.password.expose()];
    match credentials.kind {
        CredentialKind::Password => both.iter().all(|text| !text.contains('\0')),
        CredentialKind::AccessToken => both.iter().all(|text| !text.chars().any(char::is_control)),
    }
}

async fn converse(wire: &mut Wire, script: &Script, upstream: &Upstream) -> Result<(), HandoffError> {
    let lines = &script.lines;
    let host = || upstream.host.clone();
    for (number, line) in lines.iter().enumerate() {
        let mut reply = accepted(wire.exchange(line).await, upstream, Step::Login)?;
        let was_last = number + 1 == lines.len();
        if was_last && reply.code.is_intermediate() {
            // A challenge where none belongs; some servers put the reason for a refusal into it
            // and say 535 only when the exchange is cancelled (RFC 4954 §4).
            reply = accepted(wire.exchange(script.last_word).await, upstream, Step::Login)?;
            if reply.code.severity().is_none() {
                return Err(nonsense(&reply, host()));
            }
        }
        if reply.code.severity().is_some() {
            return Err(HandoffError::LoginRefused { host: host(), reply: reply.to_reply() });
        }
        if reply.code.is_positive() != was_last {
            return Err(nonsense(&reply, host()));
        }
    }
    Ok(())
}

fn nonsense(reply: &RawReply, host: String) -> HandoffError {
    HandoffError::Nonsense { host, step: Step::Login, said: reply.code.to_string() }
}

/// Takes login and password out of the server's words: servers do repeat them ("unknown user ana"),
/// and these words go into logs and to whoever is at the other end.
fn without_secrets(error: HandoffError, credentials: &Credentials, script: &Script) -> HandoffError {
    let (login, password) = (credentials.login.as_str(), credentials.password.expose());
    let mut secrets =
        vec![STANDARD.encode(login), STANDARD.encode(password), login.to_owned(), password.to_owned()];
    // The last word of each line is what was encoded; LOGIN's first line has only the mechanism.
    let encoded = script.lines.iter().filter_map(|line| line.rsplit(' ').next());
    secrets.extend(encoded.filter(|word| *word != "LOGIN").map(ToOwned::to_owned));
    // The longest first, so that no rest of it remains.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let clean = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| masked(&text, secret));
    let clean_reply = |reply: &Reply| Reply::new(reply.code(), reply.enhanced(), clean(&reply.text()));
    match error {
        HandoffError::LoginRefused { host, reply } => {
            HandoffError::LoginRefused { host, reply: clean_reply(&reply) }
        }
        HandoffError::ShutDown { host, step, reply } => {
            HandoffError::ShutDown { host, step, reply: clean_reply(&reply) }
        }
        HandoffError::Nonsense { host, step, said } => {
            HandoffError::Nonsense { host, step, said: clean(&said) }
        }
        other => other,
    }
}

/// `text` with each occurrence of `secret`, in any case of ASCII letters, replaced by `***`.
fn masked(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    let (haystack, needle) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut clean = String::new();
    let mut from = 0;
    // Lower-casing ASCII keeps every position, so what is found there can be cut here.
    for (at, found) in haystack.match_indices(&needle) {
        clean.push_str(&text[from..at]);
        clean.push_str("***");
        from = at + found.len();
    }
    clean.push_str(&text[from..]);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        for (text, secret, clean) in [
            ("unknown user Ana@Example.com", "ana@example.com", "unknown user ***"),
            ("aaa", "a", "*********"),
            ("jörg: no", "jörg", "***: no"),
            ("nothing", "x", "nothing"),
            ("nothing", "", "nothing"),
        ] {
            assert_eq!(masked(text, secret), clean);
        }
    }
}
