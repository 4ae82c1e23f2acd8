//! A mail looks after rewriting as it looked before: each is drawn in Chromium, and the pictures are the same to the pixel.
//!
//! Needs Chromium and Node: `just e2e`. Pictures of what differs go to `looks/` in the target folder.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

use harness::collection::{BASE_URL, Case, cases, tracking, without_our_fields};
use relay::OnDkim;
use serde::Deserialize;
use serde_json::{Value, json};

/// What differs, and why it must. One that no longer does is to go from here.
const EXCUSED: [(&str, &str); 1] = [(
    "newsletter_dark_mode_styles.2",
    "its style sheet looks for words of the original URL: a[href*=…]::after",
)];

/// One displayed HTML part that was changed.
struct Pair {
    name: String,
    /// As a browser knows it.
    charset: String,
    before: Vec<u8>,
    after: Vec<u8>,
    /// What drawing it asks for.
    pixel: Option<String>,
}

/// What `render.mjs` prints.
#[derive(Deserialize)]
struct Report {
    shots: usize,
    differing: Vec<Differing>,
    /// Pixels that were not asked for exactly once.
    pixels: Vec<Value>,
    /// Pictures that Chromium took at a later attempt only.
    failures: Vec<String>,
}

#[derive(Deserialize)]
struct Differing {
    name: String,
    /// What and where, in words.
    how: String,
}

#[test]
#[ignore = "needs Chromium and Node: just e2e"]
fn every_mail_looks_as_it_did() {
    let mut pairs: Vec<Pair> = cases().iter().flat_map(pairs_of).collect();
    let mut seen = HashSet::new();
    // Many messages are odd in their structure alone, round the same few lines of HTML.
    pairs.retain(|pair| seen.insert((pair.charset.clone(), pair.before.clone(), pair.after.clone())));
    let real = pairs.len();
    assert!(real >= 60, "only {real} parts were changed");
    pairs.extend(naive());
    let report = draw(&pairs);
    assert_eq!(report.shots, pairs.len() * 4);
    assert!(report.pixels.is_empty(), "pixels not asked for once: {:?}", report.pixels);

    let (naive, differing): (Vec<_>, Vec<_>) =
        report.differing.into_iter().partition(|differing| differing.name.starts_with(NAIVE));
    assert_eq!(naive.len(), 4, "what other trackers add is seen to move things");
    let (excused, differing): (Vec<_>, Vec<_>) =
        differing.into_iter().partition(|differing| EXCUSED.iter().any(|(name, _)| *name == differing.name));
    eprintln!(
        "{real} parts, {} pictures, {} excused differences, {} attempts that Chromium failed: {:?}",
        report.shots,
        excused.len(),
        report.failures.len(),
        report.failures,
    );
    let lines: Vec<_> = differing.iter().map(|one| format!("{}: {}\n", one.name, one.how)).collect();
    assert!(lines.is_empty(), "see the folder looks in target\n{}", lines.concat());
    let differs = |name: &str| excused.iter().any(|differing| differing.name == name);
    assert!(EXCUSED.iter().all(|(name, _)| differs(name)), "excused, but the same: {EXCUSED:?}");
}

/// The displayed parts of a message that rewriting changes.
fn pairs_of(case: &Case) -> Vec<Pair> {
    let before = without_our_fields(&case.submitted);
    let mut tracking = tracking(&before);
    // The body is what is looked at here.
    tracking.on_dkim = OnDkim::Strip;
    let rewritten = relay::rewrite(&before, &tracking);
    let (old, new) = (mime::locate(&before), mime::locate(&rewritten.content));
    assert_eq!(old.html.len(), new.html.len(), "{}", case.name);
    let pixel = format!("{BASE_URL}/o/{}", tracking.keys.seal_pixel(tracking.id, tracking.recipient));
    let mut pairs = vec![];
    for (was, is) in old.html.iter().zip(&new.html) {
        let decoded =
            |raw: &[u8], part: &mime::TextPart| mime::decode(&raw[part.body.clone()], part.encoding);
        let Ok(before) = decoded(&before, was) else { continue };
        let (mut before, after) = (before.octets, decoded(&rewritten.content, is).unwrap().octets);
        if before == after {
            continue;
        }
        if rewritten.history {
            before = without_earlier_pixels(&before, &after);
        }
        let has_pixel = after.windows(pixel.len()).any(|window| window == pixel.as_bytes());
        pairs.push(Pair {
            name: format!("{}.{}", case.name, was.path),
            charset: charset(was.charset.as_deref(), &before),
            before,
            after,
            pixel: has_pixel.then(|| pixel.clone()),
        });
    }
    pairs
}

