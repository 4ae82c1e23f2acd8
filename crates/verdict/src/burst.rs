use crate::finding::Finding;
use crate::networks::{Class, Networks};
use crate::reading::{Mistakes, Section};
use crate::sight::Sight;
use crate::{Confidence, Context, Kind, Verdict};

/// Many links at once, and one address at many people's mail.
#[derive(Debug)]
pub(crate) struct Burst {
    windows: Vec<Window>,
    fold_back_open_s: f64,
    min_recipients: u32,
    min_recipient_domains: u32,
    exclude: Vec<Class>,
}

/// One `[[burst]]`.
#[derive(Debug)]
struct Window {
    within_s: u32,
    links: Count,
    kinds: Vec<Kind>,
    confidence: Confidence,
}

#[derive(Debug)]
enum Count {
    AtLeast(u32),
    /// Every link of the message, if it has this many.
    AllOf(u32),
}

impl Burst {
    pub(crate) fn read(
        windows: Vec<Section<'_>>,
        fold_back: &Section<'_>,
        cross: &Section<'_>,
        mistakes: &Mistakes,
    ) -> Self {
        if windows.is_empty() {
            mistakes.add("the list [[burst]] is missing");
        }
        Self {
            windows: windows.into_iter().map(Window::read).collect(),
            fold_back_open_s: fold_back.required("open_s"),
            min_recipients: cross.required("min_recipients"),
            min_recipient_domains: cross.required("min_recipient_domains"),
            exclude: cross.codes("exclude_classes", Class::from_code).unwrap_or_default(),
        }
    }

    /// This hit is one of a burst, or came shortly before one from the same source.
    pub(crate) fn look(&self, sight: &Sight<'_>) -> Option<Finding> {
        let context = sight.context();
        let burst = self
            .windows
            .iter()
            .filter(|window| window.kinds.contains(&sight.kind) && window.holds(context))
            .map(|window| window.confidence)
            .min();
        if let Some(confidence) = burst {
            return Some(Finding::new(Verdict::Scanner, confidence, "burst"));
        }
        context
            .same_source_burst_within_s
            .is_some_and(|apart| apart.abs() <= self.fold_back_open_s)
            .then(|| Finding::new(Verdict::Scanner, Confidence::Probable, "burst_source"))
    }

    /// One address, several people's tokens; an office has one domain, a scanner's customers have many.
    pub(crate) fn look_across(&self, sight: &Sight<'_>, networks: &Networks) -> Option<Finding> {
        let context = sight.context();
        let recipients = context.recipients_from_address_within_1h?;
        let domains = context.recipient_domains_from_address_within_1h?;
        let crowd = self.exclude.iter().any(|class| networks.holds(sight.at, *class, sight.kind));
        (recipients >= self.min_recipients && domains >= self.min_recipient_domains && !crowd)
            .then(|| Finding::new(Verdict::Scanner, Confidence::Probable, "cross_recipient"))
    }
}

impl Window {
    fn read(section: Section<'_>) -> Self {
        let within_s: u32 = section.required("within_s");
        if ![0, 1, 5, 10, 30].contains(&within_s) {
            section.wrong("within_s", "links are counted within 1, 5, 10 and 30 seconds only");
        }
        let links = match (section.optional("links"), section.optional("all_links_min")) {
            (Some(links), None) => Count::AtLeast(links),
            (None, Some(least)) => Count::AllOf(least),
            _ => {
                section.wrong("links", "give one of links and all_links_min");
                Count::AtLeast(u32::MAX)
            }
        };
        let window = Self {
            within_s,
            links,
            kinds: section.codes("kinds", Kind::from_code).unwrap_or_else(|| vec![Kind::Click]),
            confidence: section.code("confidence", Confidence::from_code).unwrap_or(Confidence::Certain),
        };
        section.finish();
        window
    }

    fn holds(&self, context: &Context) -> bool {
        let Some(followed) = distinct_links(context, self.within_s) else { return false };
        match self.links {
            Count::AtLeast(links) => followed >= links,
            Count::AllOf(least) => {
                context.links_in_message.is_some_and(|all| all >= least && followed >= all)
            }
        }
    }
}

/// Links followed within the window, as far as any count within it knows.
fn distinct_links(context: &Context, within_s: u32) -> Option<u32> {
    [
        (1, context.distinct_links_within_1s),
        (5, context.distinct_links_within_5s),
        (10, context.distinct_links_within_10s),
        (30, context.distinct_links_within_30s),
    ]
    .into_iter()
    .filter(|(window, _)| *window <= within_s)
    .filter_map(|(_, count)| count)
    .max()
}
