//! HTML made to cost time or memory ends soon: followed, or left alone with its reason.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::time::{Duration, Instant};

use common::{apply, edits, survey, undo, wishes};
use envelope::Reason;
use waxseal_rewrite::{LinkRules, TextFormat};

/// Debug builds on a busy machine take long; what is quadratic takes much longer.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn ends_soon() {
    let many = |piece: &str, count: usize| piece.repeat(count);
    let cases: Vec<(&str, String)> = vec![
        ("nested tags", many("<div>", 100_000)),
        ("nested formatting", many("<b>", 100_000)),
        ("a comment", format!("<!--{}-->x", many("a", 5_000_000))),
        ("an open comment", format!("x<!--{}", many("a", 5_000_000))),
        ("a conditional comment", format!("<!--[if mso]>{}<a href=x><![endif]-->x", many("a ", 2_500_000))),
        ("comments within comments", format!("{}-->x", many("<!--[if mso]> href", 200_000))),
        ("comments that never end", many("<!--[if mso]> href", 200_000)),
        ("conditional comments", many("<!--[if mso]><a href=https://a.example/></a><![endif]-->", 5_000)),
        ("comment dashes", format!("<!--{}x", many("-", 500_000))),
        ("attributes of a link", format!("<a {}>x</a>", many("a=b ", 1_000_000))),
        ("attributes of a block", format!("<div {}>x</div>", many("a=b ", 1_000_000))),
        ("hrefs of a link", format!("<a {}>x</a>", many("href=https://a.example/ ", 40_000))),
        ("switches of a link", format!("<a {}>x</a>", many("data-waxseal=off ", 40_000))),
        (
            "blanks before switches",
            format!("<a {}>x</a>", format!("{}data-waxseal=off", many(" ", 2_000)).repeat(500)),
        ),
        ("links", many("<a href=https://a.example/>x</a>", 20_000)),
        ("links that never end", many("<a href=https://a.example/>x ", 60_000)),
        ("links with styles that never end", many("<a href=https://a.example/><style>", 60_000)),
        ("links with long text", many("<a href=https://a.example/><i>word </i>", 5_000)),
        ("a long link", format!("<a href=\"https://a.example/{}\">x</a>", many("a", 3_000_000))),
        ("a long link of placeholders", format!("<a href=\"{}\">x</a>", many("{{", 4_000))),
        ("a link of entities", format!("<a href=\"https://a.example/{}\">x</a>", many("&amp;", 300_000))),
        ("a link of half entities", format!("<a href=\"{}\">x</a>", many("&", 500_000))),
        ("entities in text", format!("<a href=https://a.example/>{}</a>", many("&nbsp;", 800_000))),
        ("ends of the body", many("</body>", 100_000)),
        ("bodies", many("<body>", 30_000)),
        ("bodies and ends", many("<body></body>", 20_000)),
        ("quoted pixels", many("<img src=https://t.example.com/o/old>", 20_000)),
        ("images", many("<img src=https://a.example/x.png>", 50_000)),
        ("bases", many("<base href=https://a.example/>", 50_000)),
        (
            "a long base of many links",
            format!(
                "<base href=https://a.example/{}/>{}",
                many("a", 1_000_000),
                many("<a href=x>x</a>", 20_000)
            ),
        ),
        ("text", many("Lorem ipsum ", 200_000)),
        ("blanks", many(" ", 5_000_000)),
        ("invisible text", many("&#8203;\u{200b}", 100_000)),
        ("angle brackets", many("<", 500_000)),
        ("closing angle brackets", many(">", 1_000_000)),
        ("quotes in a tag", format!("<p {}>x", many("=\"a\" '", 100_000))),
        ("quotes", format!("x<p {}", many("=\"", 300_001))),
        ("titles", many("<title>", 100_000)),
        ("svg", many("<svg>", 100_000)),
        ("svg and titles", many("<svg><title>", 30_000)),
        ("selects", many("<select>", 100_000)),
        ("tables", many("<table><tr><td>", 20_000)),
        ("paragraphs", many("<p>", 100_000)),
        ("lists of words", format!("<a href=https://a.example/>{}</a>", many("a.b ", 1_000))),
        ("URLs", many("https://a.example/ ", 50_000)),
        ("one long URL", many("https://a.example/))))", 50_000)),
        ("schemes", many("://", 300_000)),
        ("nul", many("\0", 1_000_000)),
    ];
    for (name, html) in cases {
        let html = html.as_bytes();
        let start = Instant::now();
        let result = survey(html, None);
        if let Ok(survey) = &result {
            let edits = edits(survey);
            let edited = apply(html, &edits);
            assert!(undo(&edited, html, &edits) == html, "{name}");
        }
        let took = start.elapsed();
        println!(
            "{took:>12.3?} {:>9} octets: {name}: {:?}",
            html.len(),
            result.as_ref().map(|s| s.links.len())
        );
        assert!(took < LIMIT, "{name}: {took:?}");
        let text =
            waxseal_rewrite::survey_text(html, None, TextFormat::Flowed, &wishes(&LinkRules::default()));
        assert!(text.is_ok() && start.elapsed() < LIMIT, "{name} as text: {:?}", start.elapsed());
        if let Err(reason) = result {
            assert_eq!(reason, Reason::HtmlNotFollowed, "{name}");
        }
    }
}
