use std::fmt;

/// A text that never shows itself: `Debug` prints `…`, there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What a client logged in with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The authentication identity.
    pub login: String,
    /// The password, or the access token.
    pub password: Secret,
    /// Which of them it is.
    pub kind: CredentialKind,
}

/// What proves a login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CredentialKind {
    /// A password (PLAIN, RFC 4616; LOGIN).
    #[default]
    Password,
    /// An access token (OAUTHBEARER, RFC 7628; XOAUTH2).
    AccessToken,
}

impl Credentials {
    /// A login with its password.
    pub fn with_password(login: impl Into<String>, password: impl Into<String>) -> Self {
        Self { login: login.into(), password: Secret::new(password), kind: CredentialKind::Password }
    }

    /// A login with an OAuth access token.
    pub fn with_access_token(login: impl Into<String>, token: impl Into<String>) -> Self {
        Self { login: login.into(), password: Secret::new(token), kind: CredentialKind::AccessToken }
    }
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
        let credentials = Credentials::with_password("ana", "hunter2");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }
}
