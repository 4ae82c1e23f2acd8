use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{CredentialKind, Credentials, Reply, Secret};

use crate::command::Mechanism;

/// An AUTH command that waits for its next response (RFC 4954 §4).
#[derive(Debug)]
pub(crate) enum Exchange {
    /// PLAIN without an initial response (RFC 4616).
    Plain,
    /// LOGIN before the name.
    LoginName,
    /// LOGIN before the password.
    LoginPassword { login: String },
    /// XOAUTH2 without an initial response.
    XOAuth2,
    /// OAUTHBEARER without an initial response (RFC 7628).
    OAuthBearer,
    /// A token was refused and its client told why: whatever it says next, this is the reply (RFC 7628 §3.2.3).
    TokenRefused(Reply),
}

/// What comes after a response.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send the challenge and wait for another response.
    Challenge(Exchange, Reply),
    /// Complete: ask whether they are right.
    Credentials(Credentials),
    /// The exchange is over; the login is not wrong, its form is.
    Malformed(Reply),
    /// The exchange is over, as if the password were wrong.
    Denied(Reply),
    /// It was refused before.
    Over(Reply),
}

// "Username:" and "Password:", as every client of LOGIN expects them.
const USERNAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";
/// Why a token was refused (RFC 7628 §3.2.2): {"status":"401","schemes":"bearer","scope":""}.
const TOKEN_REFUSED: &str = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIiwic2NvcGUiOiIifQ==";

impl Exchange {
    /// Begins with the AUTH command itself.
    pub(crate) fn begin(mechanism: Mechanism, initial_response: Option<&Secret>) -> Step {
        let (exchange, challenge) = match mechanism {
            Mechanism::Plain => (Self::Plain, ""),
            Mechanism::Login => (Self::LoginName, USERNAME),
            Mechanism::XOAuth2 => (Self::XOAuth2, ""),
            Mechanism::OAuthBearer => (Self::OAuthBearer, ""),
        };
        match initial_response.map(Secret::expose) {
            None => Step::Challenge(exchange, Reply::of(334, "", challenge)),
            // RFC 4954 §4: "=" is a response of no octets, which is not the same as none.
            Some("=") => exchange.take(Vec::new()),
            Some(response) => exchange.respond(response.as_bytes()),
        }
    }

    /// What an answer to these credentials brings: a client with a token is told why it was refused, and says
    /// one thing more before it takes the refusal (RFC 7628 §3.2.3; the same with XOAUTH2).
    pub(crate) fn after_refusal(kind: CredentialKind, refusal: &Reply) -> Option<(Self, Reply)> {
        let wrong_token = kind == CredentialKind::AccessToken && matches!(refusal.code().get(), 500..);
        wrong_token.then(|| (Self::TokenRefused(refusal.clone()), Reply::of(334, "", TOKEN_REFUSED)))
    }

    /// Goes on with a line of the client, without its CRLF.
    pub(crate) fn respond(self, line: &[u8]) -> Step {
        if let Self::TokenRefused(refusal) = self {
            return Step::Over(refusal);
        }
        if line == b"*" {
            return Step::Malformed(Reply::of(501, "5.7.0", "Authentication cancelled"));
        }
        match STANDARD.decode(line) {
            Ok(response) => self.take(response),
            Err(_) => malformed("The response is not base64"),
        }
    }

    fn take(self, response: Vec<u8>) -> Step {
        let Ok(response) = String::from_utf8(response) else {
            return malformed("The response is not UTF-8");
        };
        match self {
            Self::Plain => plain(&response),
            Self::LoginName | Self::LoginPassword { .. } if response.contains('\0') => {
                malformed("The response holds NUL")
            }
            Self::LoginName => {
                Step::Challenge(Self::LoginPassword { login: response }, Reply::of(334, "", PASSWORD))
            }
            Self::LoginPassword { login } => complete(&login, &response),
            Self::XOAuth2 => xoauth2(&response),
            Self::OAuthBearer => oauthbearer(&response),
            Self::TokenRefused(refusal) => Step::Over(refusal),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
fn plain(response: &str) -> Step {
    let fields: Vec<&str> = response.split('\0').take(4).collect();
    let &[authorization, login, password] = fields.as_slice() else {
        return malformed("The response is not that of PLAIN");
    };
    if !authorization.is_empty() && authorization != login {
        return Step::Denied(Reply::of(535, "5.7.8", "Acting for another login is not possible here"));
    }
    complete(login, password)
}

/// `user=… ^A auth=Bearer … ^A ^A`.
fn xoauth2(response: &str) -> Step {
    let Some((user, token)) = fields(response).and_then(|fields| {
        let (user, fields) = fields.split_first()?;
        Some((user.strip_prefix("user=")?, bearer(fields)?))
    }) else {
        return malformed("The response is not that of XOAUTH2");
    };
    with_token(user, token)
}

/// `n,a=…, ^A auth=Bearer … ^A ^A`, with host and port between or not (RFC 7628 §3.1).
fn oauthbearer(response: &str) -> Step {
    let Some((authorization, token)) = fields(response).and_then(|fields| {
        let (header, fields) = fields.split_first()?;
        Some((gs2_authorization(header)?, bearer(fields)?))
    }) else {
        return malformed("The response is not that of OAUTHBEARER");
    };
    with_token(&authorization, token)
}

/// What stands between the ^A, if the response ends in two of them.
fn fields(response: &str) -> Option<Vec<&str>> {
    let fields = response.strip_suffix("\x01\x01")?;
    Some(fields.split('\x01').collect())
}

/// `n,a=user,` of RFC 5801 §4, without channel binding. The name is needed: a token tells us nobody's.
fn gs2_authorization(header: &str) -> Option<String> {
    let name = header.strip_prefix("n,").or_else(|| header.strip_prefix("y,"))?.strip_suffix(',')?;
    let name = name.strip_prefix("a=")?;
    // RFC 5801 §4: "=2C" is a comma and "=3D" is "=", which stand for nothing else here.
    let mut pieces = name.split('=');
    let mut decoded = pieces.next()?.to_owned();
    for piece in pieces {
        let (c, rest) = match piece.split_at_checked(2)? {
            (code, rest) if code.eq_ignore_ascii_case("2C") => (',', rest),
            (code, rest) if code.eq_ignore_ascii_case("3D") => ('=', rest),
            _ => return None,
        };
        decoded.push(c);
        decoded.push_str(rest);
    }
    (!name.contains(',')).then_some(decoded)
}

/// The token of the one `auth=Bearer token` (RFC 6750 §2.1) among the fields.
fn bearer<'a>(fields: &[&'a str]) -> Option<&'a str> {
    let mut auth = fields.iter().filter_map(|field| field.strip_prefix("auth="));
    let (scheme, token) = auth.next()?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_bearer = scheme.eq_ignore_ascii_case("Bearer") && auth.next().is_none();
    (is_bearer && !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic())).then_some(token)
}

