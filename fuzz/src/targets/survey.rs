use std::cell::Cell;

use ::rewrite::{Edit, History, LinkDecision, LinkRules, Own, PixelPosition, Survey, TextFormat, Wishes};

use super::document::Whose;

const BASE_URL: &str = "https://t.example.com";
const PIXEL_URL: &str = "https://t.example.com/o/new";

/// Surveys any octets in any charset: the edits are sorted, inside and apart, ASCII, and with them carried out a second survey
/// finds the same links, but for those that were led elsewhere.
///
/// `data` is one octet of choices, a charset's name and a line end, and the octets of the part. An empty name is none.
pub fn survey(data: &[u8]) {
    let Some((&choices, rest)) = data.split_first() else { return };
    let Some(line_end) = rest.iter().position(|octet| *octet == b'\n') else { return };
    let (label, part) = (String::from_utf8_lossy(&rest[..line_end]), &rest[line_end + 1..]);
    let label = Some(&*label).filter(|label| !label.is_empty());
    let bit = |bit: u8| choices >> bit & 1 == 1;
    let rules = LinkRules {
        keep: vec!["*.keep.example".into()],
        keep_if_text_is_url: bit(4),
        keep_one_time: bit(4),
        keep_app_links: bit(4),
        keep_list_unsubscribe: bit(4),
    };
    let wishes = Wishes {
        opens: true,
        links: bit(0),
        history: &Earlier,
        rules: &rules,
        list_unsubscribe: &["https://list.example/u?a=1&b=2".to_owned()],
        position: [PixelPosition::Auto, PixelPosition::End, PixelPosition::Start, PixelPosition::Auto]
            [usize::from(choices >> 2 & 3)],
        given_up: &|| false,
    };
    let format =
        [TextFormat::Fixed, TextFormat::Flowed, TextFormat::FlowedDelSp][usize::from(choices >> 2 & 3) % 3];
    let looked = |octets: &[u8]| {
        if bit(1) {
            ::rewrite::survey_text(octets, label, format, &wishes)
        } else {
            ::rewrite::survey(octets, label, &wishes)
        }
    };
    let Ok(first) = looked(part) else { return };
    let edits = edits(&first, part);
    if bit(1) {
        assert_eq!(first.pixel_at, None, "a pixel in plain text");
        // A longer URL may stand in plain text than we put in: what follows it can be a part of it to another reader.
        return;
    }
    let after = carried_out(part, &edits);
    let pixels = after.windows(PIXEL_URL.len()).filter(|octets| *octets == PIXEL_URL.as_bytes()).count();
    let were = part.windows(PIXEL_URL.len()).filter(|octets| *octets == PIXEL_URL.as_bytes()).count();
    assert!(pixels <= were + usize::from(first.pixel_at.is_some()), "{pixels} pixels");
    if let Some(label) = label.filter(|label| !label.to_ascii_lowercase().contains("ascii")) {
        match looked(&after) {
            Ok(second) => same_links(&first, &second),
            // `</svg>` in an address counted for one, before; and that its element is left open is a reason to leave the part alone.
            Err(reason) => {
                let is_foreign = |name: &str| {
                    after.to_ascii_lowercase().windows(name.len()).any(|it| it == name.as_bytes())
                };
                let is_foreign = is_foreign("<svg") || is_foreign("<math");
                assert!(is_foreign, "once edited it is not followed: {reason} in {label}");
            }
        }
    }
    if let Some(reading) = super::reading(label, part, &Ours { survey: &first }) {
        super::same_document(&reading, part, &after);
    }
}

/// What the new part holds of ours, and the old one of [`Earlier`].
struct Ours<'a> {
    survey: &'a Survey,
}

impl Whose for Ours<'_> {
    fn target(&self, url: &str) -> Option<String> {
        if let Own::Link { target } = Earlier.own(url) {
            return url::Url::parse(&target).ok().map(String::from);
        }
        let index = url.strip_prefix(BASE_URL)?.strip_prefix("/c/link-")?.strip_suffix("&x")?;
        match &self.survey.links.get(index.parse::<usize>().ok()?)?.decision {
            LinkDecision::Track { target } => Some(target.clone()),
            LinkDecision::Keep(_) => None,
        }
    }

    fn is_pixel(&self, src: &str) -> bool {
        if src == PIXEL_URL {
            return true;
        }
        // `https:host/path` has no host to some.
        let has_host = src.contains("//") || src.contains('\\');
        let Some(url) = url::Url::parse(src).ok().filter(|_| has_host) else { return false };
        let proxied = url.as_str().split_once('#').and_then(|(_, url)| url::Url::parse(url).ok());
        [Some(url), proxied].into_iter().flatten().any(|url| Earlier.own(url.as_str()) == Own::Pixel)
    }
}

