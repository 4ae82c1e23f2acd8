use std::time::Duration;

use instant_acme::{Error, Problem};

use super::transport::{Answered, TransportError, shown};
use crate::config::Challenge;

/// Why there is no certificate, and what that means for the next try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What the authority said, or what kept us from hearing it.
    pub(super) said: String,
    /// What the operator can do.
    pub(super) hint: Option<String>,
    /// How long the authority wants us to wait.
    pub(super) wait: Option<Duration>,
    pub(super) concerns: Concerns,
    /// It means nothing: the same may be tried at once (RFC 8555 §6.5).
    pub(super) at_once: bool,
}

/// What a failure says about other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concerns {
    /// Nothing: another name may do better.
    Name,
    /// The authority is away or does not want us: asking for other names now would only be noise.
    Authority,
    /// The authority does not know our account (any more).
    Account,
}

impl Failure {
    pub(super) fn new(error: &Error, answered: &Answered, name: &str, challenge: Challenge) -> Self {
        let mut failure = match error {
            Error::Api(problem) => Self::problem(problem, name, challenge),
            Error::Other(other) => match other.downcast_ref::<TransportError>() {
                Some(error) => Self::transport(error),
                None => Self::odd(&other.to_string(), answered),
            },
            Error::Timeout(_) => Self {
                said: "the authority was not done in time".into(),
                hint: None,
                wait: None,
                concerns: Concerns::Name,
                at_once: false,
            },
            other => Self::odd(&other.to_string(), answered),
        };
        failure.wait = answered.wait;
        failure
    }

    /// One of the authority's error documents (RFC 8555 §6.7).
    fn problem(problem: &Problem, name: &str, challenge: Challenge) -> Self {
        const NAMESPACE: &str = "urn:ietf:params:acme:error:";
        let kind = problem.r#type.as_deref().unwrap_or("about:blank");
        let kind = kind.strip_prefix(NAMESPACE).unwrap_or(kind);
        let mut said = format!("{kind}: {}", problem.detail.as_deref().unwrap_or("nothing more was said"));
        for sub in &problem.subproblems {
            let about =
                sub.identifier.as_ref().map(|id| id.authorized(false).to_string()).unwrap_or_default();
            said += &format!("; {about}: {}", sub.detail.as_deref().unwrap_or_default());
        }
        let door = match challenge {
            Challenge::TlsAlpn01 => "port 443 (to `tracking.listen`)",
            Challenge::Http01 => "port 80 (to the plain listener, `tracking.plain_http`)",
        };
        let (concerns, hint) = match kind {
            "connection" | "tls" | "incorrectResponse" | "unauthorized" => (
                Concerns::Name,
                Some(format!(
                    "the name {name} must lead to this machine from everywhere, IPv6 too if it has AAAA records, and {door} must reach us there with nothing in between that answers in our place"
                )),
            ),
            "dns" => (Concerns::Name, Some(format!("give {name} an A or AAAA record that leads to this machine"))),
            "caa" => (
                Concerns::Name,
                Some(format!("the CAA records of {name} do not let this authority issue: add it to them")),
            ),
            "rejectedIdentifier" | "unsupportedIdentifier" => (
                Concerns::Name,
                Some(format!("this authority issues nothing for {name}: take another name, or mode = \"files\"")),
            ),
            "rateLimited" => (Concerns::Name, Some("nothing to do but wait; it is tried again by itself".into())),
            "externalAccountRequired" => (
                Concerns::Authority,
                Some("this authority wants an account made elsewhere first, which this version cannot use: take another `tls.directory`".into()),
            ),
            "invalidContact" | "unsupportedContact" => {
                (Concerns::Authority, Some("put `tls.email` right".into()))
            }
            "userActionRequired" => (
                Concerns::Authority,
                Some("the authority wants you to agree to new terms; it says where".into()),
            ),
            "accountDoesNotExist" => (
                Concerns::Account,
                Some("the account kept here is forgotten, and a new one made at the next try".into()),
            ),
            "serverInternal" => (Concerns::Authority, Some("it is tried again by itself".into())),
            _ => (Concerns::Name, None),
        };
        Self { said: shown(&said, LONGEST), hint, wait: None, concerns, at_once: kind == "badNonce" }
    }

    fn transport(error: &TransportError) -> Self {
        let hint = match error {
            TransportError::NoTarget(_) => "the directory at `tls.directory` points to something odd",
            TransportError::NoTls { .. } => {
                "is `tls.directory` right? For a private authority name its own certificate in `tls.directory_ca_file`"
            }
            _ => "is `tls.directory` right, and may this machine connect to it?",
        };
        Self {
            said: shown(&error.to_string(), LONGEST),
            hint: Some(hint.into()),
            wait: None,
            concerns: Concerns::Authority,
            at_once: false,
        }
    }

