//! Where the pixel goes, and that there is one.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{apply, edited, edits, shown, survey, wishes};
use waxseal_rewrite::{LinkRules, PixelPosition, Wishes};

#[test]
fn where_it_goes() {
    for (before, after) in [
        ("<html><body><p>x</p></body></html>", "<html><body><p>x</p>[PIXEL]</body></html>"),
        ("<HTML><BODY><P>x</P></BODY></HTML>", "<HTML><BODY><P>x</P>[PIXEL]</BODY></HTML>"),
        (
            "<html><body><p>x</p>\r\n</body >\r\n</html>\r\n",
            "<html><body><p>x</p>\r\n[PIXEL]</body >\r\n</html>\r\n",
        ),
        ("<html><p>x</p></html>", "<html><p>x</p>[PIXEL]</html>"),
        ("<p>x</p>", "<p>x</p>[PIXEL]"),
        ("<body><p>x</p><svg></body></svg>", "<body>[PIXEL]<p>x</p><svg></body></svg>"),
        ("x", "x[PIXEL]"),
        ("x\r\n", "x\r\n[PIXEL]"),
        ("<html><body>x", "<html><body>x[PIXEL]"),
        ("<p>x</p></body></html>", "<p>x</p>[PIXEL]</body></html>"),
        ("<p>x</p></html>", "<p>x</p>[PIXEL]</html>"),
        // Content behind the end, and several ends: a browser takes it all as one body.
        // Not between two letters that are drawn as one word.
        ("<body>x</body></html>more", "<body>x</body></html>more[PIXEL]"),
        ("<body>x</body></html> more", "<body>x[PIXEL]</body></html> more"),
        ("<body>x</body><!-- --></html>more", "<body>x</body><!-- --></html>more[PIXEL]"),
        ("<body>x</body>more<!-- never closed", "<body>[PIXEL]x</body>more<!-- never closed"),
        ("<head></head>x</body>more<!-- never closed", "<head></head>x[PIXEL]</body>more<!-- never closed"),
        (
            "<body>x</body></html><p>more</p></body></html>",
            "<body>x</body></html><p>more</p>[PIXEL]</body></html>",
        ),
        (
            "<html><body>reply<blockquote><html><body>quoted</body></html></blockquote></body></html>",
            "<html><body>reply<blockquote><html><body>quoted</body></html></blockquote>[PIXEL]</body></html>",
        ),
        ("<html><body>x</body></html><!-- trace -->", "<html><body>x[PIXEL]</body></html><!-- trace -->"),
        ("<table><tr><td>x</td></tr></table></body>", "<table><tr><td>x</td></tr></table>[PIXEL]</body>"),
        ("<table><tr><td>x</body>", "<table><tr><td>x[PIXEL]</body>"),
        // Ends that are none.
        ("<body>x</body><!-- </body> -->", "<body>x[PIXEL]</body><!-- </body> -->"),
        ("<body>x</body><!-- </body>", "<body>x[PIXEL]</body><!-- </body>"),
        (
            "<body>x<script>'</body>'</script></body></html>",
            "<body>x<script>'</body>'</script>[PIXEL]</body></html>",
        ),
        (
            "<body>x</body><script>'</body>'</script></html>",
            "<body>x[PIXEL]</body><script>'</body>'</script></html>",
        ),
        ("<body>x<textarea></body></textarea></body>", "<body>x<textarea></body></textarea>[PIXEL]</body>"),
        ("<body><p title='</body>'>x</p>", "<body><p title='</body>'>x</p>[PIXEL]"),
        ("<p title='</body></html>'>x</p>", "<p title='</body></html>'>x</p>[PIXEL]"),
        ("<body>x</body><p title='</body>'>", "<body>x[PIXEL]</body><p title='</body>'>"),
        ("<style></body></style>x", "<style></body></style>x[PIXEL]"),
        ("<title></body></title><body>x</body>", "<title></body></title><body>x[PIXEL]</body>"),
        ("<html>x</html><!-- </body></html> -->", "<html>x[PIXEL]</html><!-- </body></html> -->"),
        ("<noscript></body></noscript>x", "<noscript></body></noscript>x[PIXEL]"),
        ("x &lt;/body&gt; y", "x &lt;/body&gt; y[PIXEL]"),
        // The end would swallow it: the start.
        ("<body>x<!-- never closed", "<body>[PIXEL]x<!-- never closed"),
        ("<body>x<!-- never closed </body></html>", "<body>[PIXEL]x<!-- never closed </body></html>"),
        ("<body>x<style>never closed</body>", "<body>[PIXEL]x<style>never closed</body>"),
        (
            "<body bgcolor=white>x<textarea>never closed</body>",
            "<body bgcolor=white>[PIXEL]x<textarea>never closed</body>",
        ),
        ("<body>x<title>never closed</body>", "<body>[PIXEL]x<title>never closed</body>"),
        ("<body>x<noscript>never closed</body>", "<body>[PIXEL]x<noscript>never closed</body>"),
        ("<body>x<plaintext></body>", "<body>[PIXEL]x<plaintext></body>"),
        ("<body>x<a href=\"never closed</body>", "<body>[PIXEL]x<a href=\"never closed</body>"),
        ("<body>x</", "<body>[PIXEL]x</"),
        ("<body>x<a hr", "<body>[PIXEL]x<a hr"),
        ("<body>x<select><option>y</body>", "<body>[PIXEL]x<select><option>y</body>"),
        ("<body>x<template>y</body>", "<body>[PIXEL]x<template>y</body>"),
        ("<body>x<object>y</body>", "<body>[PIXEL]x<object>y</body>"),
        ("x<!-- never closed", "[PIXEL]x<!-- never closed"),
        ("\u{feff}x<!-- never closed", "\u{feff}[PIXEL]x<!-- never closed"),
        // Closed ones do no harm.
        ("<body>x<select><option>y</select></body>", "<body>x<select><option>y</select>[PIXEL]</body>"),
        (
            "<body>x<template>y</template><svg></svg></body>",
            "<body>x<template>y</template><svg></svg>[PIXEL]</body>",
        ),
        // A browser would open it again round the pixel.
        (
            "<body><p><b style='padding:9px'>x</p></body>",
            "<body>[PIXEL]<p><b style='padding:9px'>x</p></body>",
        ),
        ("<p><b style='padding:9px'>x</p>", "[PIXEL]<p><b style='padding:9px'>x</p>"),
        ("<body><b style='padding:9px'><p>x</body>", "<body>[PIXEL]<b style='padding:9px'><p>x</body>"),
        ("<head></head><p><b>x</p>", "<head></head><p><b>x</p>[PIXEL]"),
        ("<head></head><p><b>x</p></html><p>y</p>", "<head></head><p><b>x</p></html><p>y</p>[PIXEL]"),
        ("<b>x<p></b><body>y</body>", "<b>x<p></b><body>y[PIXEL]</body>"),
        ("<head></head><p><b>x</p><body><p>y</body>", "<head></head><p><b>x</p><body><p>y[PIXEL]</body>"),
        (
            "<head></head><p><b>x</p><body><p>y</body><p>z",
            "<head></head><p><b>x</p><body><p>y</body><p>z[PIXEL]",
        ),
        // Nowhere.
        (
            "<html><head><style>x</style></head>y<!-- never closed",
            "<html><head><style>x</style></head>y<!-- never closed",
        ),
        ("<frameset><frame src=x></frameset>", "<frameset><frame src=x></frameset>"),
        ("<html>x<!-- </body> never closed", "<html>x<!-- </body> never closed"),
        // A beginning that is no end of a tag.
        ("<body>x<</body>", "<body>x<[PIXEL]</body>"),
        ("<body>x &am</body>", "<body>x &am[PIXEL]</body>"),
    ] {
        assert_eq!(edited(before), after, "{before}");
    }
}