/// As in `crates/rewrite/tests`: `/o/old` is an earlier pixel, `/c/` and small letters an earlier link.
struct Earlier;

impl History for Earlier {
    fn own(&self, url: &str) -> Own {
        let Some(path) = url.strip_prefix(BASE_URL) else { return Own::NotOurs };
        match (path.strip_prefix("/o/"), path.strip_prefix("/c/")) {
            (Some("old"), _) => Own::Pixel,
            (_, Some(token))
                if !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_lowercase()) =>
            {
                Own::Link { target: format!("https://shop.example/{token}?a=1&b='2'") }
            }
            (Some("new"), _) => Own::NotOurs,
            (_, Some(token)) if token.starts_with("link-") => Own::NotOurs,
            (Some(_), _) | (_, Some(_)) => Own::Damaged,
            _ => Own::NotOurs,
        }
    }

    fn marks(&self) -> &[&str] {
        &["/o/", "/c/"]
    }
}

fn edits(survey: &Survey, part: &[u8]) -> Vec<Edit> {
    assert!(survey.pixel_at.is_none_or(|at| at <= part.len()), "a pixel beyond the part");
    for link in &survey.links {
        if let LinkDecision::Track { target } = &link.decision {
            let parsed = url::Url::parse(target).expect("a target is a URL");
            assert_eq!(parsed.as_str(), target, "a target is written as a browser writes it");
            assert!(matches!(parsed.scheme(), "http" | "https") && parsed.username().is_empty());
        }
    }
    let asked = Cell::new(0);
    let edits = survey.edits(
        &mut |index| {
            assert!(index >= asked.replace(index + 1), "links are asked for once and in order");
            assert!(
                matches!(survey.links[index].decision, LinkDecision::Track { .. }),
                "a kept link is asked for"
            );
            Some(tracked(index))
        },
        Some(PIXEL_URL),
    );
    let mut at = 0;
    for edit in &edits {
        assert!(at <= edit.range.start && edit.range.start <= edit.range.end, "edits overlap: {edits:?}");
        assert!(edit.range.end <= part.len(), "an edit beyond the part: {edit:?}");
        assert!(edit.replacement.is_ascii(), "{edit:?}");
        at = edit.range.end;
    }
    let links = edits.iter().filter_map(|edit| edit.link).collect::<Vec<_>>();
    let wanted = survey
        .links
        .iter()
        .enumerate()
        .filter(|(_, link)| matches!(link.decision, LinkDecision::Track { .. }));
    assert_eq!(links, wanted.map(|(index, _)| index).collect::<Vec<_>>(), "each tracked link has one edit");
    edits
}

fn tracked(index: usize) -> String {
    format!("{BASE_URL}/c/link-{index}&x")
}

fn carried_out(part: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut out, mut at) = (vec![], 0);
    for edit in edits {
        out.extend_from_slice(&part[at..edit.range.start]);
        out.extend_from_slice(&edit.replacement);
        at = edit.range.end;
    }
    out.extend_from_slice(&part[at..]);
    out
}

/// Whoever reads the edited part finds each link where it was.
fn same_links(first: &Survey, second: &Survey) {
    let hrefs: Vec<&str> = second.links.iter().map(|link| link.href.as_str()).collect();
    assert_eq!(first.links.len(), hrefs.len(), "{:?} became {hrefs:?}", first.links);
    for ((index, was), is) in first.links.iter().enumerate().zip(hrefs) {
        let is_earlier = was.href.to_ascii_lowercase().contains("t.example.com");
        match was.decision {
            LinkDecision::Track { .. } => assert_eq!(is, tracked(index)),
            LinkDecision::Keep(_) if is_earlier => {}
            LinkDecision::Keep(_) => assert_eq!(is, was.href, "a kept link"),
        }
    }
}
