use std::time::Duration;

use envelope::Timestamp;
use serde::{Deserialize, Serialize};

use crate::certificates::{Folder, Pair};
use crate::config::AcmeConfig;

/// What is remembered about the certificate of one name: in `NAME.json`, beside `NAME.pem`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The directory that `NAME.pem` is from.
    pub(crate) issued_by: Option<String>,
    /// What the tries below were made with. With other settings they say nothing.
    pub(crate) tried_with: String,
    /// Tries in a row that came to nothing.
    pub(crate) failures: u32,
    /// Not before this: RFC 3339 in UTC.
    pub(crate) next_try: Option<String>,
    /// What the last one came to.
    pub(crate) problem: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Record {
    /// One that cannot be read is as good as none.
    pub(crate) fn read(folder: &Folder, name: &str) -> Self {
        let octets = folder.read(&file(name)).ok().flatten();
        octets.and_then(|octets| serde_json::from_slice(&octets).ok()).unwrap_or_default()
    }

    pub(crate) fn write(&self, folder: &Folder, name: &str) -> std::io::Result<()> {
        folder.write(&file(name), &serde_json::to_vec_pretty(self)?)
    }

    /// What tries depend on: after a change of it the old ones do not count.
    pub(crate) fn settings(acme: &AcmeConfig) -> String {
        format!("{} {} {}", acme.directory, acme.challenge.code(), acme.email)
    }

    pub(crate) fn next_try(&self) -> Option<Timestamp> {
        self.next_try.as_deref().and_then(|text| text.parse().ok())
    }

    /// When a certificate is to be asked for, with `pair` the one that there is.
    pub(crate) fn due(&self, pair: Option<&Pair>, acme: &AcmeConfig, now: Timestamp) -> Timestamp {
        let needed = match pair {
            Some(pair) if self.issued_by.as_deref() == Some(acme.directory.as_str()) => pair.renewal(),
            // From another authority, or none at all.
            _ => now,
        };
        // A clock that was years ahead when this was written must not keep us waiting for years.
        let in_reason = |at: &Timestamp| *at <= now.plus(LONGEST_PAUSE);
        let held_back = Some(self.tried_with.as_str()) == Some(Self::settings(acme).as_str());
        let next_try = self.next_try().filter(|_| held_back).filter(in_reason);
        next_try.map_or(needed, |next_try| needed.max(next_try))
    }
}

/// Longer than any pause there is.
const LONGEST_PAUSE: Duration = Duration::from_hours(24 * 8);

fn file(name: &str) -> String {
    format!("{name}.json")
}

/// The certificate kept for `name`, or why it cannot be used.
pub(crate) fn kept(folder: &Folder, name: &str) -> Result<Option<Pair>, String> {
    let file = pem_file(name);
    let octets = folder.read(&file).map_err(|error| format!("{}: {error}", folder.path(&file).display()))?;
    let Some(octets) = octets else { return Ok(None) };
    let pair = Pair::from_pem(&octets, &octets)
        .map_err(|error| format!("{}: {error}", folder.path(&file).display()))?;
    if pair.covers(name) {
        Ok(Some(pair))
    } else {
        Err(format!("{}: it is for another name", folder.path(&file).display()))
    }
}

/// Chain and key in one file, so that both change at once.
pub(crate) fn pem_file(name: &str) -> String {
    format!("{name}.pem")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::pair::tests::made;
    use crate::config::Challenge;

    fn acme() -> AcmeConfig {
        AcmeConfig {
            email: "ops@example.com".into(),
            directory: "https://ca.test/dir".into(),
            challenge: Challenge::TlsAlpn01,
            directory_ca_file: None,
        }
    }

    #[test]
    fn when_a_certificate_is_asked_for() {
        let now: Timestamp = "2026-02-01T00:00:00.000Z".parse().unwrap();
        let later = |hours| now.plus(Duration::from_hours(hours));
        let (certificate, key) = made(&["a.test"], 2026, 2027);
        let pair = Pair::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
        let settings = Record::settings(&acme());
        let tried = |next: Timestamp| Record {
            issued_by: Some("https://ca.test/dir".into()),
            tried_with: settings.clone(),
            next_try: Some(next.to_string()),
            ..Record::default()
        };
        let fresh = Record { issued_by: Some("https://ca.test/dir".into()), ..Record::default() };
        assert_eq!(Record::default().due(None, &acme(), now), now, "the first start");
        assert_eq!(fresh.due(Some(&pair), &acme(), now), pair.renewal());
        assert_eq!(fresh.due(None, &acme(), now), now, "the file is gone");
        assert_eq!(tried(later(3)).due(None, &acme(), now), later(3), "after a failure");
        assert_eq!(tried(later(3)).due(Some(&pair), &acme(), now), pair.renewal());
        assert_eq!(tried(later(24 * 30)).due(None, &acme(), now), now, "the clock was wrong then");
        let mut other = acme();
        other.challenge = Challenge::Http01;
        assert_eq!(tried(later(3)).due(None, &other, now), now, "the operator changed something");
        other.directory = "https://other.test/dir".into();
        assert_eq!(fresh.due(Some(&pair), &other, now), now, "from another authority");
    }

    #[test]
    fn kept_on_disk() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::at(&scratch.path().join("tls"));
        folder.make().unwrap();
        assert_eq!(Record::read(&folder, "a.test"), Record::default());
        let record = Record { failures: 3, problem: Some("dns: no".into()), ..Record::default() };
        record.write(&folder, "a.test").unwrap();
        assert_eq!(Record::read(&folder, "a.test"), record);
        folder.write("a.test.json", b"{ garbage").unwrap();
        assert_eq!(Record::read(&folder, "a.test"), Record::default());

        assert!(kept(&folder, "a.test").unwrap().is_none());
        let (certificate, key) = made(&["a.test"], 2026, 2027);
        folder.write("a.test.pem", format!("{certificate}{key}").as_bytes()).unwrap();
        assert!(kept(&folder, "a.test").unwrap().is_some());
        folder.write("b.test.pem", format!("{certificate}{key}").as_bytes()).unwrap();
        assert!(kept(&folder, "b.test").unwrap_err().contains("another name"));
        folder.write("a.test.pem", certificate.as_bytes()).unwrap();
        assert!(kept(&folder, "a.test").is_err());
    }
}
