//! The messages in `tests/messages`, with real tokens in the places of their placeholders.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::{Choice, RelayId, Timestamp};
use relay::{Asked, OnDkim, Rewriting, Tracking, without_control_fields};
use seal::{Keys, Recipient};

use super::document::Whose;

pub const BASE_URL: &str = "https://t.example.com";
pub const TRACK_FIELD: &str = "X-Waxseal-Track";

pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    /// As it comes over SMTP, placeholders filled.
    pub submitted: Vec<u8>,
}

/// Every message, by name.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages");
    let mut cases = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(raw) = std::fs::read(folder.join("in.eml")) else { continue };
        let note = std::fs::read_to_string(folder.join("note.txt")).unwrap_or_default();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        cases.push(Case { name, submitted: filled(raw, &fills(&note)), folder });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(cases.len() >= 150, "only {} messages", cases.len());
    cases
}

pub fn keys() -> Keys {
    Keys::generate([42; 32])
}

fn id(millis: i64, octet: u8) -> RelayId {
    RelayId::new(Timestamp::from_unix_millis(millis), [octet; 10])
}

/// What every message of the collection is rewritten with; the message's own fields may say otherwise.
pub fn tracking(content: &[u8]) -> Tracking {
    let choice = match Asked::of(content, TRACK_FIELD) {
        Asked::For { wish, .. } => wish.over(Choice::BOTH),
        Asked::Nothing | Asked::Unclear => Choice::BOTH,
    };
    Tracking {
        id: id(1_795_508_461_123, 7),
        recipient: Recipient::Index(0),
        choice,
        keys: Arc::new(keys()),
        base_url: BASE_URL.to_owned(),
        rewriting: Rewriting::default(),
        on_dkim: OnDkim::Keep,
    }
}

/// The message as the relay sees it when it rewrites: our own fields are gone.
pub fn without_our_fields(submitted: &[u8]) -> Arc<Vec<u8>> {
    Arc::new(without_control_fields(submitted, TRACK_FIELD).into_owned())
}

/// What the collection's tokens say.
pub struct Ours;

impl Whose for Ours {
    fn target(&self, url: &str) -> Option<String> {
        // A program may have made http of https.
        let rest = url
            .strip_prefix(BASE_URL)
            .or_else(|| url.strip_prefix(&BASE_URL.replacen("https", "http", 1)))?;
        let token = rest.strip_prefix(seal::LINK_PATH)?.split(['#', '?']).next()?;
        Some(keys().open_link(token)?.target.as_str().to_owned())
    }

    fn is_pixel(&self, src: &str) -> bool {
        let src = url::Url::parse(src).map(String::from).unwrap_or_default();
        let is_ours = |url: &str| {
            let path =
                url.split_once("://").and_then(|(_, rest)| rest.strip_prefix(BASE_URL.split_once("://")?.1));
            let token = path.and_then(|path| path.strip_prefix(seal::PIXEL_PATH));
            token.is_some_and(|token| {
                keys().open_pixel(token.split(['#', '?']).next().unwrap_or_default()).is_some()
            })
        };
        // Also through an image proxy that names it in the fragment.
        is_ours(&src) || src.split_once('#').is_some_and(|(_, fragment)| is_ours(fragment))
    }
}

/// `fill: @@PIXEL@@ = pixel; @@LINK1@@ = https://…`
fn fills(note: &str) -> Vec<(String, String)> {
    let line = note.lines().find_map(|line| line.strip_prefix("fill: "));
    let pairs = line.unwrap_or_default().split("; ").filter_map(|pair| pair.split_once(" = "));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

fn filled(raw: Vec<u8>, fills: &[(String, String)]) -> Vec<u8> {
    if fills.is_empty() {
        return raw;
    }
    let (keys, earlier) = (keys(), id(1_790_000_000_000, 9));
    let mut tokens: Vec<(String, String)> = vec![];
    // From the last: a destination may itself hold a placeholder.
    for (index, (name, value)) in fills.iter().enumerate().rev() {
        let token = if value == "pixel" {
            keys.seal_pixel(earlier, Recipient::Index(0))
        } else {
            let target = tokens.iter().fold(value.clone(), |text, (name, token)| text.replace(name, token));
            let target = String::from(url::Url::parse(&target).unwrap());
            keys.seal_link(earlier, Recipient::Index(0), u16::try_from(index).unwrap(), &target).unwrap()
        };
        tokens.push((name.clone(), token));
    }
    let replace = |octets: &[u8]| -> Vec<u8> {
        tokens.iter().fold(octets.to_vec(), |octets, (name, token)| {
            replace_all(&octets, name.as_bytes(), token.as_bytes())
        })
    };
    let done = replace(&raw);
    if done == raw { in_base64(&raw, replace) } else { done }
}

/// For bodies in base64: each decoded, filled, encoded again at 76 columns.
fn in_base64(raw: &[u8], replace: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let located = mime::locate(raw);
    let (mut out, mut at) = (vec![], 0);
    for part in &located.html {
        let text: Vec<u8> =
            raw[part.body.clone()].iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
        let Ok(decoded) = STANDARD.decode(text) else { continue };
        out.extend_from_slice(&raw[at..part.body.start]);
        let encoded = STANDARD.encode(replace(&decoded));
        let lines: Vec<&[u8]> = encoded.as_bytes().chunks(76).collect();
        out.extend(lines.join(&b"\r\n"[..]));
        let tail = &raw[part.body.clone()];
        out.extend_from_slice(if tail.ends_with(b"\r\n") { b"\r\n" } else { b"" });
        at = part.body.end;
    }
    out.extend_from_slice(&raw[at..]);
    out
}

fn replace_all(octets: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = rest.windows(name.len()).position(|window| window == name) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(value);
        rest = &rest[at + name.len()..];
    }
    out.extend_from_slice(rest);
    out
}
