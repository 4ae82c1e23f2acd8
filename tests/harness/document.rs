//! A browser's view of HTML before and after, by html5ever: the same document but for links, which lead where they led, and the
//! one pixel.

use encoding_rs::Encoding;
use html5ever::tendril::TendrilSink;
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{Attribute, ParseOpts};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

/// Which URLs are ours.
pub trait Whose {
    /// Where a tracked link of ours leads.
    fn target(&self, url: &str) -> Option<String>;
    /// Is it the source of a pixel of ours?
    fn is_pixel(&self, src: &str) -> bool;
}

/// How to compare.
pub struct Reading<'a> {
    pub encoding: &'static Encoding,
    pub ours: &'a dyn Whose,
    /// No letter but tags in any order. A browser moves white space and comments there, and opens formatting elements that were
    /// left open again round the pixel.
    pub soup: bool,
}

/// An element, a text, or a comment.
#[derive(Debug)]
struct Node {
    depth: usize,
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
}

const FORMATTING: [&str; 14] =
    ["a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"];

impl Reading<'_> {
    /// Returns how many pixels there are afterwards.
    ///
    /// # Errors
    /// The first difference that is not a tracked link, a pixel, or something of an earlier mail of ours.
    pub fn compare(&self, before: &str, after: &str) -> Result<usize, String> {
        let pixels = self.compare_with(before, after, true)?;
        // Mail programs run no scripts. In a soup that counts for nothing: an open `style` in a `noscript` takes in all that follows.
        if self.soup { Ok(pixels) } else { self.compare_with(before, after, false) }
    }

    fn compare_with(&self, before: &str, after: &str, scripting: bool) -> Result<usize, String> {
        let (mut old, old_pixels, _) = self.nodes(before, scripting);
        let (mut new, pixels, begins) = self.nodes(after, scripting);
        if self.soup {
            (old, new) = (settled(old, begins), settled(new, begins));
        }
        if self.soup && old_pixels > 0 {
            // What was left open was opened again round an earlier pixel, and round what followed it.
            (old, new) = (unformatted(old), unformatted(new));
        }
        let base = old.iter().filter(|node| node.name == "base").find_map(|node| node.attribute("href"));
        let base = base.and_then(|href| url::Url::parse(href.trim()).ok());
        let mut new = new.into_iter();
        for was in &old {
            let Some(is) = new.next() else { return Err(format!("{was:?} is gone")) };
            let differs = || Err(format!("{was:?} became {is:?}"));
            if (was.depth, &was.name, &was.text) != (is.depth, &is.name, &is.text) {
                return differs();
            }
            let others = |attributes: &[(String, String)]| -> Vec<(String, String)> {
                attributes
                    .iter()
                    .filter(|(name, _)| name != "href" && name != "data-waxseal")
                    .cloned()
                    .collect()
            };
            if others(&was.attributes) != others(&is.attributes) {
                return differs();
            }
            match (was.attribute("href"), is.attribute("href")) {
                (Some(was), Some(is)) => self.same_destination(was, is, base.as_ref())?,
                (None, None) => {}
                _ => return differs(),
            }
        }
        match new.next() {
            Some(extra) => Err(format!("{extra:?} is new")),
            // One that parts a `<` from a letter stays.
            None if pixels > if self.soup { old_pixels + 1 } else { 1 } => Err(format!("{pixels} pixels")),
            None => Ok(pixels),
        }
    }

    /// As a browser would resolve the original, and as our redirect answers.
    fn same_destination(&self, was: &str, is: &str, base: Option<&url::Url>) -> Result<(), String> {
        if was == is {
            return Ok(());
        }
        let browser = |href: &str| {
            // WHATWG URL §4.4: a query is percent-encoded in the document's encoding.
            url::Url::options()
                .base_url(base)
                .encoding_override(Some(&|query| self.encoding.encode(query).0))
                .parse(href)
                .ok()
                .map(String::from)
        };
        let mut was_to = browser(was).unwrap_or_else(|| was.to_owned());
        while let Some(inner) = self.ours.target(&was_to) {
            was_to = inner;
        }
        let is_to = match self.ours.target(is.trim()) {
            Some(target) => target,
            None => browser(is).unwrap_or_else(|| is.to_owned()),
        };
        if was_to == is_to { Ok(()) } else { Err(format!("{was:?} led to {was_to}, now {is_to}")) }
    }

    /// The document in order without our pixels, how many those were, and whether the body begins with one.
    fn nodes(&self, html: &str, scripting: bool) -> (Vec<Node>, usize, bool) {
        let tree_builder = TreeBuilderOpts { scripting_enabled: scripting, ..TreeBuilderOpts::default() };
        let options = ParseOpts { tree_builder, ..ParseOpts::default() };
        let dom = html5ever::parse_document(RcDom::default(), options).one(html);
        let (mut nodes, mut pixels, mut begins): (Vec<Node>, _, _) = (vec![], 0, false);
        // By hand, not by recursion: the collection has mails nested 20,000 deep.
        let mut stack: Vec<(Handle, usize)> = vec![(dom.document.clone(), 0)];
        while let Some((node, depth)) = stack.pop() {
            let mut push = |name: &str, attributes, text: String| {
                // Neighbours, with nothing or a pixel between them.
                match nodes.last_mut() {
                    Some(last) if name == "#text" && last.name == name && last.depth == depth => {
                        last.text.push_str(&text);
                    }
                    _ => nodes.push(Node { depth, name: name.to_owned(), attributes, text }),
                }
            };
            match &node.data {
                NodeData::Text { contents } => push("#text", vec![], contents.borrow().to_string()),
                NodeData::Comment { contents } => {
                    // Links in conditional comments change; that they are right is for the octets to say.
                    let conditional =
                        contents.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("[if"));
                    push("#comment", vec![], if conditional { String::new() } else { contents.to_string() });
                }
                NodeData::Doctype { name, public_id, system_id } => {
                    push("#doctype", vec![], format!("{name} {public_id} {system_id}"));
                }
                NodeData::Element { name, attrs, .. } => {
                    let attributes: Vec<_> = attrs.borrow().iter().map(attribute).collect();
                    let src = attributes.iter().find(|(name, _)| name == "src");
                    if &*name.local == "img" && src.is_some_and(|(_, src)| self.ours.is_pixel(src)) {
                        pixels += 1;
                        begins |= nodes.last().is_some_and(|last| last.name == "body");
                        continue;
                    }
                    push(&name.local, attributes, String::new());
                }
                _ => {}
            }
            stack.extend(node.children.borrow().iter().rev().map(|child| (child.clone(), depth + 1)));
            if let NodeData::Element { template_contents, .. } = &node.data
                && let Some(contents) = &*template_contents.borrow()
            {
                stack.push((contents.clone(), depth + 1));
            }
        }
        (nodes, pixels, begins)
    }
}

