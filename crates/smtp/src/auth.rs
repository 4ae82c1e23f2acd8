use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envelope::{Credentials, Reply, Secret};

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
}

// "Username:" and "Password:", as every client of LOGIN expects them.
const USERNAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";

impl Exchange {
    /// Begins with the AUTH command itself.
    pub(crate) fn begin(mechanism: Mechanism, initial_response: Option<&Secret>) -> Step {
        let (exchange, challenge) = match mechanism {
            Mechanism::Plain => (Self::Plain, ""),
            Mechanism::Login => (Self::LoginName, USERNAME),
        };
        match initial_response.map(Secret::expose) {
            None => Step::Challenge(exchange, Reply::of(334, "", challenge)),
            // RFC 4954 §4: "=" is a response of no octets, which is not the same as none.
            Some("=") => exchange.take(Vec::new()),
            Some(response) => exchange.respond(response.as_bytes()),
        }
    }

    /// Goes on with a line of the client, without its CRLF.
    pub(crate) fn respond(self, line: &[u8]) -> Step {
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

    fn outcome(response: &[u8]) -> String {
        match Exchange::Plain.respond(STANDARD.encode(response).as_bytes()) {
            Step::Credentials(c) => format!("{} {}", c.login, c.password.expose()),
            Step::Challenge(_, reply) | Step::Malformed(reply) | Step::Denied(reply) => {
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
            assert_eq!(outcome(response), expected, "{}", response.escape_ascii());
        }
    }
}