fn with_token(login: &str, token: &str) -> Step {
    if login.is_empty() || login.contains(char::is_control) {
        return malformed("The response names no login");
    }
    Step::Credentials(Credentials::with_access_token(login, token))
}

/// An empty name or password is never right; a provider that took one would let anybody in.
fn complete(login: &str, password: &str) -> Step {
    if login.is_empty() || password.is_empty() {
        return Step::Denied(Reply::of(535, "5.7.8", "Login and password must not be empty"));
    }
    Step::Credentials(Credentials::with_password(login, password))
}

fn malformed(text: &str) -> Step {
    Step::Malformed(Reply::of(501, "5.5.2", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(exchange: Exchange, response: &[u8]) -> String {
        match exchange.respond(STANDARD.encode(response).as_bytes()) {
            Step::Credentials(c) => format!("{} {}", c.login, c.password.expose()),
            Step::Challenge(_, reply) | Step::Malformed(reply) | Step::Denied(reply) | Step::Over(reply) => {
                reply.code().get().to_string()
            }
        }
    }

    #[test]
    fn plain_messages() {
        for (response, expected) in [
            (&b"\0ana@example.com\0hunter2"[..], "ana@example.com hunter2"),
            (b"ana\0ana\0hunter2", "ana hunter2"),
            (b"\0ana\0pass word", "ana pass word"),
            (b"bob\0ana\0hunter2", "535"),
            (b"\0\0hunter2", "535"),
            (b"\0ana\0", "535"),
            (b"", "501"),
            (b"ana", "501"),
            (b"\0ana", "501"),
            (b"\0ana\0hunter2\0", "501"),
            (b"\0an\xff\0hunter2", "501"),
        ] {
            assert_eq!(outcome(Exchange::Plain, response), expected, "{}", response.escape_ascii());
        }
    }

    #[test]
    fn tokens() {
        for (response, expected) in [
            (&b"user=ana@a.example\x01auth=Bearer ya29.x\x01\x01"[..], "ana@a.example ya29.x"),
            (b"user=ana@a.example\x01auth=bearer  ya29.x\x01\x01", "ana@a.example ya29.x"),
            (b"user=\x01auth=Bearer x\x01\x01", "501"),
            (b"user=ana\x01auth=Bearer \x01\x01", "501"),
            (b"user=ana\x01auth=Basic x\x01\x01", "501"),
            (b"user=ana\x01auth=Bearer x y\x01\x01", "501"),
            (b"user=ana\x01auth=Bearer x\x01auth=Bearer y\x01\x01", "501"),
            (b"user=ana\x01auth=Bearer x\x01", "501"),
            (b"user=ana\x01\x01", "501"),
            (b"auth=Bearer x\x01user=ana\x01\x01", "501"),
            (b"", "501"),
        ] {
            assert_eq!(outcome(Exchange::XOAuth2, response), expected, "{}", response.escape_ascii());
        }
        for (response, expected) in [
            (&b"n,a=ana@a.example,\x01host=h\x01port=465\x01auth=Bearer x\x01\x01"[..], "ana@a.example x"),
            (b"y,a=a=2Cb=3Dc,\x01auth=Bearer x==\x01\x01", "a,b=c x=="),
            (b"n,a=a=2Xb,\x01auth=Bearer x\x01\x01", "501"),
            (b"n,a=a=2,\x01auth=Bearer x\x01\x01", "501"),
            (b"n,a=a,b,\x01auth=Bearer x\x01\x01", "501"),
            (b"n,a=a\nb,\x01auth=Bearer x\x01\x01", "501"),
            (b"n,,\x01auth=Bearer x\x01\x01", "501"),
            (b"p=tls-unique,a=ana,\x01auth=Bearer x\x01\x01", "501"),
            (b"n,a=ana\x01auth=Bearer x\x01\x01", "501"),
            (b"\x01", "501"),
        ] {
            assert_eq!(outcome(Exchange::OAuthBearer, response), expected, "{}", response.escape_ascii());
        }
    }
}
