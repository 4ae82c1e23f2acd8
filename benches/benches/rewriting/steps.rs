//! What rewriting is made of, step by step, and the yardsticks.

use std::sync::Arc;

use lol_html::{HtmlRewriter, Settings, element};
use mime::{Decoded, Located, TextPart};
use relay::Tracking;
use rewrite::{History, LinkDecision, LinkRules, Own, PixelPosition, Survey, Wishes};

use crate::mail;

/// One mail, and what each step hands to the next.
pub struct Steps {
    pub mail: Arc<Vec<u8>>,
    pub tracking: Tracking,
    pub part: TextPart,
    pub decoded: Decoded,
    rules: LinkRules,
    survey: Survey,
    urls: Vec<Option<String>>,
    edits: Vec<rewrite::Edit>,
}

impl Steps {
    pub fn of(mail: Arc<Vec<u8>>) -> Self {
        let located = mime::locate(&mail);
        let [part] = located.html.as_slice() else { panic!("one HTML part, not {located:?}") };
        let decoded = mime::decode(&mail[part.body.clone()], part.encoding).expect("made for it");
        let (tracking, rules) = (mail::tracking(), LinkRules::default());
        let survey = survey(&decoded, part, &rules);
        let urls = mint(&tracking, &survey);
        let edits = survey.edits(&mut |at| urls[at].clone(), Some(PIXEL_URL));
        let part = part.clone();
        Self { mail, tracking, part, decoded, rules, survey, urls, edits }
    }

    /// `lol_html` with a handler for every element, its output thrown away.
    pub fn scan_every_element(&self) -> usize {
        let mut elements = 0;
        let handler = element!("*", |_| {
            elements += 1;
            Ok(())
        });
        let settings = Settings::new().append_element_content_handler(handler);
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        rewriter.write(&self.decoded.octets).expect("plain HTML");
        rewriter.end().expect("plain HTML");
        elements
    }

    /// `lol_html` with a handler for links alone.
    pub fn scan_links(&self) -> usize {
        let mut links = 0;
        let handler = element!("a[href]", |_| {
            links += 1;
            Ok(())
        });
        let settings = Settings::new().append_element_content_handler(handler);
        let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
        rewriter.write(&self.decoded.octets).expect("plain HTML");
        rewriter.end().expect("plain HTML");
        links
    }

    pub fn locate(&self) -> Located {
        mime::locate(&self.mail)
    }

    pub fn decode(&self) -> Decoded {
        mime::decode(&self.mail[self.part.body.clone()], self.part.encoding).expect("made for it")
    }

    pub fn survey(&self) -> Survey {
        survey(&self.decoded, &self.part, &self.rules)
    }

    pub fn mint(&self) -> Vec<Option<String>> {
        mint(&self.tracking, &self.survey)
    }

    pub fn splice(&self) -> Vec<u8> {
        splice(&self.mail[self.part.body.clone()], &self.decoded, &self.edits)
    }

    /// Everything but the tokens, which were made before.
    pub fn all_but_minting(&self) -> Vec<u8> {
        let located = self.locate();
        let decoded = self.decode();
        let survey = survey(&decoded, &located.html[0], &self.rules);
        let edits = survey.edits(&mut |at| self.urls[at].clone(), Some(PIXEL_URL));
        let spliced = splice(&self.mail[self.part.body.clone()], &decoded, &edits);
        let body = &located.html[0].body;
        [&self.mail[..body.start], &spliced, &self.mail[body.end..]].concat()
    }

    /// As the relay does it.
    pub fn rewrite(&self) -> relay::Rewritten {
        relay::rewrite(&self.mail, &self.tracking)
    }

    pub fn links(&self) -> usize {
        self.urls.len()
    }
}

/// As long as one with a token.
const PIXEL_URL: &str =
    "https://t.example.com/o/EZqRxCsBmf8YQ7d2dQcHBwcHBwcHBwcAAE2N0b3JlZCBieSBub2JvZHkgaGVy";

/// What the relay's own history says of a mail that quotes none of ours.
struct Newcomer;

impl History for Newcomer {
    fn own(&self, _: &str) -> Own {
        Own::NotOurs
    }

    fn marks(&self) -> &[&str] {
        &[seal::PIXEL_PATH, "&#47;", "&#x2f;", "&#x2F;", "&sol;"]
    }
}

fn survey(decoded: &Decoded, part: &TextPart, rules: &LinkRules) -> Survey {
    let wishes = Wishes {
        opens: true,
        links: true,
        history: &Newcomer,
        rules,
        list_unsubscribe: &[],
        position: PixelPosition::Auto,
        given_up: &|| false,
    };
    rewrite::survey(&decoded.octets, part.charset.as_deref(), &wishes).expect("plain HTML")
}

fn mint(tracking: &Tracking, survey: &Survey) -> Vec<Option<String>> {
    let url = |(index, link): (usize, &rewrite::Link)| match &link.decision {
        LinkDecision::Track { target } => {
            let index = u16::try_from(index).ok()?;
            let token = tracking.keys.seal_link(tracking.id, tracking.recipient, index, target).ok()?;
            Some(format!("{}{}{token}", tracking.base_url, seal::LINK_PATH))
        }
        LinkDecision::Keep(_) => None,
    };
    survey.links.iter().enumerate().map(url).collect()
}

fn splice(source: &[u8], decoded: &Decoded, edits: &[rewrite::Edit]) -> Vec<u8> {
    let edits: Vec<mime::Edit<'_>> = edits
        .iter()
        .map(|edit| mime::Edit { range: edit.range.clone(), replacement: &edit.replacement })
        .collect();
    mime::splice(source, decoded, &edits).expect("it has room")
}
