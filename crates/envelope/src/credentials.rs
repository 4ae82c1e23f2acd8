use std::fmt;

/// A text that never shows itself: `Debug` prints `…`, there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a client logged in with (RFC 4616, LOGIN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The authentication identity.
    pub login: String,
    /// The password.
    pub password: Secret,
}

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stays_one() {
        let credentials = Credentials { login: "ana".into(), password: Secret::new("hunter2") };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
