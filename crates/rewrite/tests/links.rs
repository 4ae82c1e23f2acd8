//! Which links are tracked, to where, and which are not and why.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{apply, decisions, edited, edits, survey, tracked, wishes};
use envelope::Reason;
use waxseal_rewrite::{LinkDecision, LinkRules, Wishes};

/// Each link of the part: `track URL` or `keep reason`.
fn each(html: &str) -> Vec<String> {
    decisions(&survey(html.as_bytes(), None).unwrap())
}

#[test]
fn where_a_browser_would_go() {
    for (href, target) in [
        ("https://example.com/", "https://example.com/"),
        ("https://example.com", "https://example.com/"),
        ("http://example.com/a", "http://example.com/a"),
        ("HTTPS://EXAMPLE.COM/Path", "https://example.com/Path"),
        ("https://example.com:443/", "https://example.com/"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://example.com?x=1", "https://example.com/?x=1"),
        ("https://example.com/#top", "https://example.com/#top"),
        ("https://example.com/a/../b/./c", "https://example.com/b/c"),
        ("https://example.com/a%2Fb%20c", "https://example.com/a%2Fb%20c"),
        ("https://example.com/a b", "https://example.com/a%20b"),
        ("https://example.com/,@!$*'|[]()~", "https://example.com/,@!$*'|[]()~"),
        ("https://example.com\\a\\b", "https://example.com/a/b"),
        // Entities of every kind.
        ("https://example.com/?a=1&amp;b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&copy=2", "https://example.com/?a=1&copy=2"),
        ("https://example.com/?a=1&copy;2", "https://example.com/?a=1%C2%A92"),
        ("https://example.com/?a=1&copy", "https://example.com/?a=1%C2%A9"),
        ("https://example.com/?a=1&#38;b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&#38b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&#x26;b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&AMP;b=2", "https://example.com/?a=1&b=2"),
        ("https://example.com/?a=1&amp;amp;b=2", "https://example.com/?a=1&amp;b=2"),
        ("https://example.com/?a=1&notit;b", "https://example.com/?a=1&notit;b"),
        ("https://example.com/?a=1&lt=2", "https://example.com/?a=1&lt=2"),
        ("https://example.com/?a=&quot;x&quot;", "https://example.com/?a=%22x%22"),
        ("https://example.com/?a=&#128;", "https://example.com/?a=%E2%82%AC"),
        ("https&colon;&sol;&sol;example.com/", "https://example.com/"),
        // White space around, tabs and line ends within.
        (" https://example.com/ ", "https://example.com/"),
        ("\r\n\thttps://example.com/\r\n", "https://example.com/"),
        ("https://exam\r\nple.com/a\tb", "https://example.com/ab"),
        ("&#10;https://example.com/&#32;", "https://example.com/"),
        // Hosts.
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        (
            "https://пример.рф/путь?ключ=значение",
            "https://xn--e1afmkfd.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C?%D0%BA%D0%BB%D1%8E%D1%87=%D0%B7%D0%BD%D0%B0%D1%87%D0%B5%D0%BD%D0%B8%D0%B5",
        ),
        ("https://192.168.0.1/", "https://192.168.0.1/"),
        ("https://[2001:DB8::1]/", "https://[2001:db8::1]/"),
        ("https://0x7f.1/", "https://127.0.0.1/"),
        ("https://example.com./", "https://example.com./"),
        ("https:///example.com/", "https://example.com/"),
        ("https:\\\\example.com", "https://example.com/"),
        ("https://@example.com/", "https://example.com/"),
        ("https://example.com/{a}", "https://example.com/%7Ba%7D"),
        ("https://example.com/%7B8F-9%7D", "https://example.com/%7B8F-9%7D"),
        ("https://example.com/?q=100%", "https://example.com/?q=100%"),
        (
            "https://track.other.example/click?u=https%3A%2F%2Fexample.com",
            "https://track.other.example/click?u=https%3A%2F%2Fexample.com",
        ),
    ] {
        assert_eq!(each(&format!("<a href=\"{href}\">More</a>")), [format!("track {target}")], "{href}");
    }
}

#[test]
fn what_is_left_alone() {
    for (href, reason) in [
        ("", Reason::EmptyHref),
        ("  \r\n", Reason::EmptyHref),
        ("#", Reason::Fragment),
        ("#top", Reason::Fragment),
        (" #top", Reason::Fragment),
        ("mailto:ana@example.com", Reason::Scheme),
        ("MAILTO:ana@example.com", Reason::Scheme),
        ("tel:+1234", Reason::Scheme),
        ("sms:+1234", Reason::Scheme),
        ("cid:part1@example.com", Reason::Scheme),
        ("data:text/html,x", Reason::Scheme),
        ("javascript:alert(1)", Reason::Scheme),
        ("java\tscript:alert(1)", Reason::Scheme),
        ("ftp://example.com/", Reason::Scheme),
        ("file:///etc/passwd", Reason::Scheme),
        ("slack://open", Reason::Scheme),
        ("intent://scan/#Intent;scheme=zxing;end", Reason::Scheme),
        ("about:blank", Reason::Scheme),
        ("x-apple-data-detectors://0", Reason::Scheme),
        ("/path", Reason::Relative),
        ("page.html", Reason::Relative),
        ("?x=1", Reason::Relative),
        ("//example.com/", Reason::Relative),
        ("www.example.com", Reason::Relative),
        ("https:example.com", Reason::Relative),
        ("https:/example.com", Reason::Relative),
        ("{{url}}", Reason::Placeholder),
        ("https://example.com/{{ id }}", Reason::Placeholder),
        ("https://{{host}}/", Reason::Placeholder),
        ("%%unsubscribe%%", Reason::Placeholder),
        ("*|ARCHIVE|*", Reason::Placeholder),
        ("[[link]]", Reason::Placeholder),
        ("https://example.com/?n=${name}", Reason::Placeholder),
        ("&#123;&#123;x&#125;&#125;", Reason::Placeholder),
        ("#{link}", Reason::Placeholder),
        ("https://example.com/%7B%7Bx%7D%7D", Reason::Placeholder),
        ("<%= link %>", Reason::Placeholder),
        ("http://", Reason::UnparsableUrl),
        ("https://exa mple.com/", Reason::UnparsableUrl),
        ("https://example.com:99999/", Reason::UnparsableUrl),
        ("https://[::1", Reason::UnparsableUrl),
        ("https://exa<mple.com/", Reason::UnparsableUrl),
        ("https://ana@example.com/", Reason::Userinfo),
        ("https://ana:secret@example.com/", Reason::Userinfo),
        ("https://example.com/unsubscribe?u=1", Reason::Unsubscribe),
        ("https://example.com/OPTOUT", Reason::Unsubscribe),
        ("https://example.com/newsletter/abmelden", Reason::Unsubscribe),
        ("https://example.com/reset-password/x", Reason::OneTime),
        ("https://example.com/verify?token=abcdefgh12345678", Reason::OneTime),
        ("https://wa.me/12345", Reason::AppLink),
        ("https://t.example.com/c/DAMAGED", Reason::AlreadyTracked),
        ("https://T.EXAMPLE.COM:443/c/DAMAGED", Reason::AlreadyTracked),
        ("https://t.example.com/o/old", Reason::AlreadyTracked),
    ] {
        assert_eq!(
            each(&format!("<a href=\"{href}\">More</a>")),
            [format!("keep {}", reason.code())],
            "{href}"
        );
    }
    // 20 octets before them.
    for (octets, expected) in [(980, "track"), (981, "keep too_long"), (9_000, "keep too_long")] {
        let link = format!("<a href=\"https://example.com/{}\">More</a>", "a".repeat(octets));
        assert!(each(&link)[0].starts_with(expected), "{octets}");
    }
    // A base may be as long; what it makes of a link too.
    let base = |octets: usize| {
        format!("<base href=\"https://example.com/{}/\"><a href=\"x\">More</a>", "a".repeat(octets))
    };
    for (octets, expected) in [(978, "track"), (979, "keep too_long"), (2_000, "keep relative")] {
        assert!(each(&base(octets))[0].starts_with(expected), "{octets}");
    }
}

#[test]
fn what_the_text_says() {
    for (text, reason) in [
        ("https://example.com", Some(Reason::TextIsUrl)),
        ("http://example.com/other", Some(Reason::TextIsUrl)),
        ("www.example.com", Some(Reason::TextIsUrl)),
        ("Example.com", Some(Reason::TextIsUrl)),
        ("<b>example</b>.com", Some(Reason::TextIsUrl)),
        ("<span>https://</span>example.com/<wbr>path", Some(Reason::TextIsUrl)),
        ("\r\n  example.com\r\n", Some(Reason::TextIsUrl)),
        ("&nbsp;example&#46;com&#8203;", Some(Reason::TextIsUrl)),
        ("Visit https://example.com today", Some(Reason::TextIsUrl)),
        ("bücher.example", Some(Reason::TextIsUrl)),
        ("Unsubscribe", Some(Reason::Unsubscribe)),
        ("<font color=gray>Click here to <u>UNSUBSCRIBE</u></font>", Some(Reason::Unsubscribe)),
        ("un<b>subscribe</b>", Some(Reason::Unsubscribe)),
        ("Se d&eacute;sabonner", Some(Reason::Unsubscribe)),
        ("Newsletter abbestellen", Some(Reason::Unsubscribe)),
        ("配信停止", Some(Reason::Unsubscribe)),
        ("Read more", None),
        ("Node.js and you", None),
        ("Report.pdf", None),
        ("<img src=\"https://cdn.example.com/a.png\" alt=\"https://example.com\">", None),
        ("<!-- https://example.com --> Shop", None),
        ("<style>.a { background: url(www.example.com) }</style>Shop", None),
        ("", None),
        ("ana@example.com", None),
        ("More<br>example.com", None),
    ] {
        let expected = match reason {
            Some(reason) => format!("keep {}", reason.code()),
            None => "track https://shop.example/".to_owned(),
        };
        assert_eq!(
            each(&format!("<p>a</p><a href=\"https://shop.example/\">{text}</a> https://x.example")),
            [expected],
            "{text}"
        );
    }
    // The next link's text is not this one's.
    let two =
        each("<a href=\"https://shop.example/\">Shop <a href=\"https://shop.example/b\">Unsubscribe</a>");
    assert_eq!(two, ["track https://shop.example/", "keep unsubscribe"]);
}

#[test]
fn how_attributes_are_written() {
    let tracked = tracked(0).replace('&', "&amp;");
    for (before, after) in [
        ("<a href=\"https://example.com/\">x</a>", "<a href=\"T\">x</a>"),
        ("<a href='https://example.com/'>x</a>", "<a href='T'>x</a>"),
        ("<a href=https://example.com/>x</a>", "<a href=T>x</a>"),
        ("<a href=https://example.com/ title=y>x</a>", "<a href=T title=y>x</a>"),
        ("<A HREF = \"https://example.com/\" >x</A >", "<A HREF = \"T\" >x</A >"),
        (
            "<a\r\n   class='q'  hReF\t=\n'https://example.com/'\r\n>x</a>",
            "<a\r\n   class='q'  hReF\t=\n'T'\r\n>x</a>",
        ),
        ("<a title=\"a > b\" href=\"https://example.com/\">x</a>", "<a title=\"a > b\" href=\"T\">x</a>"),
        (
            "<a data-href=\"https://no.example/\" href=\"https://example.com/\">x</a>",
            "<a data-href=\"https://no.example/\" href=\"T\">x</a>",
        ),
        (
            "<a href=\"https://example.com/\" href=\"https://second.example/\">x</a>",
            "<a href=\"T\" href=\"https://second.example/\">x</a>",
        ),
        ("<a/href=\"https://example.com/\">x</a>", "<a/href=\"T\">x</a>"),
        ("<a title='x'href=\"https://example.com/\">x</a>", "<a title='x'href=\"T\">x</a>"),
        ("<a href=\"https://example.com/\"/>x</a>", "<a href=\"T\"/>x</a>"),
        (
            "<map><area shape=rect href=\"https://example.com/\"></map>x",
            "<map><area shape=rect href=\"T\"></map>x",
        ),
        ("<a href=\" https://example.com/?a=1&amp;b='2'\r\n\">x</a>", "<a href=\"T\">x</a>"),
        (
            "<div><p><b><a href=\"https://example.com/\"><i>x</i></a></b></p></div>",
            "<div><p><b><a href=\"T\"><i>x</i></a></b></p></div>",
        ),
        ("<table><a href=\"https://example.com/\">x</a></table>", "<table><a href=\"T\">x</a></table>"),
        (
            "<svg><a href=\"https://example.com/\"><text>x</text></a></svg>",
            "<svg><a href=\"T\"><text>x</text></a></svg>",
        ),
    ] {
        let got = edited(before).replace("[PIXEL]", "");
        assert_eq!(got, after.replace('T', &tracked), "{before}");
    }
}

#[test]
fn what_is_no_link() {
    for html in [
        "<a name=\"x\">x</a>",
        "<a>x</a>",
        "<link href=\"https://example.com/\">x",
        "<img src=\"https://example.com/a.png\">",
        "<!-- <a href=\"https://example.com/\">x</a> -->x",
        "<style>a[href=\"https://example.com/\"] {}</style>x",
        "<script>'<a href=\"https://example.com/\">'</script>x",
        "<textarea><a href=\"https://example.com/\">x</a></textarea>x",
        "<title><a href=\"https://example.com/\">x</a></title>x",
        "<noscript><a href=\"https://example.com/\">x</a></noscript>x",
        "<p title='<a href=\"https://example.com/\">'>x</p>",
        "&lt;a href=\"https://example.com/\"&gt;x",
        "https://example.com/",
        "<form action=\"https://example.com/\">x</form>",
        "<abbr href=\"https://example.com/\">x</abbr>",
        "<a xlink:href=\"https://example.com/\">x</a>",
        "<a href=https://example.com/",
        "x<a href=\"https://example.com/>x</a>",
        "<!--[if mso]><a href=\"https://example.com/\">x</a>",
        "<!--[if mso]><link href=\"https://example.com/\"><base href=\"https://example.com/\"><![endif]-->x",
        "<!--[if mso]><xml><o:x>72</o:x></xml><![endif]-->x",
        "<!-- [if mso]><a href=\"https://example.com/\">x</a><![endif]-->x",
    ] {
        assert_eq!(each(html), [""; 0], "{html}");
        assert!(edited(html).contains(html) || edited(html).replace("[PIXEL]", "") == html, "{html}");
    }
}

#[test]
fn outlooks_conditional_comments() {
    let html = "<p>Hello</p>\r\n<!--[if mso]>\r\n<v:roundrect xmlns:v=\"urn:schemas-microsoft-com:vml\" \
        href=\"https://example.com/vml?a=1&amp;b=2\" style=\"height:40px\" arcsize=\"10%\">\r\n<center>Buy</center></v:roundrect>\r\n<![endif]-->\
        <!--[if !mso]><!--><a href=\"https://example.com/others\">Buy</a><!--<![endif]-->\
        <![if !mso]><a href=\"https://example.com/revealed\">Buy</a><![endif]>\
        <!--[IF (gte mso 9)|(IE)]><table><tr><td><a href='https://example.com/ie'>Buy</a></td></tr></table><![endif]-->";
    assert_eq!(
        each(html),
        [
            "track https://example.com/vml?a=1&b=2",
            "track https://example.com/others",
            "track https://example.com/revealed",
            "track https://example.com/ie",
        ]
    );
    let links = |at: usize| tracked(at).replace('&', "&amp;");
    let expected = html
        .replace("https://example.com/vml?a=1&amp;b=2", &links(0))
        .replace("https://example.com/others", &links(1))
        .replace("https://example.com/revealed", &links(2))
        .replace("https://example.com/ie", &links(3));
    assert_eq!(edited(html).replace("[PIXEL]", ""), expected);

    for (html, expected) in [
        (
            "<!--[if mso]><v:rect href=\"https://example.com/\">example.com</v:rect><![endif]-->",
            "keep text_is_url",
        ),
        (
            "<!--[if mso]><v:rect href=\"https://example.com/\" data-waxseal=\"off\"></v:rect><![endif]-->",
            "keep data_waxseal_off",
        ),
        ("<!--[if vml]><v:oval HREF='{{x}}'><![endif]-->", "keep placeholder"),
        ("<!--[if mso]><a href=mailto:a@example.com>x</a><![endif]-->", "keep scheme"),
        (
            "<!--[if mso]><p title=\"]>\"><a href=\"https://example.com/\">x</a><![endif]-->",
            "track https://example.com/",
        ),
    ] {
        assert_eq!(each(html), [expected], "{html}");
    }
}

/// What stands in a conditional comment must not be what ends it.
#[test]
fn conditional_comments_end_where_they_ended() {
    assert_eq!(each("<!--[if mso]><v:rect href=https://example.com/-->x"), [""; 0], "no tag ends there");
    assert_eq!(each("<!--[if mso]><v:rect href=https://example.com/--!>x"), [""; 0], "no tag ends there");
    let unquoted = "<!--[if mso]><a href=https://example.com/><![endif]-->";
    let quoted = "<!--[if mso]><a href=\"https://example.com/\"><![endif]-->";
    for (html, url, written) in [
        (unquoted, "https://t.example.com/c/ab--", "/ab-&#45;>"),
        (unquoted, "https://t.example.com/c/a--!", "/a--&#33;>"),
        (unquoted, "https://t.example.com/c/ab-c", "/ab-c>"),
        (quoted, "https://t.example.com/c/ab--", "/ab--\">"),
    ] {
        let found = survey(html.as_bytes(), None).unwrap();
        let edited = apply(html.as_bytes(), &found.edits(&mut |_| Some(url.to_owned()), None));
        assert!(String::from_utf8_lossy(&edited).contains(written), "{}", edited.escape_ascii());
        let again = survey(&edited, None).unwrap();
        assert_eq!(again.links.iter().map(|link| link.href.as_str()).collect::<Vec<_>>(), [url]);
    }
}

#[test]
fn base() {
    for (html, expected) in [
        (
            "<base href=\"https://example.com/a/\"><a href=\"b?c#d\">x</a>",
            "track https://example.com/a/b?c#d",
        ),
        ("<base href=\"https://example.com/a/\"><a href=\"/b\">x</a>", "track https://example.com/b"),
        (
            "<base href=\"https://example.com/a/\"><a href=\"//other.example/b\">x</a>",
            "track https://other.example/b",
        ),
        ("<BASE HREF='https://example.com/?x&amp;y'><a href=\"../b\">x</a>", "track https://example.com/b"),
        ("<a href=\"b\">x</a><base href=\"https://example.com/a/\">", "track https://example.com/a/b"),
        (
            "<base href=\"https://example.com/a/\"><a href=\"https://abs.example/\">x</a>",
            "track https://abs.example/",
        ),
        ("<base href=\"https://example.com/a/\"><a href=\"#d\">x</a>", "keep fragment"),
        ("<base href=\"https://example.com/a/\"><a href=\"\">x</a>", "keep empty_href"),
        ("<base href=\"https://example.com/a/\"><a href=\"mailto:x@example.com\">x</a>", "keep scheme"),
        (
            "<base target=_blank><base href=\"https://one.example/\"><base href=\"https://two.example/\"><a href=\"b\">x</a>",
            "track https://one.example/b",
        ),
        ("<base href=\"a/\"><a href=\"b\">x</a>", "keep relative"),
        ("<base href><a href=\"b\">x</a>", "keep relative"),
        ("<base href=\"mailto:x@example.com\"><a href=\"b\">x</a>", "keep relative"),
        ("<base href=\"ftp://example.com/\"><a href=\"b\">x</a>", "keep scheme"),
        ("<!-- <base href=\"https://example.com/a/\"> --><a href=\"b\">x</a>", "keep relative"),
        ("<base href=\"https://ana@example.com/\"><a href=\"b\">x</a>", "keep userinfo"),
    ] {
        assert_eq!(each(html), [expected], "{html}");
    }
}

#[test]
fn the_senders_switch() {
    let link = "https://example.com/";
    for (before, after) in [
        ("<a href=\"LINK\" data-waxseal=\"off\">x</a>", "<a href=\"LINK\">x</a>"),
        ("<a data-waxseal=off href=\"LINK\">x</a>", "<a href=\"LINK\">x</a>"),
        ("<a\r\n  data-waxseal = 'OFF'\r\n  href=\"LINK\">x</a>", "<a\r\n  href=\"LINK\">x</a>"),
        ("<a href=LINK#x data-waxseal>x</a>", "<a href=LINK#x>x</a>"),
        ("<a href=LINK#x DATA-WAXSEAL=\"\">x</a>", "<a href=LINK#x>x</a>"),
        // `x/>` may look to somebody as if the slash were no part of the value.
        ("<a href=LINK data-waxseal>x</a>", "<a href=LINK >x</a>"),
        ("<a data-waxseal=\"off\"href=\"LINK\">x</a>", "<a href=\"LINK\">x</a>"),
        ("<a href=LINK data-waxseal=\"off\"/>x</a>", "<a href=LINK />x</a>"),
        ("<a title=\"y\"data-waxseal=\"off\" href=\"LINK\">x</a>", "<a title=\"y\" href=\"LINK\">x</a>"),
        ("<a data-waxseal=off data-waxseal=off href=\"LINK\">x</a>", "<a href=\"LINK\">x</a>"),
        ("<a data-waxseal=\"no thanks\" href=\"LINK\">x</a>", "<a href=\"LINK\">x</a>"),
        ("<area data-waxseal=off href=\"LINK\">x", "<area href=\"LINK\">x"),
        // Without it the next attribute, whose name is `=x`, would be the value of the one before.
        ("<a href=\"LINK\" b data-waxseal=\"\"=x>x</a>", "<a href=\"LINK\" b data-waxseal=\"\"=x>x</a>"),
        ("<a href=\"LINK\" b data-waxseal=off =x>x</a>", "<a href=\"LINK\" b data-waxseal=off =x>x</a>"),
        // Without it the slash would end the element, in an `svg`.
        ("<a href=\"LINK\"/data-waxseal=off>x</a>", "<a href=\"LINK\"/data-waxseal=off>x</a>"),
        ("<a href=\"LINK\"/ data-waxseal=off>x</a>", "<a href=\"LINK\"/ >x</a>"),
        ("<a href=\"LINK\"/data-waxseal=off data-waxseal>x</a>", "<a href=\"LINK\"/ >x</a>"),
        ("<a data-waxseal=off/ href=\"LINK\">x</a>", "<a href=\"LINK\">x</a>"),
    ] {
        let before = before.replace("LINK", link);
        assert_eq!(each(&before), ["keep data_waxseal_off"], "{before}");
        assert_eq!(edited(&before).replace("[PIXEL]", ""), after.replace("LINK", link), "{before}");
    }
    let on = "<a data-waxseal=\"on\" href=\"https://example.com/\">x</a>";
    assert_eq!(each(on), ["track https://example.com/"]);
    assert!(!edited(on).contains("data-waxseal"));
    assert_eq!(each("<a data-waxseal=off>x</a>"), [""; 0]);
    assert_eq!(edited("<a data-waxseal=off>x</a>").replace("[PIXEL]", ""), "<a>x</a>");
    assert!(edited("<p data-waxseal=off>x</p>").contains("data-waxseal"), "a paragraph's is none of ours");
}

#[test]
fn the_list_unsubscribe_target() {
    let list = [
        "https://example.com/u?a=1&b=2".to_owned(),
        "mailto:u@example.com".into(),
        "HTTPS://news.EXAMPLE.com?x".into(),
    ];
    let rules = LinkRules::default();
    let off = LinkRules { keep_list_unsubscribe: false, ..LinkRules::default() };
    let escaped = ["https://example.com/u?a=1&amp;b=2".to_owned()];
    let bracketed = ["<mailto:u@example.com>, <https://example.com/u?a=1&b=2>".to_owned()];
    for (list, rules, href, kept) in [
        (&list[..], &rules, "https://example.com/u?a=1&amp;b=2", true),
        (&list[..], &rules, "https://example.com/u?a=1&b=2", true),
        (&list[..], &rules, "https://EXAMPLE.com:443/u?a=1&#38;b=2 ", true),
        (&list[..], &rules, "https://news.example.com/?x", true),
        (&list[..], &rules, "https://example.com/u?a=1", false),
        (&escaped[..], &rules, "https://example.com/u?a=1&b=2", true),
        (&bracketed[..], &rules, "https://example.com/u?a=1&amp;b=2", true),
        (&bracketed[..], &rules, "https://example.com/u?a=1", false),
        (&list[..], &off, "https://example.com/u?a=1&amp;b=2", false),
        (&[], &off, "https://example.com/unsubscribe", false),
    ] {
        let html = format!("<a href=\"{href}\">here</a>");
        let wishes = Wishes { list_unsubscribe: list, ..wishes(rules) };
        let survey = waxseal_rewrite::survey(html.as_bytes(), None, &wishes).unwrap();
        assert_eq!(survey.links[0].decision == LinkDecision::Keep(Reason::Unsubscribe), kept, "{href}");
    }
}

#[test]
fn each_rule_can_be_switched_off() {
    let off = LinkRules {
        keep: vec!["*.kept.example/*".into()],
        keep_if_text_is_url: false,
        keep_one_time: false,
        keep_app_links: false,
        keep_list_unsubscribe: false,
    };
    for (html, kept) in [
        ("<a href=\"https://example.com/\">example.com</a>", false),
        ("<a href=\"https://example.com/reset-password\">x</a>", false),
        ("<a href=\"https://wa.me/1\">x</a>", false),
        ("<a href=\"https://example.com/unsubscribe\">Unsubscribe</a>", false),
        ("<a href=\"https://www.kept.example/x\">x</a>", true),
        ("<a href=\"{{x}}\">x</a>", true),
        ("<a href=\"mailto:x@example.com\">x</a>", true),
    ] {
        let survey = waxseal_rewrite::survey(html.as_bytes(), None, &wishes(&off)).unwrap();
        assert_eq!(matches!(survey.links[0].decision, LinkDecision::Keep(_)), kept, "{html}");
        let asked = html.contains("kept.example");
        assert_eq!(survey.links[0].decision == LinkDecision::Keep(Reason::Excluded), asked, "{html}");
    }
}

#[test]
fn duplicates_have_an_index_each_and_order_is_the_documents() {
    let html = "<a href=\"https://example.com/\">x</a><!--[if mso]><a href=\"https://example.com/\">y</a><![endif]-->\
        <area href=\"https://example.com/2\"><a href=\"https://example.com/\">z</a>";
    let survey = survey(html.as_bytes(), None).unwrap();
    assert_eq!(
        decisions(&survey),
        [
            "track https://example.com/",
            "track https://example.com/",
            "track https://example.com/2",
            "track https://example.com/",
        ]
    );
    let edits = edits(&survey);
    let indexes: Vec<_> = edits.iter().filter_map(|edit| edit.link).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    // One that cannot be minted stays.
    let some = survey.edits(&mut |link| (link != 1).then(|| tracked(link)), None);
    assert_eq!(some.iter().filter_map(|edit| edit.link).collect::<Vec<_>>(), [0, 2, 3]);
    assert!(
        String::from_utf8(apply(html.as_bytes(), &some))
            .unwrap()
            .contains("<a href=\"https://example.com/\">y</a>")
    );
}

#[test]
fn no_links_wished_for() {
    let rules = LinkRules::default();
    let html =
        b"<a href=\"https://example.com/\" data-waxseal=off>x</a><a href=\"https://example.com/\">x</a>";
    let survey = waxseal_rewrite::survey(html, None, &Wishes { links: false, ..wishes(&rules) }).unwrap();
    assert!(survey.links.is_empty());
    let edited = apply(html, &survey.edits(&mut |_| panic!("no link to track"), None));
    assert_eq!(edited, b"<a href=\"https://example.com/\">x</a><a href=\"https://example.com/\">x</a>");
}

#[test]
fn charsets() {
    let link = |bytes: &[u8]| [b"<a href=\"https://example.com/".as_slice(), bytes, b"\">x</a>"].concat();
    for (charset, bytes, expected) in [
        (Some("utf-8"), "ü?q=ü".as_bytes(), "track https://example.com/%C3%BC?q=%C3%BC"),
        (None, "ü?q=ü".as_bytes(), "track https://example.com/%C3%BC?q=%C3%BC"),
        // A path is UTF-8 always, a query in the document's charset: WHATWG URL §4.4.
        (Some("iso-8859-1"), b"\xfc?q=\xfc", "track https://example.com/%C3%BC?q=%FC"),
        (None, b"\xfc?q=\xfc", "track https://example.com/%C3%BC?q=%FC"),
        (Some("iso-8859-1"), b"?q=&#8364;", "track https://example.com/?q=%80"),
        (Some("iso-8859-1"), "?q=&#24540;".as_bytes(), "keep unparsable_url"),
        (Some("windows-1251"), b"?q=\xef", "track https://example.com/?q=%EF"),
        // Trail octets that are ASCII letters and backslashes.
        (Some("shift_jis"), b"\x83\x5c?q=\x95\x5c", "track https://example.com/%E3%82%BD?q=%95\\"),
        (Some("gbk"), b"\x81\x7c?q=\x81\x7c", "track https://example.com/%E4%BA%85?q=%81|"),
        (Some("big5"), b"\xa5\x5c", "track https://example.com/%E5%8A%9F"),
        (Some("utf-8"), b"\xfc", "keep unparsable_url"),
    ] {
        let survey = survey(&link(bytes), charset).unwrap();
        let got = decisions(&survey);
        assert_eq!(got, [expected], "{charset:?} {}", bytes.escape_ascii());
        assert_eq!(
            edits(&survey).iter().filter(|edit| edit.link.is_some()).count(),
            usize::from(got[0].starts_with("track"))
        );
    }
    for (charset, reason) in [
        ("utf-16", Reason::CharsetNotAsciiCompatible),
        ("utf-7", Reason::CharsetNotAsciiCompatible),
        ("klingon", Reason::UnknownCharset),
    ] {
        assert_eq!(survey(b"<p>x</p>", Some(charset)).unwrap_err(), reason);
    }
}

#[test]
fn iso_2022_jp() {
    // The two-byte run holds octets that read as `<a href="`, and the link's text says "stop the mails".
    let html =
        b"<p>\x1b$B<a href=\"!!\x1b(B</p>\r\n<a href=\"https://example.com/\">\x1b$BG[?.Dd;_\x1b(B</a>\
        <a href=\"https://example.com/\x1b$B;3\x1b(B\">\x1b$B;3\x1b(B</a></body>";
    let survey = survey(html, Some("iso-2022-jp")).unwrap();
    assert_eq!(decisions(&survey), ["keep unsubscribe", "track https://example.com/%E5%B1%B1"]);
    let edited = apply(html, &edits(&survey));
    assert!(edited.starts_with(&html[..html.len() - 60]));
    assert!(edited.ends_with(b"</body>") && !edited.ends_with(b"</a></body>"));
}

#[test]
fn html_that_cannot_be_followed_is_left_alone() {
    assert_eq!(
        survey(b"<select><xmp><a href=\"https://example.com/\">x</a></select>", None),
        Err(Reason::HtmlNotFollowed)
    );
}

#[test]
fn lines_that_would_grow_too_long_end_inside_tags() {
    let x = |count: usize| "x".repeat(count);
    let broken = |html: &str, charset: Option<&str>| {
        let rules = LinkRules::default();
        let survey = waxseal_rewrite::survey(html.as_bytes(), charset, &wishes(&rules)).unwrap();
        let edits = survey.edits_in_short_lines(
            html.as_bytes(),
            &mut |_| Some(format!("https://t/{}", x(100))),
            None,
        );
        String::from_utf8(common::apply(html.as_bytes(), &edits)).unwrap()
    };
    let (old, new) = ("https://a.example/", format!("https://t/{}", x(100)));
    for (case, before, after) in [
        ("a short line", format!("<p>{}<a href={old}>", x(700)), format!("<p>{}<a href={new}>", x(700))),
        ("a full line", format!("<p>{}<a href={old}>", x(950)), format!("<p>{}<a\r\nhref={new}>", x(950))),
        (
            "all blanks there",
            format!("{}<a \t HREF = '{old}' title=y>\n", x(950)),
            format!("{}<a\nHREF = '{new}' title=y>\n", x(950)),
        ),
        (
            "together too long",
            format!("<a href={old}>{}</a> <a id=z href={old}>y</a>", x(800)),
            format!("<a\r\nhref={new}>{}</a> <a id=z\r\nhref={new}>y</a>", x(800)),
        ),
        ("no blank", format!("{}<a/href={old}>", x(950)), format!("{}<a/href={new}>", x(950))),
        (
            "no blank behind a quote",
            format!("{}<a id=\"z\"href={old}>", x(950)),
            format!("{}<a id=\"z\"href={new}>", x(950)),
        ),
        (
            "a new line already",
            format!("{}<a\r\n  href={old} title={}>", x(9), x(950)),
            format!("{}<a\r\n  href={new} title={}>", x(9), x(950)),
        ),
        (
            "only the line that is too long",
            format!("{}<a href={old}>\r\n<a href={old}>", x(950)),
            format!("{}<a\r\nhref={new}>\r\n<a href={new}>", x(950)),
        ),
        (
            "in Outlook's comment",
            format!("{}<!--[if mso]><v:rect href=\"{old}\"><![endif]-->", x(950)),
            format!("{}<!--[if mso]><v:rect\r\nhref=\"{new}\"><![endif]-->", x(950)),
        ),
        ("beside a switch", format!("{}<a data-waxseal=on href={old}>", x(950)), {
            format!("{}<a\r\nhref={new}>", x(950))
        }),
    ] {
        assert_eq!(broken(&before, None), after, "{case}");
    }
    // Its lines have to end in ASCII, and what the scan takes for it may be Roman.
    let japanese = format!("{}<a href={old}>", x(950));
    assert_eq!(broken(&japanese, Some("iso-2022-jp")), format!("{}<a href={new}>", x(950)));
}
