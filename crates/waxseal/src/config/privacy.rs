use std::time::Duration;

use envelope::TrackingMode;

use super::address_pattern::AddressPattern;
use super::document::Section;
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{Privacy, PrivacyRule, StoreAgent, StoreIp};

impl Resolving<'_> {
    /// `[privacy]`.
    pub(super) fn privacy(&mut self) -> Option<Privacy> {
        let document = self.document;
        let root = &document.root;
        let mode = root.get("privacy.mode").and_then(TrackingMode::from_code);
        let rules: Vec<PrivacyRule> =
            document.privacy_rules.iter().filter_map(|section| self.rule(section, mode)).collect();
        let keep_evidence = match root.get::<&str>("privacy.keep_evidence") {
            Some(_) => None,
            None => Some(root.get("privacy.keep_evidence")?),
        };
        let (keep_events, keep_subjects) =
            (root.get("privacy.keep_events"), root.get("privacy.keep_subjects"));
        self.times(keep_events, keep_subjects, keep_evidence);
        self.page();
        let is_pseudonymous = |mode: TrackingMode| mode == TrackingMode::Pseudonymous;
        if keep_evidence.is_some()
            && (mode.is_some_and(is_pseudonymous) || rules.iter().any(|rule| is_pseudonymous(rule.mode)))
        {
            self.evidence_of_nobody();
        }
        self.without_effect(mode);
        let _: &str = root.get("privacy.keep_bodies")?;
        Some(Privacy {
            store_ip: match root.get("privacy.store_ip")? {
                "none" => StoreIp::None,
                "full" => StoreIp::Full,
                _ => StoreIp::Truncated,
            },
            store_agent: match root.get("privacy.store_agent")? {
                "none" => StoreAgent::None,
                "full" => StoreAgent::Full,
                _ => StoreAgent::Family,
            },
            never_track: root.get("privacy.never_track")?,
            mode: mode?,
            rules,
            keep_events: keep_events?,
            // A message goes with its events, and its subject with it.
            keep_subjects: keep_subjects?.min(keep_events?),
            keep_evidence,
            honour_dnt: root.get("privacy.honour_dnt")?,
            recipient_page: root.get("privacy.recipient_page")?,
            about_field: root.get::<bool>("privacy.about_field")? && root.get("privacy.recipient_page")?,
            contact: match root.entry("privacy.contact") {
                Some(_) => Some(root.get("privacy.contact")?),
                None => None,
            },
        })
    }

    fn rule(&mut self, section: &Section, general: Option<TrackingMode>) -> Option<PrivacyRule> {
        let (senders, recipients) = ("privacy.rule[].senders", "privacy.rule[].recipients");
        if section.entry("privacy.rule[].mode").is_none() {
            self.missing("privacy.rule.mode", Some(section), "write mode = \"hygiene\", or another mode");
        }
        if section.entry(senders).is_none() && section.entry(recipients).is_none() {
            self.complaints.push(
                Complaint::new("a [[privacy.rule]] must name senders or recipients")
                    .key("privacy.rule")
                    .at(section.span.clone(), "would be for everybody")
                    .help("for everybody there is privacy.mode"),
            );
        }
        let patterns = |key| match section.entry(key) {
            Some(_) => section.get::<Vec<AddressPattern>>(key),
            None => Some(vec![AddressPattern::Anyone]),
        };
        let (senders, recipients) = (patterns(senders), patterns(recipients));
        let mode = section.get("privacy.rule[].mode").and_then(TrackingMode::from_code)?;
        // Somebody means it to loosen what is general, and it cannot.
        if let (Some(general), Some(entry)) = (general, section.entry("privacy.rule[].mode"))
            && mode > general
        {
            self.complaints.push(
                Complaint::new(format!(
                    "a rule cannot keep more than `privacy.mode`, which is \"{general}\""
                ))
                .key(&entry.path)
                .at(entry.span.clone(), "has no effect: the stricter wins")
                .help(format!("set privacy.mode = \"{mode}\", and rules for those about whom less is kept")),
            );
        }
        Some(PrivacyRule { senders: senders?, recipients: recipients?, mode })
    }

    /// How long what is kept.
    fn times(&mut self, events: Option<Duration>, subjects: Option<Duration>, evidence: Option<Duration>) {
        let Some(events) = events else { return };
        let mut complain = |key: &'static str, message: &str, label: &str, help: &str| {
            let Some(entry) = self.document.root.entry(key) else { return };
            self.complaints
                .push(Complaint::new(message).key(&entry.path).at(entry.span.clone(), label).help(help));
        };
        if evidence.is_some_and(|evidence| evidence > events) {
            complain(
                "privacy.keep_evidence",
                "evidence cannot be kept longer than the events it is about",
                "longer than `privacy.keep_events`",
                "shorten it, or write keep_evidence = \"settling\"",
            );
        }
        if subjects.is_some_and(|subjects| subjects > events) {
            complain(
                "privacy.keep_subjects",
                "subjects cannot be kept longer than the events of their messages",
                "longer than `privacy.keep_events`",
                "a message without events is deleted, and its subject with it: shorten it",
            );
        }
    }

    /// What verdicts are made from holds the user agent.
    fn evidence_of_nobody(&mut self) {
        let Some(entry) = self.document.root.entry("privacy.keep_evidence") else { return };
        let complaint = Complaint::new("evidence cannot be kept where a mode is \"pseudonymous\"")
            .key(&entry.path)
            .at(entry.span.clone(), "would keep the user agent")
            .help("write keep_evidence = \"settling\"");
        self.complaints.push(complaint);
    }

    /// What says how much is kept of something that is not kept at all.
    fn without_effect(&mut self, mode: Option<TrackingMode>) {
        let root = &self.document.root;
        if mode.is_none_or(|mode| mode == TrackingMode::Full) {
            return;
        }
        let more = ["privacy.store_ip", "privacy.store_agent"]
            .into_iter()
            .filter(|key| root.get::<&str>(key).is_some_and(|word| word != "none"));
        for entry in more.filter_map(|key| root.entry(key)) {
            self.belongs_to(entry, "privacy.mode = \"full\"");
        }
    }

    fn page(&mut self) {
        let root = &self.document.root;
        if root.get("privacy.recipient_page") != Some(false) {
            return;
        }
        let unused = ["privacy.contact", "privacy.about_field"];
        for entry in unused.into_iter().filter_map(|key| root.entry(key)) {
            if entry.path.ends_with("about_field") && root.get("privacy.about_field") == Some(false) {
                continue;
            }
            self.belongs_to(entry, "recipient_page = true");
        }
    }
}