/// Without the pixels of earlier mails that rewriting took out of what is quoted. A mail program may have kept one without its
/// style, and then it has a line of its own: gone is how that mail is to look.
fn without_earlier_pixels(html: &[u8], rewritten: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], pattern: &[u8]| {
        text.windows(pattern.len()).position(|window| window.eq_ignore_ascii_case(pattern))
    };
    let (mut out, mut rest) = (vec![], html);
    while let Some(start) = find(rest, b"<img") {
        let (before, tag) = rest.split_at(start);
        let (tag, behind) = tag.split_at(find(tag, b">").map_or(tag.len(), |end| end + 1));
        let is_gone = find(tag, b"://t.example.com/o/").is_some() && find(rewritten, tag).is_none();
        out.extend_from_slice(before);
        out.extend_from_slice(if is_gone { b"" } else { tag });
        rest = behind;
    }
    out.extend_from_slice(rest);
    out
}

/// Without a charset that says something, what mail programs guess.
fn charset(label: Option<&str>, octets: &[u8]) -> String {
    match label {
        Some(label) if !label.eq_ignore_ascii_case("us-ascii") => label.to_owned(),
        _ if std::str::from_utf8(octets).is_ok() => "utf-8".to_owned(),
        _ => "windows-1252".to_owned(),
    }
}

const NAIVE: &str = "naive";

/// The check can fail: a pixel as others add it.
fn naive() -> [Pair; 2] {
    let pixel = format!("{BASE_URL}/o/naive");
    let image = format!("<img src=\"{pixel}\" width=\"1\" height=\"1\" alt=\"\">");
    let pair = |number: u32, html: &str| Pair {
        name: format!("{NAIVE}{number}"),
        charset: "utf-8".to_owned(),
        before: html.replace("[]", "").into_bytes(),
        after: html.replace("[]", &image).into_bytes(),
        pixel: Some(pixel.clone()),
    };
    [
        pair(1, "<style>img { border: 1px solid }</style><body><p>Hello</p>[]</body>"),
        pair(
            2,
            "<body style=\"margin:0\"><table width=100% height=700><tr><td bgcolor=navy></table>[]</body>",
        ),
    ]
}

fn draw(pairs: &[Pair]) -> Report {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/render");
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("looks");
    let folder = tempfile::tempdir().unwrap();
    let written = |number: usize, what: &str, octets: &[u8]| {
        let name = format!("{number}.{what}.html");
        std::fs::write(folder.path().join(&name), octets).unwrap();
        name
    };
    let list: Vec<Value> = pairs
        .iter()
        .enumerate()
        .map(|(number, pair)| {
            json!({
                "name": pair.name,
                "charset": pair.charset,
                "before": written(number, "before", &pair.before),
                "after": written(number, "after", &pair.after),
                "pixel": pair.pixel,
            })
        })
        .collect();
    std::fs::write(folder.path().join("pairs.json"), serde_json::to_vec(&list).unwrap()).unwrap();
    let mut node = Command::new("node");
    node.arg(here.join("render.mjs")).arg(folder.path()).arg(pictures);
    let output = node.output().unwrap_or_else(|error| panic!("{error}: this test needs Node"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "is Chromium there, and was `npm ci` run in tests/browser/render?\n{said}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
