use super::document::Section;
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{AddUnsubscribe, OnSuppressed, Unsubscribe, UpstreamConfig};

impl Resolving<'_> {
    /// `[unsubscribe]`.
    pub(super) fn unsubscribe(&mut self, upstreams: &[UpstreamConfig]) -> Option<Unsubscribe> {
        let root = &self.document.root;
        let add = root.get("unsubscribe.add").map(add);
        let base_url: Option<String> = root.get("tracking.base_url");
        if base_url.is_some_and(|url| url.starts_with("http:")) {
            let own =
                root.entry("unsubscribe.add").filter(|_| add.is_some_and(|add| add != AddUnsubscribe::Off));
            let of_upstreams = self.document.upstreams.iter().filter(|section| {
                upstreams.iter().any(|upstream| {
                    upstream.name == section.own_name
                        && upstream.unsubscribe.is_some_and(|add| add != AddUnsubscribe::Off)
                })
            });
            let entries = own.into_iter().chain(of_upstreams.filter_map(|section| section.entry(UPSTREAM)));
            self.complaints.extend(entries.map(|entry| {
                Complaint::new("one-click unsubscribe needs https")
                    .key(&entry.path)
                    .at(entry.span.clone(), "`tracking.base_url` is http, and mail programs would not believe it")
                    .help("write base_url = \"https://…\"; with a proxy in front that does TLS, tls.mode = \"none\"")
            }));
        }
        Some(Unsubscribe {
            add: add?,
            mailto: match root.entry("unsubscribe.mailto") {
                Some(_) => Some(root.get("unsubscribe.mailto")?),
                None => None,
            },
            on_suppressed: match root.get("unsubscribe.on_suppressed")? {
                "skip" => OnSuppressed::Skip,
                _ => OnSuppressed::Refuse,
            },
            also_on_bounce: root.get::<Vec<&str>>("unsubscribe.also_on")?.contains(&"bounce"),
            also_on_complaint: root.get::<Vec<&str>>("unsubscribe.also_on")?.contains(&"complaint"),
        })
    }
}

const UPSTREAM: &str = "upstream.*.unsubscribe";

/// An upstream's own word, if it has one.
pub(super) fn of_upstream(section: &Section) -> Option<AddUnsubscribe> {
    section.entry(UPSTREAM)?;
    section.get(UPSTREAM).map(add)
}

fn add(word: &str) -> AddUnsubscribe {
    match word {
        "when-tracked" => AddUnsubscribe::WhenTracked,
        "always" => AddUnsubscribe::Always,
        _ => AddUnsubscribe::Off,
    }
}