/// Without formatting elements, and all at one depth.
fn unformatted(nodes: Vec<Node>) -> Vec<Node> {
    let others = nodes.into_iter().filter(|node| !FORMATTING.contains(&node.name.as_str()));
    settled(others.map(|node| Node { depth: 0, ..node }).collect(), false)
}

fn attribute(attribute: &Attribute) -> (String, String) {
    let name = match &attribute.name.prefix {
        Some(prefix) => format!("{prefix}:{}", attribute.name.local),
        None => attribute.name.local.to_string(),
    };
    (name, attribute.value.to_string())
}

impl Node {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Without white space, formatting elements of no content, and comments if the body begins with the pixel: then those that stood
/// before the body come to stand in it.
fn settled(nodes: Vec<Node>, begins: bool) -> Vec<Node> {
    let mut settled: Vec<Node> = vec![];
    for mut node in nodes {
        node.text.retain(|c| !c.is_whitespace());
        let is_nothing = match node.name.as_str() {
            "#text" => node.text.is_empty(),
            "#comment" => begins,
            _ => false,
        };
        if !is_nothing {
            settled.push(node);
        }
    }
    let mut reversed: Vec<Node> = vec![];
    while let Some(node) = settled.pop() {
        let is_empty = reversed.last().is_none_or(|next: &Node| next.depth <= node.depth);
        match reversed.last_mut() {
            _ if is_empty && FORMATTING.contains(&node.name.as_str()) => {}
            Some(next) if node.name == "#text" && next.name == "#text" && next.depth == node.depth => {
                next.text.insert_str(0, &node.text);
            }
            _ => reversed.push(node),
        }
    }
    reversed.reverse();
    reversed
}
