use std::net::SocketAddr;
use std::ops::Range;

use super::document::{Entry, Section};
use super::forms::is_loopback;
use super::network::Network;
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{Certificate, Encryption, Listener, Role, Tracking};

impl Resolving<'_> {
    /// `[tls]`; its files are looked into.
    pub(super) fn certificate(&mut self) -> Option<Certificate> {
        let root = &self.document.root;
        if root.is_wrong("tls.mode") {
            return None;
        }
        let mode = root.get("tls.mode").unwrap_or("none");
        let files = ["tls.cert_file", "tls.key_file"];
        if mode != "files" {
            for entry in files.iter().filter_map(|key| root.entry(key)) {
                self.belongs_to(entry, "mode = \"files\"");
            }
            return Some(if mode == "none" { Certificate::None } else { Certificate::SelfSigned });
        }
        for (key, marker) in files.into_iter().zip(["CERTIFICATE-----", "PRIVATE KEY-----"]) {
            if let Some(entry) = root.entry(key) {
                self.pem_file(root, key, entry, marker);
                continue;
            }
            let mode = root.entry("tls.mode").map_or(0..0, |entry| entry.span.clone());
            self.complaints.push(
                Complaint::new(format!("`{key}` is missing"))
                    .key(key)
                    .at(mode, "needs cert_file and key_file")
                    .help("write it under [tls], or use mode = \"self-signed\" for a test"),
            );
        }
        let path = |key| root.get(key).map(|path: std::path::PathBuf| self.surroundings.path(&path));
        Some(Certificate::Files { cert_file: path("tls.cert_file")?, key_file: path("tls.key_file")? })
    }

    /// Every `[[smtp]]`, or the one that there is without any.
    pub(super) fn listeners(&mut self, certificate: Option<&Certificate>) -> Vec<Listener> {
        let document = self.document;
        let alone = [Section::default()];
        let sections = if document.listeners.is_empty() { &alone[..] } else { &document.listeners[..] };
        sections.iter().filter_map(|section| self.listener(section, certificate)).collect()
    }

    fn listener(&mut self, section: &Section, certificate: Option<&Certificate>) -> Option<Listener> {
        let listen: Option<SocketAddr> = section.get("smtp[].listen");
        let tls = section.get("smtp[].tls").map(encryption);
        let role =
            if section.get("smtp[].role") == Some("feedback") { Role::Feedback } else { Role::Submission };
        if role == Role::Feedback {
            return self.feedback_listener(section, certificate);
        }
        let login_required = section.get("smtp[].auth").map(|word: &str| word == "required");
        let allow_from: Option<Vec<Network>> = section.get("smtp[].allow_from");
        let from_outside = listen.is_some_and(|listen| !is_loopback(listen.ip()));

        if from_outside && tls == Some(Encryption::None) && login_required == Some(true) {
            self.at(
                section,
                "smtp[].listen",
                "this listener would accept passwords without TLS from the network",
                "reachable from other machines, and `tls = \"none\"`",
                "use `tls = \"starttls\"` or \"implicit\", or listen on 127.0.0.1",
            );
        }
        if login_required == Some(false) && from_outside {
            if section.entry("smtp[].allow_from").is_none() {
                self.at(
                    section,
                    "smtp[].auth",
                    "this listener would take mail from everybody",
                    "no login, and reachable from other machines",
                    "use `auth = \"required\"`, say in `allow_from` who may connect, or listen on 127.0.0.1",
                );
            } else if allow_from.iter().flatten().any(Network::is_everybody) {
                self.at(
                    section,
                    "smtp[].allow_from",
                    "this listener would take mail from everybody",
                    "one of these is the whole internet",
                    "use `auth = \"required\"`, or smaller networks",
                );
            }
        }
        if allow_from.as_ref().is_some_and(Vec::is_empty) {
            self.at(
                section,
                "smtp[].allow_from",
                "`smtp.allow_from` must not be empty",
                "nobody could connect",
                "take it out to let everybody connect",
            );
        }
        if login_required == Some(true)
            && let Some(entry) = section.entry("smtp[].as")
        {
            self.belongs_to(entry, "auth = \"none\"");
        }
        self.needs_certificate(section, tls, certificate);
        Some(Listener {
            role,
            listen: listen?,
            tls: tls?,
            login_required: login_required?,
            allow_from,
            sender: section.get("smtp[].as"),
        })
    }

    /// Other servers bring reports there, so nobody logs in; what comes in goes nowhere, so everybody may.
    fn feedback_listener(
        &mut self,
        section: &Section,
        certificate: Option<&Certificate>,
    ) -> Option<Listener> {
        for key in ["smtp[].auth", "smtp[].as"] {
            if let Some(entry) = section.entry(key) {
                self.belongs_to(entry, "role = \"submission\"");
            }
        }
        let tls = section.get("smtp[].tls").map(encryption);
        self.needs_certificate(section, tls, certificate);
        Some(Listener {
            role: Role::Feedback,
            listen: section.get("smtp[].listen")?,
            tls: tls?,
            login_required: false,
            allow_from: section.get("smtp[].allow_from"),
            sender: None,
        })
    }

    fn needs_certificate(
        &mut self,
        section: &Section,
        tls: Option<Encryption>,
        certificate: Option<&Certificate>,
    ) {
        if tls.is_some_and(|tls| tls != Encryption::None) && certificate == Some(&Certificate::None) {
            self.at(section, "smtp[].tls", "this listener needs a certificate", "needs TLS, and there is no certificate",
                "under [tls], write mode = \"files\" with cert_file and key_file, or mode = \"self-signed\" for a test");
        }
    }

    /// No address can be listened on twice.
    pub(super) fn addresses(&mut self, tracking: Option<&Tracking>) {
        let document = self.document;
        let mut taken: Vec<(SocketAddr, Option<&Entry>)> = Vec::new();
        if document.listeners.is_empty() {
            taken.extend(Section::default().get("smtp[].listen").map(|listen| (listen, None)));
        }
        let listeners = document.listeners.iter();
        taken.extend(listeners.filter_map(|s| Some((s.get("smtp[].listen")?, s.entry("smtp[].listen")))));
        taken.extend(tracking.map(|tracking| (tracking.listen, document.root.entry("tracking.listen"))));
        for (number, (address, entry)) in taken.iter().enumerate() {
            let Some((_, other)) = taken[..number].iter().find(|(other, _)| collide(*other, *address)) else {
                continue;
            };
            let complaint = Complaint::new(format!("two listeners cannot share {address}"))
                .help("give one of them another port");
            self.complaints.push(match entry.or(*other) {
                Some(entry) => complaint.key(&entry.path).at(entry.span.clone(), "taken by another listener"),
                None => complaint,
            });
        }
    }

    /// A complaint at the value of `key`, or at the whole table when the default is at fault.
    fn at(&mut self, section: &Section, key: &'static str, message: &str, label: &str, help: &str) {
        let complaint = Complaint::new(message).help(help);
        let place = section.entry(key).map(|entry| (entry.path.clone(), entry.span.clone()));
        let (path, span): (String, Range<usize>) =
            place.unwrap_or((section.name.clone(), section.span.clone()));
        self.complaints.push(complaint.key(path).at(span, label));
    }

    /// Is the file that `entry` names there, and does it hold such a PEM section?
    pub(super) fn pem_file(&mut self, section: &Section, key: &'static str, entry: &Entry, marker: &str) {
        let Some(path) = section.get::<std::path::PathBuf>(key) else { return };
        let wrong = match self.surroundings.read(&path) {
            Ok(text) if text.contains("-----BEGIN ") && text.contains(marker) => return,
            Ok(_) => format!("no PEM section that ends in {marker}"),
            Err(why) => why.to_owned(),
        };
        self.complaints.push(
            Complaint::new(format!("the file of `{}` cannot be used", entry.path))
                .key(&entry.path)
                .at(entry.span.clone(), wrong),
        );
    }
}

/// The same port on the same address, or on all addresses of its family. Port 0 is a free one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let all = |address: SocketAddr| address.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || all(one) || all(other))
}

pub(super) fn encryption(word: &str) -> Encryption {
    match word {
        "implicit" => Encryption::Implicit,
        "starttls" => Encryption::StartTls,
        _ => Encryption::None,
    }
}