    /// An answer that is not ACME.
    fn odd(why: &str, answered: &Answered) -> Self {
        let status = answered.status.map_or(String::new(), |status| format!(" (HTTP status {status})"));
        Self {
            said: shown(&format!("the authority's answer is not that of ACME{status}: {why}"), LONGEST),
            hint: Some("is `tls.directory` the URL of an ACME directory?".into()),
            wait: None,
            concerns: Concerns::Authority,
            at_once: false,
        }
    }

    /// Something here went wrong, not there.
    pub(super) fn here(why: String, concerns: Concerns) -> Self {
        Self { said: why, hint: None, wait: None, concerns, at_once: false }
    }
}

const LONGEST: usize = 600;

/// How long to wait after so many failures in a row. `dice` is between 0 and 1.
///
/// An authority bears some five failed tries an hour for a name: there are four in the first hour, then less
/// and less, twice a day in the end. One that cannot be reached counts nothing, and may be back at any time.
/// What the authority asks for goes first, within reason.
pub(super) fn pause(concerns: Concerns, failures: u32, asked: Option<Duration>, dice: f64) -> Duration {
    let (first, longest) = match concerns {
        Concerns::Name => (Duration::from_mins(2), Duration::from_hours(12)),
        Concerns::Authority | Concerns::Account => (Duration::from_secs(15), Duration::from_hours(1)),
    };
    let steps = failures.saturating_sub(1).min(8);
    let pause = (first * 4_u32.pow(steps)).min(longest);
    let pause = pause + pause.mul_f64(dice.clamp(0.0, 1.0) / 4.0);
    pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// Nobody means longer, and a wrong number must not leave us without a certificate.
const LONGEST_ASKED: Duration = Duration::from_hours(24 * 7);

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Error {
        let document =
            serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        Error::Api(serde_json::from_value(document).unwrap())
    }

    #[test]
    fn what_it_means_and_what_to_do() {
        let answered = Answered { status: Some(403), wait: Some(Duration::from_secs(90)) };
        for (kind, concerns, hint) in [
            ("connection", Concerns::Name, "port 443"),
            ("unauthorized", Concerns::Name, "a.test must lead to this machine"),
            ("dns", Concerns::Name, "record"),
            ("caa", Concerns::Name, "CAA"),
            ("rateLimited", Concerns::Name, "wait"),
            ("rejectedIdentifier", Concerns::Name, "a.test"),
            ("externalAccountRequired", Concerns::Authority, "tls.directory"),
            ("invalidContact", Concerns::Authority, "tls.email"),
            ("serverInternal", Concerns::Authority, "by itself"),
            ("accountDoesNotExist", Concerns::Account, "new one"),
        ] {
            let failure = Failure::new(
                &problem(kind, "line\r\none\u{1b}[2J"),
                &answered,
                "a.test",
                Challenge::TlsAlpn01,
            );
            assert_eq!(failure.concerns, concerns, "{kind}");
            assert!(failure.hint.as_deref().unwrap().contains(hint), "{kind}: {failure:?}");
            assert_eq!(failure.said, format!("{kind}: line  one [2J"));
            assert_eq!(failure.wait, Some(Duration::from_secs(90)));
        }
        let failure = Failure::new(&problem("tls", "x"), &answered, "a.test", Challenge::Http01);
        assert!(failure.hint.unwrap().contains("port 80"));
        let failure =
            Failure::new(&problem("new", &"x".repeat(9_999)), &answered, "a.test", Challenge::Http01);
        assert_eq!((failure.hint, failure.said.len()), (None, LONGEST));
        let html = Error::Json(serde_json::from_str::<u8>("<html>").unwrap_err());
        let failure = Failure::new(&html, &answered, "a.test", Challenge::Http01);
        assert!(
            failure.said.contains("HTTP status 403") && failure.concerns == Concerns::Authority,
            "{failure:?}"
        );
    }

    #[test]
    fn never_hammers() {
        let minutes = |failures, asked, dice| pause(Concerns::Name, failures, asked, dice).as_secs() / 60;
        for (failures, expected) in
            [(0, 2), (1, 2), (2, 8), (3, 32), (4, 128), (5, 512), (6, 720), (u32::MAX, 720)]
        {
            assert_eq!(minutes(failures, None, 0.0), expected);
        }
        assert_eq!(minutes(2, None, 1.0), 10);
        assert_eq!(minutes(1, Some(Duration::from_hours(3)), 0.5), 180, "the authority asked for more");
        assert_eq!(minutes(3, Some(Duration::from_secs(1)), 0.0), 32, "it asked for less than is decent");
        assert_eq!(minutes(1, Some(Duration::MAX), 0.0), 7 * 24 * 60);
        let outage = |failures| pause(Concerns::Authority, failures, None, 0.0).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 99].map(outage), [15, 60, 240, 960, 3_600, 3_600]);
        // In any hour no more than five.
        let mut at = Duration::ZERO;
        let tries = (1..20).map(|failures| {
            at += pause(Concerns::Name, failures, None, 0.0);
            at
        });
        assert!(tries.filter(|at| *at <= Duration::from_hours(1)).count() < 5);
    }
}
