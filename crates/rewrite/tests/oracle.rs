//! html5ever builds the document a browser would see, before and after: it differs in the `href`s meant and in one pixel.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::BTreeSet;

use common::{BASE, PIXEL, apply, edits, survey, undo, wishes};
use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::collection::vec;
use proptest::prelude::*;
use url::Url;
use waxseal_rewrite::{Edit, LinkDecision, LinkRules, Survey, Wishes};

/// A node of a document, flattened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Start { name: String, attributes: Vec<(String, String)> },
    End,
    Text(String),
    Comment(String),
}

impl Node {
    fn attribute(&self, wanted: &str) -> Option<&str> {
        match self {
            Node::Start { attributes, .. } => {
                attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
            }
            _ => None,
        }
    }
}

/// The document in order. White space in text is left out: where the body begins without a tag it depends on what comes first.
fn document(html: &[u8]) -> Vec<Node> {
    let html = String::from_utf8_lossy(html);
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(html.as_ref());
    let mut nodes = Vec::new();
    // Not recursive: soup nests deep.
    let mut open: Vec<(Handle, usize)> = vec![(dom.document.clone(), 0)];
    while let Some((node, next)) = open.pop() {
        let child = node.children.borrow().get(next).cloned();
        let Some(child) = child else {
            nodes.push(Node::End);
            continue;
        };
        open.push((node, next + 1));
        match &child.data {
            NodeData::Element { name, attrs, template_contents, .. } => {
                let attributes = attrs.borrow();
                let attributes = attributes
                    .iter()
                    .map(|attr| (attr.name.local.to_string(), attr.value.to_string()))
                    .collect();
                nodes.push(Node::Start { name: name.local.to_string(), attributes });
                let template = template_contents.borrow().clone();
                open.push((template.unwrap_or(child.clone()), 0));
            }
            NodeData::Text { contents } => {
                let text: String = contents.borrow().split_whitespace().collect();
                match nodes.last_mut() {
                    Some(Node::Text(last)) => last.push_str(&text),
                    _ if text.is_empty() => {}
                    _ => nodes.push(Node::Text(text)),
                }
            }
            NodeData::Comment { contents } => nodes.push(Node::Comment(contents.to_string())),
            _ => {}
        }
    }
    nodes
}

/// Takes out the one pixel, and joins the text it parted.
fn without_pixel(nodes: Vec<Node>) -> (Vec<Node>, usize) {
    let (mut kept, mut pixels, mut nodes): (Vec<Node>, _, _) = (Vec::new(), 0, nodes.into_iter());
    while let Some(node) = nodes.next() {
        if node.attribute("src") == Some(PIXEL) {
            pixels += 1;
            assert_eq!(nodes.next(), Some(Node::End));
            continue;
        }
        match (kept.last_mut(), node) {
            (Some(Node::Text(last)), Node::Text(text)) => last.push_str(&text),
            (_, node) => kept.push(node),
        }
    }
    (kept, pixels)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    Letter,
    Soup,
}

fn texts(nodes: &[Node]) -> String {
    nodes
        .iter()
        .filter_map(|node| if let Node::Text(text) = node { Some(text.as_str()) } else { None })
        .collect()
}

fn without_empty_formatting(nodes: Vec<Node>) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::new();
    for node in nodes {
        let opened = matches!(kept.last(), Some(Node::Start { name, .. }) if ["a", "b", "i", "u", "font", "nobr"].contains(&name.as_str()));
        if node == Node::End && opened {
            kept.pop();
        } else {
            kept.push(node);
        }
    }
    kept
}

