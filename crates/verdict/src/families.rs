use std::sync::OnceLock;

use ua_parser::user_agent::{Builder, Extractor, Parser};

/// uap-core's names of programs; see `data/README.md`.
const AGENTS: &str = include_str!("../data/uap-core-agents.tsv");

/// Read once, by [`load_families`]; until then nobody waits for it.
static FAMILIES: OnceLock<Option<Extractor<'static>>> = OnceLock::new();

/// What the list says, and what is shown instead: `None` is nothing.
const CORRECTIONS: &[(&str, Option<&str>)] = &[
    ("Chrome Mobile", Some("Chrome")),
    ("Chrome Mobile iOS", Some("Chrome")),
    ("Chromium", Some("Chrome")),
    ("Mobile Safari", Some("Safari")),
    ("Firefox Mobile", Some("Firefox")),
    ("Firefox iOS", Some("Firefox")),
    ("Edge Mobile", Some("Edge")),
    ("IE", Some("Internet Explorer")),
    ("IE Mobile", Some("Internet Explorer")),
    ("Opera Mobile", Some("Opera")),
    ("Opera Mini", Some("Opera")),
    ("Yandex Browser", Some("Yandex")),
    ("QQ Browser Mobile", Some("QQ Browser")),
    // An engine inside some app, which the agent does not name; and systems, and loaders.
    ("Chrome Mobile WebView", None),
    ("Mobile Safari UI/WKWebView", None),
    ("Android", None),
    ("CFNetwork", None),
    ("Safari", None),
    ("Other", None),
    // A browser without a screen is nobody's device.
    ("HeadlessChrome", None),
];

/// Reads the list of programs, which takes a fifth of a second. [`crate::device`] names more of them from then on.
pub fn load_families() {
    FAMILIES.get_or_init(read);
}

/// What the program is called, if the list is there and names it.
pub(crate) fn family(agent: &str) -> Option<String> {
    let found = FAMILIES.get()?.as_ref()?.extract(agent)?;
    let name = match CORRECTIONS.iter().find(|(known, _)| *known == found.family) {
        Some((_, corrected)) => (*corrected)?,
        None => &found.family,
    };
    is_a_name(name).then(|| name.to_owned())
}

/// A part of the agent may be the name, and everybody writes there what he likes.
fn is_a_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || " .+&'!-".contains(c);
    let words = name.to_ascii_lowercase();
    (2..=30).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !["bot", "crawl", "spider", "http", "preview"].iter().any(|word| words.contains(word))
}

/// `None` if the list cannot be built, which a test rules out; then there are fewer names.
fn read() -> Option<Extractor<'static>> {
    let mut builder = Builder::new();
    for line in AGENTS.lines().filter(|line| !line.starts_with('#')) {
        let (regex, family) = line.split_once('\t')?;
        let family_replacement = (!family.is_empty()).then(|| family.into());
        builder =
            builder.push(Parser { regex: regex.into(), family_replacement, ..Parser::default() }).ok()?;
    }
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_only_the_list_knows() {
        load_families();
        assert!(FAMILIES.get().unwrap().is_some());
        let chromium = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0";
        for (agent, expected) in [
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chromium} Safari/537.36 Vivaldi/6.5"), "Vivaldi on Windows"),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {chromium} YaBrowser/23.1.0.2947 Mobile Safari/537.36"), "Yandex on Android"),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {chromium} Mobile Safari/537.36"), "Chrome on Android"),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chromium} Safari/537.36"), "Chrome on Windows"),
            ("Spark/1.7.3 CFNetwork/811.4.18 Darwin/16.5.0".to_owned(), "Spark"),
            ("Mozilla/5.0 (Linux; Android 14; SM-S911B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.1.2 Mobile Safari/537.36".to_owned(), "Android"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148".to_owned(), "iPhone"),
        ] {
            let found = crate::device(&agent).map(|device| device.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{agent}");
        }
    }

    #[test]
    fn what_is_no_name_is_not_shown() {
        for (name, expected) in [
            ("Vivaldi", true),
            ("K-9 Mail", true),
            ("Some\u{202e}App", false),
            ("<script>", false),
            ("Googlebot", false),
            ("x", false),
            ("A name much longer than a program has", false),
        ] {
            assert_eq!(is_a_name(name), expected, "{name}");
        }
    }
}
