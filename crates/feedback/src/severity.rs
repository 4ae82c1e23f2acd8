use envelope::EnhancedStatusCode;

use crate::Severity;

/// How bad a failure is, by its status code and by its words: codes are often wrong or `5.0.0`, words seldom.
pub(crate) fn of_failure(status: Option<EnhancedStatusCode>, words: &str) -> Severity {
    let words = words.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    match status.map(|status| (status.class(), status.subject(), status.detail())) {
        // They gave up on something that might have passed; or the sender's address is what is bad.
        Some((4 | 2, ..) | (5, 1, 7 | 8)) => Severity::Soft,
        // Bad mailbox, bad system, bad syntax, moved, null MX; mailbox disabled. (Over quota is 5.2.2, too long 5.2.3.)
        Some((5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1)) if !says(POLICY) => Severity::Hard,
        // No route; Microsoft's "the domain does not exist".
        Some((5, 4, 4 | 310)) => Severity::Hard,
        // Whatever else has a code of its own is not about the address, unless the words say so.
        _ if says(NOBODY) && !says(POLICY) && !says(FULL) => Severity::Hard,
        _ => Severity::Soft,
    }
}

const POLICY: &[&str] = &[
    "spam",
    "blacklist",
    "blocklist",
    "block list",
    "blocked",
    "reputation",
    "policy",
    "dmarc",
    "spf ",
    "rate limit",
    "too many",
    "sender rejected",
    "sender denied",
    "relay access denied",
    "relaying denied",
    "greylist",
];

const FULL: &[&str] = &["quota", "mailbox full", "mailbox is full", "insufficient storage", "over limit"];

/// What servers say when there is nobody at an address, in lower case.
const NOBODY: &[&str] = &[
    "user unknown",
    "unknown user",
    "no such user",
    "no such recipient",
    "no such mailbox",
    "no such address",
    "no such person",
    "no such account",
    "user not found",
    "recipient not found",
    "recipientnotfound",
    "recipnotfound",
    "address not found",
    "mailbox not found",
    "account not found",
    "does not exist",
    "doesn't exist",
    "doesn't have a",
    "no mailbox here",
    "unknown recipient",
    "recipient unknown",
    "invalid recipient",
    "invalid mailbox",
    "unknown address",
    "address unknown",
    "unknown local",
    "unrouteable address",
    "unroutable address",
    "recipient address rejected: access denied",
    "account is disabled",
    "account disabled",
    "account that you tried to reach is disabled",
    "mailbox disabled",
    "account has been disabled",
    "no longer active",
    "no longer available",
    "host not found",
    "host or domain name not found",
    "domain not found",
    "couldn't find any host",
    "nxdomain",
    "null mx",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_code_and_by_words() {
        let cases = [
            ("5.1.1", "", Severity::Hard),
            ("5.1.1", "550 5.1.1 Message blocked as spam", Severity::Soft),
            ("5.1.10", "RESOLVER.ADR.RecipientNotFound", Severity::Hard),
            ("5.1.8", "Sender address has null MX", Severity::Soft),
            ("5.2.1", "The email account that you tried to reach is disabled.", Severity::Hard),
            ("5.2.2", "mailbox full", Severity::Soft),
            ("5.4.1", "Recipient address rejected: Access denied. AS(201806281)", Severity::Hard),
            ("5.4.14", "Hop count exceeded - possible mail loop", Severity::Soft),
            ("5.4.4", "Host or domain name not found", Severity::Hard),
            ("5.4.310", "DNS domain example.invalid does not exist", Severity::Hard),
            ("5.7.1", "Message rejected as spam by Content Filtering.", Severity::Soft),
            ("5.7.1", "550 5.7.1 no such user here", Severity::Hard),
            ("5.0.0", "550 No such user", Severity::Hard),
            ("5.0.0", "554 delivery error: dd Requested mail action aborted", Severity::Soft),
            ("5.5.0", "550 5.5.0 Requested action not taken: mailbox unavailable", Severity::Soft),
            ("5.6.0", "content", Severity::Soft),
            ("4.4.7", "host not found, gave up", Severity::Soft),
            ("4.2.2", "over quota", Severity::Soft),
        ];
        for (status, words, severity) in cases {
            assert_eq!(of_failure(EnhancedStatusCode::parse(status), words), severity, "{status} {words}");
        }
        assert_eq!(of_failure(None, "550 Unrouteable address"), Severity::Hard);
        assert_eq!(of_failure(None, ""), Severity::Soft);
    }
}
