//! What a survey costs beside `lol_html` merely scanning the same HTML.
//!
//! `cargo test --release -p waxseal-rewrite --test speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::{edits, survey};
use lol_html::{HtmlRewriter, Settings, doc_comments, element};

/// A newsletter with this many articles, a link and an image in each.
fn newsletter(articles: usize) -> String {
    let mut html = String::from(
        "<!DOCTYPE html>\r\n<html><head><meta charset=\"utf-8\"><title>News</title>\r\n<style>\r\n",
    );
    for class in 0..20 {
        let _ = write!(
            html,
            ".c{class} {{ color: #33{class}; padding: 10px 20px; font-family: Arial, sans-serif }}\r\n"
        );
    }
    html += "</style>\r\n</head>\r\n<body bgcolor=\"#ffffff\" style=\"margin:0;padding:0\">\r\n\
        <!--[if mso]><table width=\"600\"><tr><td><![endif]-->\r\n";
    for article in 0..articles {
        let _ = write!(
            html,
            "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" style=\"border-collapse:collapse\">\r\n\
            <tr>\r\n<td align=\"left\" class=\"c1\" style=\"padding:20px 30px;font-family:Arial,Helvetica,sans-serif;font-size:16px;line-height:24px\">\r\n\
            <h2 style=\"margin:0\">Headline number {article}</h2>\r\n<p style=\"margin:0 0 10px\">Lorem ipsum dolor sit amet, consectetur \
            adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud.</p>\r\n\
            <img src=\"https://cdn.example.com/images/{article}.png\" width=\"560\" height=\"200\" alt=\"\" style=\"display:block\">\r\n\
            <a href=\"https://www.example.com/articles/2026/{article}?utm_source=news&amp;utm_medium=email&amp;id={article}\" \
            target=\"_blank\" style=\"color:#0066cc\">Read more about {article}</a>\r\n</td>\r\n</tr>\r\n</table>\r\n"
        );
    }
    html += "<!--[if mso]></td></tr></table><![endif]-->\r\n</body>\r\n</html>\r\n";
    html
}

/// The best of many runs: what it costs when nothing else runs.
fn best(mut run: impl FnMut()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..150 {
        let start = Instant::now();
        for _ in 0..20 {
            run();
        }
        best = best.min(start.elapsed() / 20);
    }
    best
}

fn scan(html: &[u8], settings: Settings<'_, '_>) {
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(html).unwrap();
    rewriter.end().unwrap();
}

#[test]
#[ignore = "a measurement, for release builds"]
fn survey_beside_a_mere_scan() {
    for articles in [20, 200] {
        let html = newsletter(articles);
        let html = html.as_bytes();
        let links = best(|| {
            scan(html, Settings::new().append_element_content_handler(element!("a[href]", |_| Ok(()))));
        });
        let all = best(|| {
            let settings = Settings::new()
                .append_element_content_handler(element!("a[href], area[href], body", |_| Ok(())))
                .append_document_content_handler(doc_comments!(|_| Ok(())));
            scan(html, settings);
        });
        let surveyed = best(|| drop(survey(html, Some("utf-8")).unwrap()));
        let found = survey(html, Some("utf-8")).unwrap();
        assert_eq!(found.links.len(), articles);
        let edited = best(|| drop(edits(&found)));
        println!(
            "{:>7} octets, {articles:>4} links: lol_html a[href] {links:?}; a, area, body, comments {all:?}; survey {surveyed:?}; edits {edited:?}; \
            ratio {:.2} and {:.2}",
            html.len(),
            (surveyed + edited).as_secs_f64() / links.as_secs_f64(),
            (surveyed + edited).as_secs_f64() / all.as_secs_f64(),
        );
    }
}
