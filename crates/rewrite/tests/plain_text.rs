//! URLs in plain text.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Earlier, apply, decisions, edits, undo, wishes};
use proptest::prelude::*;
use waxseal_rewrite::{LinkRules, TextFormat, Wishes, survey_text};

/// The text with each tracked URL as `[T]`, and the decisions.
fn rewritten(text: &str, format: TextFormat) -> (String, Vec<String>) {
    let rules = LinkRules::default();
    let survey = survey_text(text.as_bytes(), Some("utf-8"), format, &wishes(&rules)).unwrap();
    assert_eq!(survey.pixel_at, None);
    let mut edits = edits(&survey);
    for edit in edits.iter_mut().filter(|edit| edit.link.is_some()) {
        edit.replacement = b"[T]".to_vec();
    }
    (String::from_utf8(apply(text.as_bytes(), &edits)).unwrap(), decisions(&survey))
}

#[test]
fn where_a_url_begins_and_ends() {
    for (before, after) in [
        ("https://example.com", "[T]"),
        ("See https://example.com/a.", "See [T]."),
        ("See https://example.com/a, or https://example.com/b; or both!", "See [T], or [T]; or both!"),
        ("Did you see https://example.com/a?", "Did you see [T]?"),
        ("Really https://example.com/a?b=c!?!", "Really [T]!?!"),
        ("(https://example.com/a)", "([T])"),
        ("(see https://example.com/a).", "(see [T])."),
        ("https://en.example/wiki/A_(b)", "[T]"),
        ("(https://en.example/wiki/A_(b))", "([T])"),
        ("[https://example.com/a]", "[[T]]"),
        ("[text](https://example.com/a)", "[text]([T])"),
        ("<https://example.com/a>", "<[T]>"),
        ("<URL:https://example.com/a>", "<URL:[T]>"),
        ("text <https://example.com/a>, more", "text <[T]>, more"),
        ("\"https://example.com/a\"", "\"[T]\""),
        ("'https://example.com/a'", "'[T]'"),
        ("“https://example.com/a”", "“[T]”"),
        ("*https://example.com/a*", "*[T]*"),
        ("_https://example.com/a_", "_[T]_"),
        ("https://example.com/a_", "[T]"),
        ("https://example.com/a/", "[T]"),
        ("https://example.com/a/. Next", "[T]. Next"),
        ("Link:https://example.com/a", "Link:[T]"),
        ("HTTPS://EXAMPLE.COM/A", "[T]"),
        ("http://example.com/a#b", "[T]"),
        ("a\r\nhttps://example.com/a\r\nb\r\n", "a\r\n[T]\r\nb\r\n"),
        ("https://example.com/a\r\n\r\n-- \r\nAna", "[T]\r\n\r\n-- \r\nAna"),
        ("https://example.com/a https://example.com/b", "[T] [T]"),
        ("https://example.com/a…", "[T]…"),
        ("https://example.com/a。次", "[T]。次"),
        // Quoted lines.
        (
            "> https://example.com/a\r\n>> see https://example.com/b.\r\n>https://example.com/c",
            "> [T]\r\n>> see [T].\r\n>[T]",
        ),
        // No URLs of ours.
        ("www.example.com", "www.example.com"),
        ("example.com", "example.com"),
        ("mailto:ana@example.com", "mailto:ana@example.com"),
        ("ftp://example.com/", "ftp://example.com/"),
        ("xhttps://example.com/a", "xhttps://example.com/a"),
        ("https://", "https://"),
        ("https:// example.com", "https:// example.com"),
        ("://", "://"),
        ("", ""),
        // One, whatever it holds.
        ("https://web.example/web/https://example.com/a", "[T]"),
        ("https://example.com/?u=https://other.example/b", "[T]"),
    ] {
        assert_eq!(rewritten(before, TextFormat::Fixed).0, after, "{before}");
        assert_eq!(rewritten(before, TextFormat::Flowed).0, after, "{before}");
    }
}

