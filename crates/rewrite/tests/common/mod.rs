//! What the tests share.
#![allow(dead_code, reason = "each test uses its part")]

use envelope::Reason;
use waxseal_rewrite::{Edit, History, LinkDecision, LinkRules, Own, PixelPosition, Survey, Wishes};

/// Where the tests' own pixels and links live.
pub(crate) const BASE: &str = "https://t.example.com";

/// The pixel of this message.
pub(crate) const PIXEL: &str = "https://t.example.com/o/new";

/// An earlier mail's: `/o/old` is its pixel, `/c/` and a token is a link to `https://shop.example/` and the token; upper-case
/// tokens do not open.
pub(crate) struct Earlier;

impl History for Earlier {
    fn own(&self, url: &str) -> Own {
        let Some(path) = url.strip_prefix(BASE) else { return Own::NotOurs };
        match (path.strip_prefix("/o/"), path.strip_prefix("/c/")) {
            (Some("old" | "older"), _) => Own::Pixel,
            (_, Some(token)) if !token.is_empty() && token.bytes().all(|b| b.is_ascii_lowercase()) => {
                Own::Link { target: format!("https://shop.example/{token}?a=1&b='2'") }
            }
            (Some(_), _) | (_, Some(_)) => Own::Damaged,
            _ => Own::NotOurs,
        }
    }

    fn marks(&self) -> &[&str] {
        &["/o/", "/c/"]
    }
}

/// Everything wished for.
pub(crate) fn wishes(rules: &LinkRules) -> Wishes<'_> {
    Wishes {
        opens: true,
        links: true,
        history: &Earlier,
        rules,
        list_unsubscribe: &[],
        position: PixelPosition::Auto,
        given_up: &|| false,
    }
}

/// A survey with everything wished for and the default rules.
pub(crate) fn survey(html: &[u8], charset: Option<&str>) -> Result<Survey, Reason> {
    waxseal_rewrite::survey(html, charset, &wishes(&LinkRules::default()))
}

/// `track URL` or `keep reason` for each link.
pub(crate) fn decisions(survey: &Survey) -> Vec<String> {
    let say = |decision: &LinkDecision| match decision {
        LinkDecision::Track { target } => format!("track {target}"),
        LinkDecision::Keep(reason) => format!("keep {}", reason.code()),
    };
    survey.links.iter().map(|link| say(&link.decision)).collect()
}

/// The edits: link number 3 leads to `https://t.example.com/c/link-3&x`.
pub(crate) fn edits(survey: &Survey) -> Vec<Edit> {
    survey.edits(&mut |link| Some(tracked(link)), Some(PIXEL))
}

pub(crate) fn tracked(link: usize) -> String {
    format!("{BASE}/c/link-{link}&x")
}

/// The part with the edits carried out; checks that they are sorted and apart.
pub(crate) fn apply(html: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    for edit in edits {
        assert!(edit.range.start >= at, "edits overlap: {edits:?}");
        assert!(edit.replacement.is_ascii());
        out.extend_from_slice(&html[at..edit.range.start]);
        out.extend_from_slice(&edit.replacement);
        at = edit.range.end;
    }
    out.extend_from_slice(&html[at..]);
    out
}

/// The edited part with the edits undone.
pub(crate) fn undo(edited: &[u8], html: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut out, mut at, mut grown) = (Vec::new(), 0, 0_isize);
    for edit in edits {
        let start = edit.range.start.checked_add_signed(grown).unwrap();
        out.extend_from_slice(&edited[at..start]);
        out.extend_from_slice(&html[edit.range.clone()]);
        at = start + edit.replacement.len();
        grown += edit.replacement.len().cast_signed() - edit.range.len().cast_signed();
    }
    out.extend_from_slice(&edited[at..]);
    out
}

/// The edited part as text, the pixel's tag as `[PIXEL]`.
pub(crate) fn edited(html: &str) -> String {
    let survey = survey(html.as_bytes(), None).unwrap();
    shown(&apply(html.as_bytes(), &edits(&survey)))
}

/// As text, the pixel's tag as `[PIXEL]`.
pub(crate) fn shown(edited: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(edited).into_owned();
    while let Some(at) = text.find(PIXEL) {
        let start = text[..at].rfind("<img").unwrap();
        let end = at + text[at..].find('>').unwrap() + 1;
        text.replace_range(start..end, "[PIXEL]");
    }
    text
}
