//! The tracking endpoint's names, and what it bears.

use super::address_pattern::AddressPattern;
use super::document::{Entry, Section};
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{TrackingDomain, TrackingQuota};

impl Resolving<'_> {
    /// Every `[[tracking.domain]]`, in the order of the file. `base_url` is that of everybody else.
    pub(super) fn domains(&mut self, base_url: &str) -> Vec<TrackingDomain> {
        let document = self.document;
        let mut domains: Vec<TrackingDomain> = Vec::new();
        for section in &document.domains {
            self.is_asked(section, &domains);
            domains.extend(self.domain(section, base_url, &domains));
        }
        domains
    }

    fn domain(
        &mut self,
        section: &Section,
        everybody_else: &str,
        earlier: &[TrackingDomain],
    ) -> Option<TrackingDomain> {
        let (key, senders) = ("tracking.domain[].base_url", "tracking.domain[].senders");
        if section.entry(key).is_none() {
            self.missing(
                "tracking.domain.base_url",
                Some(section),
                "write base_url = \"https://t.example.org\"",
            );
        }
        if section.entry(senders).is_none() {
            self.missing("tracking.domain.senders", Some(section), "write senders = [\"*@example.org\"]");
        }
        let base_url: String = section.get(key)?;
        let mut complain = |message: String, label: &str, help: &str| {
            let Some(entry) = section.entry(key) else { return };
            let complaint = Complaint::new(message).key(&entry.path).at(entry.span.clone(), label);
            self.complaints.push(complaint.help(help));
        };
        let is_same = |other: &str| other.eq_ignore_ascii_case(&base_url);
        if is_same(everybody_else) {
            complain(
                "this tracking domain is `tracking.base_url`".to_owned(),
                "what every other sender has anyway",
                "take the table out, or give it another host",
            );
        } else if earlier.iter().any(|domain| is_same(&domain.base_url)) {
            complain(
                "two tracking domains have the same base_url".to_owned(),
                "declared before",
                "put the senders of both into one table",
            );
        }
        let scheme = |url: &str| url.split_once("://").map_or(String::new(), |(scheme, _)| scheme.to_owned());
        let (mine, general) = (scheme(&base_url), scheme(everybody_else));
        if mine != general {
            complain(
                format!("one tracking domain is {mine}, and `tracking.base_url` is {general}"),
                "another scheme than the rest",
                "one endpoint serves all of them: use the same scheme in each",
            );
        }
        Some(TrackingDomain { senders: section.get(senders)?, base_url })
    }

    /// A pattern whose senders all have another domain already is a slip: their links go elsewhere than was meant.
    fn is_asked(&mut self, section: &Section, earlier: &[TrackingDomain]) {
        let key = "tracking.domain[].senders";
        let (Some(entry), Some(senders)) = (section.entry(key), section.get::<Vec<AddressPattern>>(key))
        else {
            return;
        };
        for (at, pattern) in senders.iter().enumerate() {
            let before = earlier.iter().flat_map(|domain| &domain.senders).chain(&senders[..at]);
            if let Some(other) = before.into_iter().find(|other| other.covers(pattern)) {
                self.complaints.push(
                    Complaint::new(format!(
                        "the senders \"{pattern}\" would never have this tracking domain"
                    ))
                    .key(&entry.path)
                    .at(entry.span.clone(), format!("\"{other}\" comes before and takes them all"))
                    .help("a sender has the first domain that matches: put the one with fewer senders first"),
                );
            }
        }
    }

    /// `limits.tracking_per_ip` and its like.
    pub(super) fn quota(&self, requests: &'static str, per: &'static str) -> Option<TrackingQuota> {
        let root = &self.document.root;
        let requests = root.get(requests).and_then(|n: u64| u32::try_from(n).ok())?;
        Some(TrackingQuota { requests, per: root.get(per)? })
    }

    /// A switch that does nothing is a slip: nobody is believed.
    pub(super) fn announcing(&mut self, proxies: usize) -> Option<bool> {
        let root = &self.document.root;
        let on: bool = root.get("tracking.proxy_protocol")?;
        if let (true, 0, Some(entry)) = (on, proxies, root.entry("tracking.proxy_protocol")) {
            self.without_proxies(entry);
        }
        Some(on)
    }

    fn without_proxies(&mut self, entry: &Entry) {
        self.complaints.push(
            Complaint::new("`tracking.proxy_protocol` needs `tracking.trusted_proxies`")
                .key(&entry.path)
                .at(entry.span.clone(), "nobody is believed")
                .help("name your proxies: trusted_proxies = [\"10.0.0.5\"]"),
        );
    }
}
