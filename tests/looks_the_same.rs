//! A mail looks after rewriting as it looked before: each is drawn in Chromium, and the pictures are the same to the pixel.
//!
//! Needs Chromium and Node: `just e2e`. Pictures of what differs go to `looks/` in the target folder.

mod harness;

use std::path::Path;
use std::process::Command;

use harness::collection::{BASE_URL, Case, cases, tracking, without_our_fields};
use relay::OnDkim;
use serde::Deserialize;
use serde_json::{Value, json};

/// What is known to differ, and why it must.
const EXCUSED: [(&str, &str); 0] = [];

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
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "for the failing test's message")]
struct Differing {
    name: String,
    width: u32,
    count: usize,
    r#box: Value,
    was: [u32; 2],
    is: [u32; 2],
}

#[test]
#[ignore = "needs Chromium and Node: just e2e"]
fn every_mail_looks_as_it_did() {
    let mut pairs: Vec<Pair> = cases().iter().flat_map(pairs_of).collect();
    let real = pairs.len();
    assert!(real >= 60, "only {real} parts were changed");
    pairs.extend(naive());
    let report = draw(&pairs);
    assert_eq!(report.shots, pairs.len() * 4);
    assert!(report.pixels.is_empty(), "pixels not asked for once: {:?}", report.pixels);

    let (naive, differing): (Vec<_>, Vec<_>) =
        report.differing.into_iter().partition(|differing| differing.name.starts_with(NAIVE));
    assert_eq!(naive.len(), 4, "what every other tracker adds is seen to move things: {naive:?}");
    let excused = |name: &str| EXCUSED.iter().any(|(known, _)| *known == name);
    let (excused, differing): (Vec<_>, Vec<_>) =
        differing.into_iter().partition(|differing| excused(&differing.name));
    eprintln!("{real} parts in {} pictures, {} excused", report.shots, excused.len());
    assert!(differing.is_empty(), "look at target/looks: {differing:#?}");
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
        let Ok(html) = decoded(&before, was) else { continue };
        let after = decoded(&rewritten.content, is).unwrap().octets;
        if html.octets == after {
            continue;
        }
        let has_pixel = after.windows(pixel.len()).any(|window| window == pixel.as_bytes());
        pairs.push(Pair {
            name: format!("{}.{}", case.name, was.path),
            charset: charset(was.charset.as_deref(), &html.octets),
            before: html.octets,
            after,
            pixel: has_pixel.then(|| pixel.clone()),
        });
    }
    pairs
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
    assert!(here.join("node_modules").exists(), "run `npm ci` in tests/browser/render");
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
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