fn check(html: &[u8], survey: &Survey, edits: &[Edit], strictness: Strictness) -> Result<(), TestCaseError> {
    let edited = apply(html, edits);
    prop_assert_eq!(&undo(&edited, html, edits), html);
    let links: BTreeSet<usize> = edits.iter().filter_map(|edit| edit.link).collect();
    prop_assert_eq!(links.len(), tracked(survey).count());

    let (mut before, (mut after, pixels)) = (document(html), without_pixel(document(&edited)));
    if survey.pixel_at.is_some_and(|at| html[..at].trim_ascii().is_empty()) {
        // The body begins with the pixel then, and comments before it come to stand behind.
        before.retain(|node| !matches!(node, Node::Comment(_)));
        after.retain(|node| !matches!(node, Node::Comment(_)));
    }
    prop_assert_eq!(pixels, usize::from(survey.pixel_at.is_some()), "pixels");
    if strictness == Strictness::Soup {
        // A formatting element left open, and no sound start of the body to flee to: it is opened once more round the pixel.
        before = without_empty_formatting(before);
        after = without_empty_formatting(after);
    }
    prop_assert_eq!(before.len(), after.len(), "\n{:?}\n{:?}", &before, &after);
    for (before, after) in before.iter().zip(&after) {
        check_node(before, after, survey)?;
    }
    Ok(())
}

/// The same on one line that is all but full, where lines are ended inside tags.
fn check_in_short_lines(html: &[u8], strictness: Strictness) -> Result<(), TestCaseError> {
    let full = format!("<!--{}-->", "x".repeat(980)).into_bytes();
    let html: Vec<u8> =
        full.iter().chain(html).filter(|octet| !matches!(octet, b'\r' | b'\n')).copied().collect();
    let Ok(survey) = survey(&html, None) else { return Ok(()) };
    let edits = survey.edits_in_short_lines(&html, &mut |link| Some(common::tracked(link)), Some(PIXEL));
    check(&html, &survey, &edits, strictness)
}

fn tracked(survey: &Survey) -> impl Iterator<Item = &str> {
    survey.links.iter().filter_map(|link| match &link.decision {
        LinkDecision::Track { target } => Some(target.as_str()),
        LinkDecision::Keep(_) => None,
    })
}

fn check_node(before: &Node, after: &Node, survey: &Survey) -> Result<(), TestCaseError> {
    match (before, after) {
        (Node::Start { name, attributes: old }, Node::Start { name: new_name, attributes: new }) => {
            prop_assert_eq!(name, new_name);
            let is_link = name == "a" || name == "area";
            // It goes, but where that would change what stands around it.
            let others = |attributes: &[(String, String)]| -> Vec<(String, String)> {
                attributes.iter().filter(|(name, _)| !(is_link && name == "data-waxseal")).cloned().collect()
            };
            let (old, new) = (others(old), others(new));
            prop_assert_eq!(old.len(), new.len());
            for ((attribute, old), (new_attribute, new)) in old.iter().zip(&new) {
                prop_assert_eq!(attribute, new_attribute);
                if old != new {
                    prop_assert!(is_link && attribute == "href", "{} {} -> {}", attribute, old, new);
                    check_href(old, new, survey)?;
                } else if is_link && attribute == "href" {
                    // What stays as it is must have been decided so.
                    let kept = survey.links.iter().any(|link| {
                        as_read(&link.href) == as_read(old) && matches!(link.decision, LinkDecision::Keep(_))
                    });
                    prop_assert!(kept || survey.links.is_empty(), "not seen: {}", old);
                }
            }
        }
        (Node::Comment(old), Node::Comment(new)) => {
            prop_assert!(old == new || old.starts_with("[if"), "{} -> {}", old, new);
        }
        _ => prop_assert_eq!(before, after),
    }
    Ok(())
}

/// A browser reads CRLF as LF, and NUL as U+FFFD.
fn as_read(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}")
}

