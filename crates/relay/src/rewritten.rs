use std::sync::Arc;

use envelope::Reason;
use store::{LinkRecord, PartNote};

/// A message that may have been rewritten, and what was and was not done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The octets to hand on; those that came in where nothing was done.
    pub content: Arc<Vec<u8>>,
    /// A pixel was added.
    pub pixel: bool,
    /// Pixels and links of earlier mails of ours were taken out of quoted text.
    pub history: bool,
    /// Every link of the displayed parts in document order.
    pub links: Vec<LinkRecord>,
    /// Why something was not done, for the whole message.
    pub reasons: Vec<Reason>,
    /// Why something was not done, part by part.
    pub parts: Vec<PartNote>,
    /// Fields that go on top of the content.
    pub on_top: Vec<u8>,
}

impl Rewritten {
    /// The message as it came, and why.
    pub fn untouched(content: Arc<Vec<u8>>, reason: Option<Reason>) -> Self {
        let reasons = reason.into_iter().collect();
        Self { content, pixel: false, history: false, links: vec![], reasons, parts: vec![], on_top: vec![] }
    }

    /// How many links lead through us.
    pub fn links_tracked(&self) -> usize {
        self.links.iter().filter(|link| link.kept.is_none()).count()
    }

    /// Will anything of it be seen again?
    pub fn is_tracked(&self) -> bool {
        self.pixel || self.links_tracked() > 0
    }

    /// Does the store have to know the message, for what may come of it?
    pub(crate) fn leaves_tokens(&self) -> bool {
        self.is_tracked() || self.reasons.contains(&Reason::UnsubscribeAdded)
    }

    /// One more reason, unless it is there already.
    pub(crate) fn because(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }
}
