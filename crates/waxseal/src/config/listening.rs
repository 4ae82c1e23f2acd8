use std::net::SocketAddr;
use std::ops::Range;

use envelope::Mailbox;

use super::document::{Entry, Section};
use super::forms::is_loopback;
use super::network::Network;
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{AcmeConfig, Certificate, Challenge, Encryption, Listener, Role, Tracking};
use crate::certificates::{Pair, PairError, names};

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
        }
        if mode != "acme" {
            let set = ["tls.email", "tls.directory_ca_file"].into_iter().chain(self.not_default_for_acme());
            for entry in set.filter_map(|key| root.entry(key)) {
                self.belongs_to(entry, "mode = \"acme\"");
            }
        }
        match mode {
            "acme" => return self.acme().map(Certificate::Acme),
            "self-signed" => return Some(Certificate::SelfSigned),
            "files" => {}
            _ => return Some(Certificate::None),
        }
        let before = self.complaints.len();
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
        let (cert_file, key_file) = (path("tls.cert_file")?, path("tls.key_file")?);
        if self.complaints.len() == before {
            self.pair();
        }
        Some(Certificate::Files { cert_file, key_file })
    }

    /// Do the two files, which can be read, belong together?
    fn pair(&mut self) {
        let root = &self.document.root;
        let text = |key| self.surroundings.read(&root.get::<std::path::PathBuf>(key)?).ok();
        let Some((chain, key)) = text("tls.cert_file").zip(text("tls.key_file")) else { return };
        let Err(why) = Pair::from_pem(chain.as_bytes(), key.as_bytes()) else { return };
        let at_fault = if why.is_about_the_key() { "tls.key_file" } else { "tls.cert_file" };
        self.complaints.extend(root.entry(at_fault).map(|entry| {
            let complaint = Complaint::new(format!("the file of `{at_fault}` cannot be used"));
            let complaint = complaint.key(at_fault).at(entry.span.clone(), why.to_string());
            match why {
                PairError::Mismatch => complaint.help("name the key that the certificate was made with"),
                PairError::EncryptedKey => {
                    complaint.help("write it without one: openssl pkey -in OLD -out NEW")
                }
                _ => complaint,
            }
        }));
    }

    /// The defaults may be written down whatever the mode is.
    fn not_default_for_acme(&self) -> impl Iterator<Item = &'static str> + use<> {
        let root = &self.document.root;
        let default = Section::default();
        let differs = |key: &&'static str| root.get::<&str>(key) != default.get::<&str>(key);
        ["tls.directory", "tls.challenge"].into_iter().filter(differs).collect::<Vec<_>>().into_iter()
    }

    fn acme(&mut self) -> Option<AcmeConfig> {
        let root = &self.document.root;
        if let Some(entry) = root.entry("tls.directory_ca_file") {
            self.pem_file(root, "tls.directory_ca_file", entry, "CERTIFICATE-----");
        }
        if root.entry("tls.email").is_none() {
            let mode = root.entry("tls.mode").map_or(0..0, |entry| entry.span.clone());
            self.complaints.push(
                Complaint::new("`tls.email` is missing")
                    .key("tls.email")
                    .at(mode, "the authority wants to know whom to write to")
                    .help("under [tls], write email = \"postmaster@example.com\""),
            );
        }
        let directory: String = root.get("tls.directory")?;
        if !directory.starts_with("https:") {
            self.complaints.extend(root.entry("tls.directory").map(|entry| {
                Complaint::new("`tls.directory` must be an https URL")
                    .key(&entry.path)
                    .at(entry.span.clone(), "ACME is spoken over TLS only (RFC 8555 section 6.1)")
                    .help("for an authority of your own, name its certificate in `tls.directory_ca_file`")
            }));
        }
        let ca_file = root.get("tls.directory_ca_file");
        Some(AcmeConfig {
            email: root.get::<Mailbox>("tls.email")?.as_str().to_owned(),
            directory,
            challenge: match root.get("tls.challenge")? {
                "http-01" => Challenge::Http01,
                _ => Challenge::TlsAlpn01,
            },
            directory_ca_file: ca_file.map(|path: std::path::PathBuf| self.surroundings.path(&path)),
        })
    }

    /// Can the authority get at us, and are our names such that it vouches for?
    pub(super) fn acme_can_work(
        &mut self,
        certificate: Option<&Certificate>,
        tracking: Option<&Tracking>,
        listeners: &[Listener],
        hostname: &str,
    ) {
        let Some(Certificate::Acme(acme)) = certificate else { return };
        let root = &self.document.root;
        let mail = listeners.iter().any(|listener| listener.tls != Encryption::None);
        let Some(tracking) = tracking else { return };
        if !mail && !tracking.tls {
            self.at(
                root,
                "tls.mode",
                "nothing here speaks TLS, so there is no use for a certificate",
                "asks for one",
                "write an https:// base_url under [tracking], or a [[smtp]] with `tls`, or mode = \"none\"",
            );
            return;
        }
        if acme.challenge == Challenge::TlsAlpn01 && !tracking.tls {
            let key = if root.entry("tls.challenge").is_some() { "tls.challenge" } else { "tls.mode" };
            self.at(
                root,
                key,
                "the tracking endpoint answers tls-alpn-01, and it speaks plain HTTP here",
                "cannot be answered",
                "write challenge = \"http-01\", or an https:// base_url under [tracking]",
            );
        }
        if acme.challenge == Challenge::Http01 && tracking.plain_http.is_none() {
            self.at(
                root,
                "tracking.plain_http",
                "http-01 is answered by the plain listener, and it is off",
                "off",
                "take it out, or write challenge = \"tls-alpn-01\" under [tls]",
            );
        }
        if mail && !names::is_public(hostname) {
            let key = if root.entry("server.hostname").is_some() { "server.hostname" } else { "tls.mode" };
            self.at(
                root,
                key,
                "no authority vouches for the name of the mail listeners",
                &format!("the name is {hostname}"),
                "under [server], write hostname = \"relay.example.com\", a name that the world knows",
            );
        }
        let hosts = if tracking.tls { names::tracking(tracking) } else { vec![] };
        for host in hosts.iter().filter(|host| !names::is_public(host)) {
            self.at(
                root,
                if *host == names::host_of(&tracking.base_url) { "tracking.base_url" } else { "tls.mode" },
                "no authority vouches for the host of a base_url",
                &format!("{host} is not a name that the world knows"),
                "use a name like t.example.com, or mode = \"self-signed\" for a test",
            );
        }
    }

    /// Where plain HTTP is listened for, if at all.
    pub(super) fn plain_http(
        &mut self,
        certificate: &Certificate,
        tls: bool,
        listen: SocketAddr,
    ) -> Option<SocketAddr> {
        let root = &self.document.root;
        let own: Option<SocketAddr> =
            root.entry("tracking.plain_http_listen").and(root.get("tracking.plain_http_listen"));
        let for_authority =
            matches!(certificate, Certificate::Acme(acme) if acme.challenge == Challenge::Http01);
        let is_on = root.get("tracking.plain_http") != Some("off");
        let entry = root.entry("tracking.plain_http_listen");
        match entry {
            Some(entry) if !is_on => self.belongs_to(entry, "plain_http = \"redirect\""),
            Some(entry) if !tls && !for_authority => {
                self.belongs_to(entry, "an endpoint that speaks TLS itself");
            }
            _ => {}
        }
        let is_used = for_authority || (tls && (own.is_some() || listen.port() == 443));
        (is_on && is_used).then(|| own.unwrap_or(SocketAddr::new(listen.ip(), 80)))
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
                "under [tls], write mode = \"acme\" with email, mode = \"files\" with cert_file and key_file, or mode = \"self-signed\" for a test");
        }
    }

    /// Tokens must not travel in plain text, and we do not speak TLS there.
    pub(super) fn console(&mut self) -> Option<SocketAddr> {
        let listen: SocketAddr = self.document.root.get("console.listen")?;
        if is_loopback(listen.ip()) {
            return Some(listen);
        }
        let place = self.document.root.entry("console.listen").map_or(0..0, |entry| entry.span.clone());
        self.complaints.push(
            Complaint::new("the API would take tokens without TLS from the network")
                .key("console.listen")
                .at(place, "reachable from other machines")
                .help(
                    "listen on 127.0.0.1, with a proxy that speaks TLS in front for those who are elsewhere",
                ),
        );
        None
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
        taken.extend(document.root.get("console.listen").map(|l| (l, document.root.entry("console.listen"))));
        taken.extend(tracking.map(|tracking| (tracking.listen, document.root.entry("tracking.listen"))));
        let plain = tracking.and_then(|tracking| tracking.plain_http);
        taken.extend(plain.map(|plain| (plain, document.root.entry("tracking.plain_http_listen"))));
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
