/// Nearer than this is a slip of the finger (UX.md 3.3).
const NEAR: f64 = 0.8;

/// The known word that was probably meant by `text`.
pub(super) fn nearest<'w>(text: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let lower = text.to_ascii_lowercase();
    known
        .map(|word| (strsim::jaro_winkler(&lower, word), word))
        .filter(|(likeness, _)| *likeness > NEAR)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, word)| word)
}

/// `a`, `b`, `c`.
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Does a key of this name hold a secret, going by its name alone? In doubt it does.
pub(super) fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| lower.contains(word))
        || SECRET_NAMES.iter().any(|secret| strsim::jaro_winkler(&lower, secret) > NEAR)
}

const SECRET_NAMES: [&str; 10] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "client_secret",
    "token",
    "api_key",
    "private_key",
    "credential",
    "pin",
];
const SECRET_WORDS: [&str; 8] = ["pass", "pw", "secret", "token", "cred", "hash", "private", "key"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        let known = ["implicit", "starttls", "none"];
        for (text, expected) in [
            ("start-tls", Some("starttls")),
            ("STARTTLS", Some("starttls")),
            ("implict", Some("implicit")),
            ("ssl", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, known.into_iter()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_sounds_secret() {
        for name in [
            "password",
            "pasword",
            "passwort",
            "Password",
            "pwd",
            "client_secret",
            "secert",
            "api_token",
            "apikey",
            "credentail",
        ] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["host", "retension", "port", "timeot", "base_url", "user_name"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
