use std::time::Duration;

use anyhow::Context;
use envelope::Timestamp;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::folder::Folder;
use super::pair::{Pair, day};

/// Chain and key.
const FILE: &str = "self-signed.pem";
/// Apple's programs take none that is valid for longer.
const DAYS: i64 = 820;
const DAY_MILLIS: i64 = 86_400_000;

/// A certificate nobody vouches for, for tests and demos. The same at each start, as long as it is good and
/// for the same names: who told a mail program to trust it need not do so again.
pub(crate) fn kept(folder: &Folder, names: &[String], now: Timestamp) -> anyhow::Result<Pair> {
    folder.make()?;
    let path = folder.path(FILE);
    let kept = folder.read(FILE).with_context(|| format!("cannot read {}", path.display()))?;
    let is_good = |pair: &Pair| {
        names.iter().all(|name| pair.covers(name)) && pair.left(now) > Duration::from_hours(24 * 30)
    };
    if let Some(pair) = kept.and_then(|pem| Pair::from_pem(&pem, &pem).ok()).filter(is_good) {
        return Ok(pair);
    }
    let pem = made(names, "Waxseal, self-signed", now, DAYS).context("no certificate could be made")?;
    let pair =
        Pair::from_pem(pem.as_bytes(), pem.as_bytes()).context("the certificate made here cannot be used")?;
    folder.write(FILE, pem.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    tracing::info!(file = %path.display(), names = names.join(" "), "made a self-signed certificate");
    Ok(pair)
}

/// For the time until an authority has given us one.
pub(crate) fn placeholder(name: &str, now: Timestamp) -> anyhow::Result<Pair> {
    let pem = made(&[name.to_owned()], "Waxseal, until there is a certificate", now, 30)?;
    Ok(Pair::from_pem(pem.as_bytes(), pem.as_bytes())?)
}

/// Certificate and key in PEM.
fn made(names: &[String], called: &str, now: Timestamp, days: i64) -> anyhow::Result<String> {
    // An address literal in brackets is no name.
    let names: Vec<String> = names.iter().map(|name| name.trim_matches(['[', ']']).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, called);
    // From yesterday on, for clients whose clock is behind.
    let yesterday = now.unix_millis().saturating_sub(DAY_MILLIS);
    let (year, month, day) = calendar(yesterday)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = calendar(yesterday.saturating_add(days * DAY_MILLIS))?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    let key = KeyPair::generate()?;
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// Year, month and day.
fn calendar(unix_millis: i64) -> anyhow::Result<(i32, u8, u8)> {
    let day = day(Timestamp::from_unix_millis(unix_millis));
    let mut parts = day.splitn(3, '-');
    let mut part = || parts.next().context("a moment outside of the calendar");
    Ok((part()?.parse()?, part()?.parse()?, part()?.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_as_long_as_it_is_good() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::at(&scratch.path().join("tls"));
        let names = ["Relay.test", "localhost", "127.0.0.1", "[192.0.2.1]"].map(str::to_owned);
        let now: Timestamp = "2026-01-01T00:00:00.000Z".parse().unwrap();
        let own = |pair: &Pair| pair.certified().end_entity_cert().unwrap().to_vec();
        let first = kept(&folder, &names, now).unwrap();
        for name in &names {
            assert!(first.covers(name), "{name}");
        }
        assert!(first.has_begun(now) && first.left(now) > Duration::from_hours(24 * 800));
        assert_eq!(own(&kept(&folder, &names, now).unwrap()), own(&first), "the same at each start");
        let later = now.plus(Duration::from_hours(24 * 800));
        let second = kept(&folder, &names, later).unwrap();
        assert_ne!(own(&second), own(&first), "it would end soon");
        let third = kept(&folder, &["other.test".to_owned()], later).unwrap();
        assert!(third.covers("other.test"));
        folder.write(FILE, b"garbage").unwrap();
        assert_ne!(own(&kept(&folder, &names, later).unwrap()), own(&third));
    }
}
