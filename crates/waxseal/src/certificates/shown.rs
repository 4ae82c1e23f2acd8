use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::acme::TLS_ALPN;

/// What all listeners show, in one place: whoever changes it changes it for every connection from then on.
#[derive(Default)]
pub(crate) struct Shown {
    certificates: RwLock<ByName>,
    /// The certificates that prove a name (RFC 8737), while the authority asks.
    answers: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    /// The key authorisations of http-01 (RFC 8555 §8.3) by token, while the authority asks.
    tokens: RwLock<HashMap<String, String>>,
}

#[derive(Default)]
struct ByName {
    /// Names in lower case.
    names: HashMap<String, Arc<CertifiedKey>>,
    /// For who asks for no name, or for one that we do not have.
    any: Option<Arc<CertifiedKey>>,
}

impl Shown {
    /// From now on everybody sees this one.
    pub(crate) fn show_everywhere(&self, certified: Arc<CertifiedKey>) {
        *write(&self.certificates) = ByName { names: HashMap::new(), any: Some(certified) };
    }

    /// From now on who asks for `name` sees this one.
    pub(crate) fn show(&self, name: &str, certified: Arc<CertifiedKey>) {
        let mut certificates = write(&self.certificates);
        certificates.any.get_or_insert_with(|| certified.clone());
        certificates.names.insert(name.to_ascii_lowercase(), certified);
    }

    /// What who asks for `name` sees, and who asks for nothing or somebody else, where `fallback` is served.
    fn choose(&self, name: Option<&str>, fallback: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = read(&self.certificates);
        let named = name.and_then(|name| certificates.names.get(&name.to_ascii_lowercase()));
        // A certificate for another name is a clearer answer to a person than no handshake at all: mail
        // programs show the name it is for.
        named.or_else(|| certificates.names.get(fallback)).or(certificates.any.as_ref()).cloned()
    }

    /// Proves `name` to the authority until the guard goes.
    pub(crate) fn answer(self: &Arc<Self>, name: &str, certified: Arc<CertifiedKey>) -> Answering {
        let name = name.to_ascii_lowercase();
        write(&self.answers).insert(name.clone(), certified);
        Answering { shown: self.clone(), name: Some(name), token: None }
    }

    /// Answers for `token` over plain HTTP until the guard goes.
    pub(crate) fn answer_token(self: &Arc<Self>, token: &str, authorization: String) -> Answering {
        write(&self.tokens).insert(token.to_owned(), authorization);
        Answering { shown: self.clone(), name: None, token: Some(token.to_owned()) }
    }

    /// The key authorisation for `token`.
    pub(crate) fn authorization(&self, token: &str) -> Option<String> {
        read(&self.tokens).get(token).cloned()
    }

    /// TLS for listeners that serve `fallback`. With no `protocols` we do not care about ALPN.
    pub(crate) fn server_config(
        self: &Arc<Self>,
        fallback: &str,
        protocols: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let face = Face { shown: self.clone(), fallback: fallback.to_owned() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(face));
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// What is shown while the authority asks; when this goes, it is not shown any more.
#[must_use]
pub(crate) struct Answering {
    shown: Arc<Shown>,
    name: Option<String>,
    token: Option<String>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            write(&self.shown.answers).remove(name);
        }
        if let Some(token) = &self.token {
            write(&self.shown.tokens).remove(token);
        }
    }
}

/// [`Shown`] as one kind of listener sees it.
struct Face {
    shown: Arc<Shown>,
    fallback: String,
}

impl ResolvesServerCert for Face {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        // Only the authority speaks this protocol, and it asks for nothing else (RFC 8737 §3). Whoever else
        // does is shown nothing.
        if hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == TLS_ALPN)) {
            return read(&self.shown.answers).get(&name?.to_ascii_lowercase()).cloned();
        }
        self.shown.choose(name, &self.fallback)
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face").field("fallback", &self.fallback).finish_non_exhaustive()
    }
}

/// Nothing panics while it holds one of these locks half way through a change.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Pair;
    use super::super::pair::tests::made;
    use super::*;

    fn certified(name: &str) -> Arc<CertifiedKey> {
        let (certificate, key) = made(&[name], 2026, 2027);
        Pair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap().certified()
    }

    #[test]
    fn who_asks_for_what_sees_what() {
        let shown = Arc::new(Shown::default());
        assert!(shown.choose(Some("a.test"), "a.test").is_none());
        let (mail, web) = (certified("mail.test"), certified("web.test"));
        shown.show("Mail.test", mail.clone());
        shown.show("web.test", web.clone());
        for (name, fallback, expected) in [
            (Some("mail.test"), "web.test", &mail),
            (Some("MAIL.TEST"), "web.test", &mail),
            (Some("web.test"), "mail.test", &web),
            (Some("other.test"), "web.test", &web),
            (None, "web.test", &web),
            (None, "mail.test", &mail),
            (None, "gone.test", &mail),
        ] {
            let chosen = shown.choose(name, fallback).unwrap();
            assert!(Arc::ptr_eq(&chosen, expected), "{name:?} at {fallback}");
        }
        let new = certified("mail.test");
        shown.show("mail.test", new.clone());
        assert!(Arc::ptr_eq(&shown.choose(Some("mail.test"), "").unwrap(), &new));
        shown.show_everywhere(web.clone());
        assert!(Arc::ptr_eq(&shown.choose(Some("mail.test"), "").unwrap(), &web));
    }

    #[test]
    fn answers_to_the_authority_go_with_their_guard() {
        let shown = Arc::new(Shown::default());
        let one = shown.answer_token("token", "token.thumb".into());
        let two = shown.answer("A.test", certified("a.test"));
        assert_eq!(shown.authorization("token").as_deref(), Some("token.thumb"));
        assert_eq!(shown.authorization("other"), None);
        assert!(read(&shown.answers).contains_key("a.test"));
        drop((one, two));
        assert_eq!(shown.authorization("token"), None);
        assert!(read(&shown.answers).is_empty());
    }
}
