//! Pixels and links of earlier mail, quoted in this one.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{apply, decisions, edited, survey, tracked, wishes};
use waxseal_rewrite::{History, LinkRules, NoHistory, Own, Wishes};

#[test]
fn earlier_pixels_go_and_earlier_links_lead_on_through_this_message() {
    for (before, after) in [
        // As sent, and as mail programs give it back.
        ("<img src=\"https://t.example.com/o/old\" width=\"1\" height=\"1\" alt=\"\">", ""),
        ("<img src=3D https://t.example.com/o/old>", "<img src=3D https://t.example.com/o/old>"),
        ("<IMG alt='' SRC='HTTPS://T.EXAMPLE.COM/o/old' class=\"CToWUd\" data-bit=\"iit\">", ""),
        ("<img border=0 src=https://t.example.com:443/o/older />", ""),
        ("<img src=\"https:&#x2F;&#x2F;t.example.com&#x2F;o&#x2F;old\"/>", ""),
        ("<img\r\n src=\"\r\nhttps://t.example.com/o/old\r\n\"\r\n>", ""),
        ("<img src=\"https://t.example.com/o/old\"><img src='https://t.example.com/o/older'>", ""),
        ("<p>a<img src=\"https://t.example.com/o/old\">b</p>", "<p>ab</p>"),
        ("<a href=\"https://t.example.com/c/cart\">x</a>", "<a href=\"T\">x</a>"),
        ("<a href='https://T.Example.com/c/cart' target=_blank>x</a>", "<a href='T' target=_blank>x</a>"),
        ("<a href=HTTPS://T.EXAMPLE.COM/c/cart>x</a>", "<a href=T>x</a>"),
        // Through Gmail's image proxy, which would fetch it again.
        ("<img src=\"https://proxy.example/x=s0-d-e1-ft#https://t.example.com/o/old\">", ""),
        // As Word writes them for Outlook.
        (
            "<!--[if gte vml 1]><v:shape id=a><v:imagedata src=\"https://t.example.com/o/old\" o:title=\"\"/></v:shape><![endif]-->",
            "<!--[if gte vml 1]><v:shape id=a></v:shape><![endif]-->",
        ),
        ("<!--[if mso]><IMG SRC=https://t.example.com/o/old><![endif]-->", "<!--[if mso]><![endif]-->"),
        (
            "<!--[if mso]><v:fill src=\"https://other.example/o/old\"/><![endif]-->",
            "<!--[if mso]><v:fill src=\"https://other.example/o/old\"/><![endif]-->",
        ),
        // Other people's, and what only mentions ours.
        ("<img src=\"https://other.example/o/old\">", "<img src=\"https://other.example/o/old\">"),
        (
            "<img src=\"https://proxy.example/x#see:https://t.example.com/o/old\">",
            "<img src=\"https://proxy.example/x#see:https://t.example.com/o/old\">",
        ),
        (
            "<img src=\"https://proxy.example/x#https://t.example.com/o/unknown\">",
            "<img src=\"https://proxy.example/x#https://t.example.com/o/unknown\">",
        ),
        ("<img src=\"https://t.example.com/o/unknown\">", "<img src=\"https://t.example.com/o/unknown\">"),
        (
            "<img src=\"https://t.example.com.evil.example/o/old\">",
            "<img src=\"https://t.example.com.evil.example/o/old\">",
        ),
        (
            "<img alt=\"https://t.example.com/o/old\" src=\"cid:x\">",
            "<img alt=\"https://t.example.com/o/old\" src=\"cid:x\">",
        ),
        ("<img data-src=\"https://t.example.com/o/old\">", "<img data-src=\"https://t.example.com/o/old\">"),
        (
            "<!-- <img src=\"https://t.example.com/o/old\"> -->",
            "<!-- <img src=\"https://t.example.com/o/old\"> -->",
        ),
        ("<p>https://t.example.com/o/old</p>", "<p>https://t.example.com/o/old</p>"),
        (
            "<a href=\"https://t.example.com/c/DAMAGED\">x</a>",
            "<a href=\"https://t.example.com/c/DAMAGED\">x</a>",
        ),
        ("<a href=\"https://t.example.com/about\">x</a>", "<a href=\"T\">x</a>"),
        // The place of the pixel, where an earlier one stood.
        ("<body>x<img src=\"https://t.example.com/o/old\"></body>", "<body>x</body>"),
        // What is left alone leads where it first did.
        (
            "<a href=\"https://t.example.com/c/unsubscribe\">x</a>",
            "<a href=\"https://shop.example/unsubscribe?a=1&amp;b=%272%27\">x</a>",
        ),
        (
            "<a href=https://t.example.com/c/cart>shop.example</a>",
            "<a href=https://shop.example/cart?a=1&amp;b=%272%27>shop.example</a>",
        ),
        (
            "<a href='https://t.example.com/c/cart' data-waxseal=off>x</a>",
            "<a href='https://shop.example/cart?a=1&amp;b=%272%27'>x</a>",
        ),
        (
            "<!--[if mso]><v:rect href=\"https://t.example.com/c/cart\"><![endif]-->",
            "<!--[if mso]><v:rect href=\"T\"><![endif]-->",
        ),
    ] {
        let got = edited(before).replace("[PIXEL]", "");
        let after = after.replace("href=\"T\"", &format!("href=\"{}\"", tracked(0).replace('&', "&amp;")));
        let after = after.replace("href='T'", &format!("href='{}'", tracked(0).replace('&', "&amp;")));
        let after = after.replace("href=T>", &format!("href={}>", tracked(0).replace('&', "&amp;")));
        // The tests' history gives its target as it stands; quotes in it are escaped for any kind of attribute.
        let after = after.replace("%272%27", "&#39;2&#39;");
        assert_eq!(got, after, "{before}");

        let survey = survey(before.as_bytes(), None).unwrap();
        let images =
            |html: &str| html.to_lowercase().matches("<img").count() + html.matches("<v:image").count();
        let changes =
            images(before) != images(&after) || before.contains("/c/") && !before.contains("DAMAGED");
        assert_eq!(survey.changes_history, changes, "{before}");
    }
    assert_eq!(
        decisions(&survey(b"<a href=\"https://t.example.com/c/cart\">x</a>", None).unwrap()),
        ["track https://shop.example/cart?a=1&b=%272%27"],
    );
}