/// The new link must be that of a target which is where a browser would have gone from the old one.
fn check_href(old: &str, new: &str, survey: &Survey) -> Result<(), TestCaseError> {
    let index = new.strip_prefix(&format!("{BASE}/c/link-")).and_then(|rest| rest.strip_suffix("&x"));
    let Some(index) = index else {
        // Unwrapped, and then left alone.
        prop_assert!(
            old.to_ascii_lowercase().contains("t.example.com") && new.starts_with("https://shop.example/")
        );
        return Ok(());
    };
    let link = &survey.links[index.parse::<usize>().unwrap()];
    prop_assert_eq!(as_read(&link.href), as_read(old));
    let LinkDecision::Track { target } = &link.decision else { panic!("a kept link was changed") };
    if target.starts_with("https://shop.example/") {
        prop_assert!(old.to_ascii_lowercase().contains("t.example.com/c/") || old.contains("shop.example"));
    } else {
        let base = Url::parse("https://b.example/").unwrap();
        prop_assert_eq!(base.join(old).map(String::from), Ok(target.clone()));
    }
    Ok(())
}

/// Pieces of markup that go together in any order, sound or not.
fn soup(tags: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => link(),
        6 => proptest::sample::select(TEXTS).prop_map(str::to_owned),
        8 => proptest::sample::select(tags).prop_map(|name| format!("<{name}>")),
        8 => proptest::sample::select(tags).prop_map(|name| format!("</{}>", name.split(' ').next().unwrap())),
        2 => proptest::sample::select(ODD).prop_map(str::to_owned),
        1 => "[ -~]{0,6}",
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

fn link() -> impl Strategy<Value = String> {
    let url = prop_oneof![
        4 => "https?://[a-z]{1,6}\\.example(/[a-z0-9.]{0,4}){0,2}([?][a-z]=[a-z0-9%&;=]{0,6})?(#[a-z]{0,3})?",
        1 => proptest::sample::select(URLS).prop_map(str::to_owned),
    ];
    let name = proptest::sample::select(["a", "A", "area", "a class=x"].as_slice());
    let quote = proptest::sample::select(["\"", "'", ""].as_slice());
    let before = proptest::sample::select(
        [
            " ",
            "\r\n  ",
            " data-waxseal=off ",
            "/data-waxseal=\"\"",
            " b data-waxseal=off/ ",
            " title=\"a > b\" ",
            " href2=x ",
            "/",
        ]
        .as_slice(),
    );
    let equals = proptest::sample::select(["=", " = ", "\n=\t"].as_slice());
    let after = proptest::sample::select(
        [
            "",
            " ",
            " data-waxseal=\"off\"",
            " data-waxseal=off/",
            "/data-waxseal",
            "/ data-waxseal=''",
            " data-waxseal=\"\"=x",
            " target=_blank",
            " href=second",
        ]
        .as_slice(),
    );
    let text =
        proptest::sample::select(["x</a>", "x", "example.com</a>", "</a>", "<b>y</b></a>", ""].as_slice());
    let whole = (name, url, quote, before, equals, after, text);
    whole.prop_map(|(name, url, quote, before, equals, after, text)| {
        // `class=x/href` would be one value.
        let before = if name.contains('=') && before.starts_with('/') { " " } else { before };
        let url = url.replace(' ', if quote.is_empty() { "" } else { " " });
        format!("<{name}{before}hReF{equals}{quote}{url}{quote}{after}>{text}")
    })
}

const URLS: &[&str] = &[
    "mailto:a@b.example",
    "#",
    "",
    "{{x}}",
    "/rel",
    "https://a.example/?b=1&amp;c=2&copy=3&lt;",
    "https://bücher.example/ü",
    "https://x:y@a.example/",
    "HTTPS://A.EXAMPLE:443/%7e",
    " https://a.example/ ",
    "https://a.example/<>",
    "https://t.example.com/c/cart",
    "https://T.example.com/c/unsubscribe",
    "https://t.example.com/c/BAD",
    "https://a.example/unsubscribe",
    "javascript:x",
    "https://a.example/'\"",
];

const TEXTS: &[&str] =
    &["text", " ", "\r\n", "&amp;", "&nbsp;", "1 < 2", "é", "&copy=", "a&", "\u{200b}", "<", ">", "\"", "'"];

const TAGS: &[&str] = &[
    "html",
    "head",
    "body",
    "body bgcolor=x",
    "p",
    "div",
    "span",
    "b",
    "i",
    "font size=1",
    "u",
    "table",
    "tr",
    "td",
    "tbody",
    "ul",
    "li",
    "blockquote",
    "h1",
    "center",
    "br",
    "img src=x",
    "hr",
    "form",
    "button",
    "nobr",
    "pre",
    "select",
    "option",
    "title",
    "style",
    "script",
    "textarea",
    "noscript",
    "template",
    "object",
    "video",
    "xmp",
    "iframe",
    "caption",
    "col",
    "dl",
    "dd",
    "applet",
    "marquee",
    "details",
    "base href=https://b.example/",
    "meta charset=utf-8",
    "link href=x",
    "input",
    "frame",
];

/// Where `lol_html`, which has no tree, may take a `CDATA` section or a `title` for what a browser does not.
const FOREIGN: &[&str] = &[
    "svg",
    "math",
    "mi",
    "mtext",
    "title",
    "foreignObject",
    "desc",
    "annotation-xml encoding=text/html",
    "table",
    "p",
    "a",
    "style",
    "path",
    "g",
];

const ODD: &[&str] = &[
    "<!-- c -->",
    "<!--",
    "-->",
    "<!-->",
    "<!--[if mso]>",
    "<![endif]-->",
    "<!--[if mso]><v:rect href=\"https://vml.example/\"></v:rect><![endif]-->",
    "<![if !mso]>",
    "<![endif]>",
    "<!DOCTYPE html>",
    "<?xml?>",
    "</",
    "<a",
    "<a href=",
    "<a href=\"https://open.example/",
    "<body/>",
    "</body",
    "</body/>",
    "<!-- </body> -->",
    "<p title='</body>'>",
    "</BODY >",
    "\0",
    "<plaintext>",
    "<frameset>",
];

/// Mail as people write it: sound, with everything in its place.
fn letter() -> impl Strategy<Value = String> {
    let inline = prop_oneof![
        link().prop_map(|link| if link.ends_with("</a>") { link } else { link + "</a>" }),
        proptest::sample::select(
            &["Hello", "&nbsp;", "<b>bold</b>", "<br>", "<img src=x alt=y>", "<i>a</i>", "é &euro;"][..]
        )
        .prop_map(str::to_owned),
    ];
    let text = vec(inline, 0..4).prop_map(|pieces| pieces.concat());
    let block = text.prop_recursive(4, 24, 4, |inner| {
        (
            proptest::sample::select(
                &[
                    "<div>~</div>",
                    "<p>~</p>",
                    "<table><tr><td>~</td></tr></table>",
                    "<ul><li>~</li></ul>",
                    "<blockquote>~</blockquote>",
                ][..],
            ),
            vec(inner, 0..4),
        )
            .prop_map(|(frame, inner)| frame.replace('~', &inner.join("\r\n")))
    });
    let frame = proptest::sample::select(
        &[
            "~",
            "<html><body>~</body></html>",
            "<!DOCTYPE html>\r\n<html><head><title>t</title><style>a{}</style></head>\r\n<body bgcolor=\"#fff\">\r\n~\r\n</body>\r\n</html>\r\n",
            "<body>~</body>",
            "<html>~</html>",
            "<div dir=\"ltr\">~</div>\r\n",
            "<html><body>~<blockquote><html><body>~</body></html></blockquote></body></html>",
            "<!--[if mso]><table><tr><td><![endif]-->~<!--[if mso]></td></tr></table><![endif]-->",
        ][..],
    );
    (frame, vec(block, 1..4)).prop_map(|(frame, blocks)| frame.replace('~', &blocks.join("\r\n")))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn letters(html in letter()) {
        let html = html.into_bytes();
        let survey = survey(&html, None).map_err(|reason| TestCaseError::fail(format!("{reason}")))?;
        prop_assert!(survey.pixel_at.is_some());
        check(&html, &survey, &edits(&survey), Strictness::Letter)?;
        check_in_short_lines(&html, Strictness::Letter)?;
    }

    #[test]
    fn soups(html in soup(TAGS)) {
        let html = html.into_bytes();
        if let Ok(survey) = survey(&html, None) {
            check(&html, &survey, &edits(&survey), Strictness::Soup)?;
            check_in_short_lines(&html, Strictness::Soup)?;
        }
    }

    /// A link may be missed there, and is then left as it was; nothing else may happen.
    #[test]
    fn foreign_soups(html in soup(FOREIGN)) {
        let html = html.into_bytes();
        if let Ok(survey) = survey(&html, None) {
            let edited = apply(&html, &edits(&survey));
            let (before, (after, pixels)) = (document(&html), without_pixel(document(&edited)));
            prop_assert_eq!(pixels, usize::from(survey.pixel_at.is_some()));
            prop_assert_eq!(texts(&before), texts(&after));
        }
    }

    /// Any octets at all: nothing panics, and edits undo.
    #[test]
    fn octets(html in vec(any::<u8>(), 0..200), charset in proptest::sample::select(&["utf-8", "iso-2022-jp", "shift_jis", "gbk", "us-ascii"][..])) {
        if let Ok(survey) = survey(&html, Some(charset)) {
            let edits = edits(&survey);
            prop_assert_eq!(undo(&apply(&html, &edits), &html, &edits), html);
        }
    }

    /// What was tracked is unwrapped to what it was, by whoever answers to it.
    #[test]
    fn tracked_and_quoted_again(html in letter()) {
        let html = html.into_bytes();
        let rules = LinkRules::default();
        let first = survey(&html, None).unwrap();
        let sent = apply(&html, &first.edits(&mut |index| Some(format!("{BASE}/c/link-{index}")), Some("https://t.example.com/o/old")));
        let history = Sent(&first);
        let again = waxseal_rewrite::survey(&sent, None, &Wishes { history: &history, ..wishes(&rules) }).unwrap();
        let unwrapped = apply(&sent, &again.edits(&mut |_| None, None));
        // The pixel is gone, and each link leads where it did.
        let (nodes, pixels) = without_pixel(document(&unwrapped));
        prop_assert_eq!(pixels, 0);
        let links = |nodes: &[Node]| -> Vec<String> {
            nodes.iter().filter(|node| matches!(node, Node::Start { name, .. } if name == "a" || name == "area"))
                .filter_map(|node| node.attribute("href"))
                .map(|href| Url::parse(href).map_or_else(|_| href.to_owned(), String::from))
                // What the letter itself quoted of earlier mail was unwrapped too.
                .map(|href| if href.contains("//t.example.com/c/") || href.contains("//shop.example") { "quoted".into() } else { href })
                .collect()
        };
        prop_assert_eq!(links(&nodes), links(&document(&html)));
        prop_assert!(!unwrapped.windows(12).any(|w| w == b"/c/link-0\" h"));
    }
}

/// Answers for a mail just sent.
struct Sent<'a>(&'a Survey);

impl waxseal_rewrite::History for Sent<'_> {
    fn own(&self, url: &str) -> waxseal_rewrite::Own {
        use waxseal_rewrite::Own;
        let Some(path) = url.strip_prefix(BASE) else { return Own::NotOurs };
        if path == "/o/old" {
            return Own::Pixel;
        }
        let index = path.strip_prefix("/c/link-").and_then(|index| index.parse::<usize>().ok());
        match index.and_then(|index| self.0.links.get(index)).map(|link| &link.decision) {
            Some(LinkDecision::Track { target }) => Own::Link { target: target.clone() },
            _ => Own::NotOurs,
        }
    }
}