#[test]
fn what_is_left_alone() {
    for (text, expected) in [
        ("https://example.com/{{id}}", "keep placeholder"),
        ("https://example.com/*|ID|*", "keep placeholder"),
        ("https://ana:x@example.com/", "keep userinfo"),
        ("https://example.com/unsubscribe/abc", "keep unsubscribe"),
        ("To unsubscribe: https://example.com/u/abc", "keep unsubscribe"),
        ("Unsubscribe here:\r\nhttps://example.com/u/abc", "keep unsubscribe"),
        ("Abmelden <https://example.com/u/abc>", "keep unsubscribe"),
        ("Unsubscribe here.\r\n\r\nhttps://example.com/shop", "track https://example.com/shop"),
        ("https://example.com/reset-password/x", "keep one_time"),
        ("https://example.com:99999/", "keep unparsable_url"),
        ("https://t.example.com/c/DAMAGED", "keep already_tracked"),
        // It may go on.
        ("https://bücher.example/", "keep unparsable_url"),
        ("https://example.com/ü", "keep unparsable_url"),
        ("https://example.com/をご覧", "keep unparsable_url"),
        ("<https://example.com/very\r\nlong>", "keep unparsable_url"),
        // What it says is itself, so a text that is a URL is no reason.
        ("https://example.com/", "track https://example.com/"),
    ] {
        assert_eq!(rewritten(text, TextFormat::Fixed).1, [expected], "{text}");
    }
    let two = "Unsubscribe https://example.com/u/abc or shop https://example.com/shop";
    assert_eq!(rewritten(two, TextFormat::Fixed).1, ["keep unsubscribe", "track https://example.com/shop"]);
}

#[test]
fn flowed_lines() {
    let text = "See https://example.com/a \r\nmore and https://example.com/b\r\n";
    assert_eq!(rewritten(text, TextFormat::Flowed).0, "See [T] \r\nmore and [T]\r\n");
    assert_eq!(
        rewritten(text, TextFormat::FlowedDelSp).1,
        ["keep unparsable_url", "track https://example.com/b"]
    );
}

#[test]
fn earlier_links_are_unwrapped() {
    let rules = LinkRules::default();
    let text = b"> https://t.example.com/c/cart.\r\nhttps://x.example/\r\n";
    let survey = survey_text(text, None, TextFormat::Fixed, &wishes(&rules)).unwrap();
    assert!(survey.changes_history);
    assert_eq!(
        apply(text, &survey.edits(&mut |_| None, None)),
        b"> https://shop.example/cart?a=1&b='2'.\r\nhttps://x.example/\r\n"
    );
    let quiet = Wishes { links: false, history: &Earlier, ..wishes(&rules) };
    let survey = survey_text(text, None, TextFormat::Fixed, &quiet).unwrap();
    assert!(survey.links.is_empty() && survey.changes_history);
}

#[test]
fn two_byte_text_holds_no_urls() {
    let rules = LinkRules::default();
    let text = b"\x1b$Bhttp://x.y\x1b(B https://example.com/a";
    let survey = survey_text(text, Some("iso-2022-jp"), TextFormat::Fixed, &wishes(&rules)).unwrap();
    assert_eq!(decisions(&survey), ["track https://example.com/a"]);
    // "から", directly behind the URL: it may go on in it. A full stop ends it, and stays as it is.
    for (behind, expected) in [("$+$i", "keep unparsable_url"), ("!#$+$i", "track https://example.com/a")] {
        let text =
            format!("https://example.com/a\x1b$B{behind}\x1b(B(https://example.com/b)\x1b$B$G$9\x1b(B");
        let survey =
            survey_text(text.as_bytes(), Some("iso-2022-jp"), TextFormat::Fixed, &wishes(&rules)).unwrap();
        assert_eq!(decisions(&survey), [expected, "track https://example.com/b"], "{behind}");
    }
    let doubtful = b"https://example.com/\x1b$B;3\x1b(B";
    let survey = survey_text(doubtful, Some("iso-2022-jp"), TextFormat::Fixed, &wishes(&rules)).unwrap();
    assert_eq!(decisions(&survey).len(), 1);
}

proptest! {
    #[test]
    fn edits_undo(text in "(https?://|[a-c/.:)(\\]<>* \r\n\u{fc}\u{5c71}]|example\\.com){0,40}") {
        let rules = LinkRules::default();
        for format in [TextFormat::Fixed, TextFormat::Flowed, TextFormat::FlowedDelSp] {
            let survey = survey_text(text.as_bytes(), Some("utf-8"), format, &wishes(&rules)).unwrap();
            let edits = edits(&survey);
            prop_assert_eq!(undo(&apply(text.as_bytes(), &edits), text.as_bytes(), &edits), text.as_bytes());
        }
    }
}