#[test]
fn whether_or_not_anything_is_tracked_this_time() {
    let rules = LinkRules::default();
    let html = b"<body><a href=\"https://t.example.com/c/cart\">x</a><a href=\"https://x.example/\">y</a><img src=https://t.example.com/o/old></body>";
    let nothing = Wishes { opens: false, links: false, ..wishes(&rules) };
    let survey = waxseal_rewrite::survey(html, None, &nothing).unwrap();
    assert!(survey.changes_history && survey.links.is_empty());
    let edited = apply(html, &survey.edits(&mut |_| None, None));
    let expected = b"<body><a href=\"https://shop.example/cart?a=1&amp;b=&#39;2&#39;\">x</a><a href=\"https://x.example/\">y</a></body>";
    assert_eq!(edited.escape_ascii().to_string(), expected.escape_ascii().to_string());

    // A link that cannot be minted is still freed of the earlier mail.
    let survey = waxseal_rewrite::survey(html, None, &wishes(&rules)).unwrap();
    assert_eq!(apply(html, &survey.edits(&mut |_| None, None)), edited);
}

/// Without the pixel the texts around it would be a tag, or a character.
#[test]
fn earlier_pixels_stay_where_they_part_two_halves() {
    for (before, behind, stays) in [
        ("<", "b", true),
        ("<", "/b", true),
        ("1 <", " 2", false),
        ("&cop", "y", true),
        ("&copy", ";", true),
        ("&#6", "5", true),
        ("a & b", "c", false),
        ("a", "b", false),
        ("山", "川", false),
    ] {
        let html = format!("<p>{before}<img src=\"https://t.example.com/o/old\">{behind}</p>");
        assert_eq!(edited(&html).contains("/o/old"), stays, "{html}");
    }
    let html = b"<p>\xe5<img src=\"https://t.example.com/o/old\">\xb1\xb1</p>";
    assert!(!survey(html, Some("utf-8")).unwrap().changes_history, "half a character");
    assert!(survey(html, Some("iso-8859-1")).unwrap().changes_history, "three characters");
}

#[test]
fn without_history_nothing_is_ours() {
    let rules = LinkRules::default();
    let html = b"<a href=\"https://t.example.com/c/DAMAGED\">x</a><img src=https://t.example.com/o/old>";
    let survey =
        waxseal_rewrite::survey(html, None, &Wishes { history: &NoHistory, ..wishes(&rules) }).unwrap();
    assert!(!survey.changes_history);
    assert_eq!(decisions(&survey), ["track https://t.example.com/c/DAMAGED"]);
}

#[test]
fn images_are_looked_at_when_no_marks_are_known() {
    struct Unmarked;
    impl History for Unmarked {
        fn own(&self, url: &str) -> Own {
            if url == "https://t.example.com/pixel" { Own::Pixel } else { Own::NotOurs }
        }
    }
    let rules = LinkRules::default();
    let html = b"<p>x<img src=\"https://t.example.com/pixel\"></p>";
    let survey =
        waxseal_rewrite::survey(html, None, &Wishes { history: &Unmarked, ..wishes(&rules) }).unwrap();
    assert_eq!(apply(html, &survey.edits(&mut |_| None, None)), b"<p>x</p>");
}