#[test]
fn at_the_start_when_providers_would_cut_it_off() {
    let long = |html: &str| html.replace('~', &"Lorem ipsum. ".repeat(8_000));
    let rules = LinkRules::default();
    for (position, before, after) in [
        (PixelPosition::Auto, "<body>~</body>", "<body>[PIXEL]~</body>"),
        (
            PixelPosition::Auto,
            "<html><head></head><body class='a > b'>~</body></html>",
            "<html><head></head><body class='a > b'>[PIXEL]~</body></html>",
        ),
        (PixelPosition::Auto, "<div>~</div>", "[PIXEL]<div>~</div>"),
        (PixelPosition::Auto, "<body><font>~</font></body>", "<body>[PIXEL]<font>~</font></body>"),
        (PixelPosition::Auto, "<style>p{}</style><div>~</div>", "<style>p{}</style><div>~</div>[PIXEL]"),
        (PixelPosition::End, "<body>~</body>", "<body>~[PIXEL]</body>"),
        (PixelPosition::Start, "<body>x</body>", "<body>[PIXEL]x</body>"),
        (PixelPosition::Start, "x", "[PIXEL]x"),
        (PixelPosition::Start, "<html>x</html>", "<html>x[PIXEL]</html>"),
        (PixelPosition::End, "<body><b>x</body>", "<body><b>x[PIXEL]</body>"),
        (PixelPosition::Start, "<!-- <body> --><body>x</body>", "<!-- <body> --><body>[PIXEL]x</body>"),
        (PixelPosition::Start, "<body>x<body>y</body>", "<body>[PIXEL]x<body>y</body>"),
    ] {
        let (before, after) = (long(before), long(after));
        let wishes = Wishes { position, ..wishes(&rules) };
        let survey = waxseal_rewrite::survey(before.as_bytes(), None, &wishes).unwrap();
        assert!(shown(&apply(before.as_bytes(), &edits(&survey))) == after, "{position:?} {}", &after[..60]);
    }
    let at = |octets: usize| {
        let html = format!("<body>{}</body>", "a".repeat(octets - 13));
        survey(html.as_bytes(), None).unwrap().pixel_at.unwrap()
    };
    assert_eq!((at(102_400), at(102_401)), (102_400 - 7, 6));

    // Tracked links make it longer: what a provider sees is what counts.
    let html = format!("<body>{}</body>", "<p><a href=\"https://example.com/\">x</a></p>".repeat(1_000));
    let at = |links| {
        let wishes = Wishes { links, ..wishes(&rules) };
        waxseal_rewrite::survey(html.as_bytes(), None, &wishes).unwrap().pixel_at.unwrap()
    };
    assert!(html.len() < 50_000);
    assert_eq!((at(false), at(true)), (html.len() - 7, 6));
}

#[test]
fn what_shows_nothing_is_said_so() {
    for (html, visible) in [
        ("", false),
        ("<html><body></body></html>", false),
        ("<body><p>&nbsp;</p><br></body>", false),
        ("<body><img src=\"https://t.example.com/o/old\"></body>", false),
        ("<body><img src=\"cid:photo\"></body>", true),
        ("<body>x</body>", true),
    ] {
        assert_eq!(survey(html.as_bytes(), None).unwrap().visible, visible, "{html}");
    }
}

#[test]
fn none_without_a_url() {
    let survey = survey(b"<body>x</body>", None).unwrap();
    assert!(survey.edits(&mut |_| None, None).is_empty());
    assert_eq!(survey.pixel_at, Some(7));
}
