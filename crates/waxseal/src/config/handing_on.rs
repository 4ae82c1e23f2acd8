use std::path::PathBuf;

use envelope::{CredentialKind, Credentials, Secret};

use super::address_pattern::AddressPattern;
use super::document::{Entry, Section};
use super::forms::{is_loopback, is_loopback_host, is_password};
use super::listening::encryption;
use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::{
    Delivery, Encryption, OAuthConfig, OnDkim, OnUnavailable, ProxyConfig, Rate, Retry, UpstreamConfig,
    UpstreamLogin,
};
use super::unsubscribing;

const PASSWORDS: [&str; 4] = [
    "upstream.*.password",
    "upstream.*.password_file",
    "upstream.*.password_env",
    "upstream.*.password_credential",
];

const OAUTH: [&str; 6] = [
    "upstream.*.oauth.provider",
    "upstream.*.oauth.authorize_url",
    "upstream.*.oauth.token_url",
    "upstream.*.oauth.scope",
    "upstream.*.oauth.client_id",
    "upstream.*.oauth.client_secret_file",
];

fn key_name(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

impl Resolving<'_> {
    /// Every `[upstream.NAME]`, in the order of the file.
    pub(super) fn upstreams(&mut self) -> Vec<UpstreamConfig> {
        let document = self.document;
        if document.upstreams.is_empty() && !document.has_odd_upstream && self.surroundings.hands_on {
            self.complaints.push(
                Complaint::new("there is no upstream to hand mail to").key("upstream").help(
                    "write [upstream.mine] with host = \"smtp.provider.example\" and auth = \"pass-through\"",
                ),
            );
        }
        let mut earlier: Vec<AddressPattern> = Vec::new();
        let mut upstreams = Vec::new();
        for section in &document.upstreams {
            self.is_reached(section, &earlier);
            earlier.extend(section.get::<Vec<AddressPattern>>("upstream.*.senders").unwrap_or_default());
            upstreams.extend(self.upstream(section));
        }
        upstreams
    }

    fn upstream(&mut self, section: &Section) -> Option<UpstreamConfig> {
        if section.own_name.is_empty()
            || section.own_name.chars().any(|c| !c.is_alphanumeric() && !"-_.".contains(c))
        {
            self.complaints.push(
                Complaint::new("the name of an upstream is made of letters, digits, `-`, `_` and `.`")
                    .key(&section.name)
                    .at(section.span.clone(), "other characters, or none"),
            );
        }
        if section.entry("upstream.*.host").is_none() {
            self.missing(
                &format!("{}.host", section.name),
                Some(section),
                "write host = \"smtp.provider.example\"",
            );
        }
        let host: Option<String> = section.get("upstream.*.host");
        let tls = section.get("upstream.*.tls").map(encryption);
        let port = match (section.entry("upstream.*.port"), tls) {
            (None, Some(Encryption::StartTls)) => Some(587),
            (None, Some(Encryption::None)) => Some(25),
            _ => section.get("upstream.*.port").and_then(|port: u64| u16::try_from(port).ok()),
        };
        self.stays_private(section, host.as_deref(), tls);
        self.is_somebody_else(section, host.as_deref(), port);
        if let Some(entry) = section.entry("upstream.*.ca_file") {
            self.pem_file(section, "upstream.*.ca_file", entry, "CERTIFICATE-----");
        }
        let login = self.login(section);
        self.can_queue(section);
        let retry = self.retry(section);
        let rate = self.rate(section);
        let count = |key| section.get(key).and_then(|n: u64| usize::try_from(n).ok());
        Some(UpstreamConfig {
            name: section.own_name.clone(),
            host: host?,
            port: port?,
            tls: tls?,
            ca_file: section.get("upstream.*.ca_file").map(|path: PathBuf| self.surroundings.path(&path)),
            senders: section.get("upstream.*.senders")?,
            login: login?,
            proxy: self.proxy(section),
            timeout: section.get("upstream.*.timeout")?,
            pool: count("upstream.*.pool")?,
            from_must_match: section.get("upstream.*.from_must_match")?,
            on_dkim: match section.get("upstream.*.on_dkim")? {
                "strip" => OnDkim::Strip,
                _ => OnDkim::Keep,
            },
            delivery: match section.get("upstream.*.delivery")? {
                "queue" => Delivery::Queue,
                _ => Delivery::Direct,
            },
            on_unavailable: match section.get("upstream.*.on_unavailable")? {
                "queue" => OnUnavailable::Queue,
                _ => OnUnavailable::Defer,
            },
            fan_out: section.get("upstream.*.fan_out")?,
            fan_out_most: count("upstream.*.fan_out_most")?,
            retry: retry?,
            rate,
            unsubscribe: unsubscribing::of_upstream(section),
        })
    }

    /// The queue hands on when the client is gone, so it needs a login of its own; copies need the queue.
    fn can_queue(&mut self, section: &Section) {
        let queues = section.get::<&str>("upstream.*.delivery") == Some("queue");
        let passes_through = section.get::<&str>("upstream.*.auth") == Some("pass-through");
        let wants = |key, word: &str| {
            section.entry(key).filter(|_| section.get::<&str>(key).is_some_and(|said| said == word))
        };
        let fans_out = section
            .entry("upstream.*.fan_out")
            .filter(|_| section.get::<bool>("upstream.*.fan_out") == Some(true));
        let waiting = [wants("upstream.*.delivery", "queue"), wants("upstream.*.on_unavailable", "queue")];
        for entry in waiting.into_iter().flatten().filter(|_| passes_through) {
            self.complaints.push(
                Complaint::new(format!("`{}` cannot be \"queue\" with auth = \"pass-through\"", entry.path))
                    .key(&entry.path)
                    .at(
                        entry.span.clone(),
                        "the login is the client's, and is gone when the mail is handed on later",
                    )
                    .help("use auth = \"login\" with an account for everybody, or hand on directly"),
            );
        }
        if let Some(entry) = fans_out.filter(|_| passes_through) {
            self.complaints.push(
                Complaint::new(format!("`{}` cannot be true with auth = \"pass-through\"", entry.path))
                    .key(&entry.path)
                    .at(entry.span.clone(), "copies are handed on later, when the client's login is gone")
                    .help("use auth = \"login\" with an account for everybody, or take this out"),
            );
        } else if let Some(entry) = fans_out.filter(|_| !queues && !section.is_wrong("upstream.*.delivery")) {
            self.complaints.push(
                Complaint::new(format!("`{}` needs delivery = \"queue\"", entry.path))
                    .key(&entry.path)
                    .at(entry.span.clone(), "the client hears one answer, and each copy has one of its own")
                    .help("add delivery = \"queue\", or take this out"),
            );
        }
    }

    fn retry(&mut self, section: &Section) -> Option<Retry> {
        let retry = Retry {
            first: section.get("upstream.*.retry.first")?,
            longest: section.get("upstream.*.retry.longest")?,
            give_up: section.get("upstream.*.retry.give_up")?,
        };
        let order = [
            (
                retry.first > retry.longest,
                "longest",
                "first",
                ["upstream.*.retry.longest", "upstream.*.retry.first"],
            ),
            (
                retry.longest > retry.give_up,
                "give_up",
                "longest",
                ["upstream.*.retry.give_up", "upstream.*.retry.longest"],
            ),
        ];
        for (_, more, less, keys) in order.into_iter().filter(|(wrong, ..)| *wrong) {
            let entry = keys.into_iter().find_map(|key| section.entry(key));
            self.complaints.extend(entry.map(|entry| {
                Complaint::new(format!(
                    "in `{}.retry`, `{more}` must not be shorter than `{less}`",
                    section.name
                ))
                .key(&entry.path)
                .at(entry.span.clone(), "does not fit the other")
                .help("the defaults are first = \"1m\", longest = \"1h\", give_up = \"3d\"")
            }));
        }
        Some(retry)
    }

    /// `None`: there is no such limit, or what is said of it is wrong, which has been said.
    fn rate(&mut self, section: &Section) -> Option<Rate> {
        let [messages, per] = ["upstream.*.rate.messages", "upstream.*.rate.per"];
        let (count, time) = (section.entry(messages), section.entry(per));
        if let (Some(entry), None) | (None, Some(entry)) = (count, time) {
            let missing = if count.is_none() { "messages" } else { "per" };
            self.complaints.push(
                Complaint::new(format!("`{}.rate.{missing}` is missing", section.name))
                    .key(format!("{}.rate.{missing}", section.name))
                    .at(entry.span.clone(), "says only the half of it")
                    .help("write rate = { messages = 30, per = \"1m\" }"),
            );
        }
        Some(Rate {
            messages: section.get(messages).and_then(|n: u64| u32::try_from(n).ok())?,
            per: section.get(per)?,
        })
    }

    /// An upstream that no sender ever reaches is a slip: all mail goes to another provider than was meant.
    fn is_reached(&mut self, section: &Section, earlier: &[AddressPattern]) {
        let senders: Vec<AddressPattern> = section.get("upstream.*.senders").unwrap_or_default();
        let taken = |pattern: &AddressPattern| earlier.iter().any(|other| other.covers(pattern));
        if !senders.is_empty() && senders.iter().all(taken) {
            let place = section.entry("upstream.*.senders").map_or(&section.span, |entry| &entry.span);
            self.complaints.push(
                Complaint::new(format!("`{}` would never be used", section.name))
                    .key(format!("{}.senders", section.name))
                    .at(place.clone(), "upstreams above take all of these senders")
                    .help(
                        "a sender uses the first upstream that matches: put the one with fewer senders first",
                    ),
            );
        }
    }

    fn stays_private(&mut self, section: &Section, host: Option<&str>, tls: Option<Encryption>) {
        if tls == Some(Encryption::None)
            && host.is_some_and(|host| !is_loopback_host(host))
            && let Some(entry) = section.entry("upstream.*.tls")
        {
            self.complaints.push(
                Complaint::new("mail would go to another machine in plain text")
                    .key(&entry.path)
                    .at(entry.span.clone(), "the host is not this machine")
                    .help("use `tls = \"implicit\"` or \"starttls\""),
            );
        }
    }

    /// Handing mail to one of our own listeners would hand it on again, and again.
    fn is_somebody_else(&mut self, section: &Section, host: Option<&str>, port: Option<u16>) {
        let document = self.document;
        let alone = [Section::default()];
        let listeners = if document.listeners.is_empty() { &alone[..] } else { &document.listeners[..] };
        let ours =
            listeners.iter().filter_map(|listener| listener.get::<std::net::SocketAddr>("smtp[].listen"));
        let mut here = ours.filter(|listen| is_loopback(listen.ip()) || listen.ip().is_unspecified());
        if host.is_some_and(is_loopback_host) && here.any(|listen| Some(listen.port()) == port) {
            let keys = ["upstream.*.port", "upstream.*.host"];
            let entry = keys.iter().find_map(|key| section.entry(key));
            self.complaints.extend(entry.map(|entry| {
                Complaint::new(format!("`{}` is Waxseal itself", section.name))
                    .key(&entry.path)
                    .at(entry.span.clone(), "a listener of this file: mail would go round in circles")
            }));
        }
    }

    fn login(&mut self, section: &Section) -> Option<UpstreamLogin> {
        let Some(auth) = section.entry("upstream.*.auth") else {
            let help = "write auth = \"login\" (one account for everybody), \"xoauth2\" (a sign-in for each mailbox), \"pass-through\" (what the client logged in with) or \"none\"";
            self.missing(&format!("{}.auth", section.name), Some(section), help);
            return None;
        };
        let kind: &str = section.get("upstream.*.auth")?;
        if kind != "xoauth2"
            && let Some(entry) = OAUTH.iter().find_map(|key| section.entry(key))
        {
            self.belongs_to(entry, "auth = \"xoauth2\"");
        }
        if kind != "login" {
            for entry in
                std::iter::once("upstream.*.username").chain(PASSWORDS).filter_map(|key| section.entry(key))
            {
                self.belongs_to(entry, "auth = \"login\"");
            }
            return match kind {
                "none" => Some(UpstreamLogin::None),
                "xoauth2" => self.oauth(section, auth).map(UpstreamLogin::Tokens),
                _ => Some(UpstreamLogin::PassThrough),
            };
        }
        if section.entry("upstream.*.username").is_none() {
            self.complaints.push(
                Complaint::new(format!("`{}.username` is missing", section.name))
                    .key(format!("{}.username", section.name))
                    .at(auth.span.clone(), "needs a login")
                    .help("write username = \"relay@example.com\""),
            );
        }
        let password = self.password(section, auth);
        Some(UpstreamLogin::Account(Credentials {
            login: section.get("upstream.*.username")?,
            password: password?,
            kind: CredentialKind::Password,
        }))
    }

    /// What the operator registered, with the provider's own addresses filled in.
    fn oauth(&mut self, section: &Section, auth: &Entry) -> Option<OAuthConfig> {
        let needs = |name: &str, help: &str| {
            Complaint::new(format!("`{}.oauth.{name}` is missing", section.name))
                .key(format!("{}.oauth.{name}", section.name))
                .at(auth.span.clone(), "needs a registration with the provider")
                .help(help.to_owned())
        };
        if !OAUTH.iter().any(|key| section.entry(key).is_some()) {
            self.complaints.push(
                Complaint::new(format!("`{}.oauth` is missing", section.name))
                    .key(format!("{}.oauth", section.name))
                    .at(auth.span.clone(), "needs a registration with the provider")
                    .help("write oauth = { provider = \"google\", client_id = \"…\", client_secret_file = \"…\" }"),
            );
            return None;
        }
        let (authorize_url, token_url, scope, redirect_host) =
            match section.get("upstream.*.oauth.provider")? {
                "google" => (
                    "https://accounts.google.com/o/oauth2/v2/auth",
                    "https://oauth2.googleapis.com/token",
                    "https://mail.google.com/",
                    "127.0.0.1",
                ),
                "microsoft" => (
                    "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
                    "https://login.microsoftonline.com/common/oauth2/v2.0/token",
                    "https://outlook.office.com/SMTP.Send offline_access",
                    // The one whose port may be any.
                    "localhost",
                ),
                _ => ("", "", "", "127.0.0.1"),
            };
        let mut text = |key, preset: &str| {
            let name = key_name(key);
            let stated: Option<String> = section.get(key);
            let text = stated.or_else(|| (!preset.is_empty()).then(|| preset.to_owned()));
            if text.is_none() && !section.is_wrong(key) {
                let help =
                    "write oauth = { provider = \"google\", client_id = \"…\", client_secret_file = \"…\" }";
                self.complaints.push(needs(name, help));
            }
            text
        };
        let authorize_url = text(OAUTH[1], authorize_url);
        let token_url = text(OAUTH[2], token_url);
        let scope = text(OAUTH[3], scope);
        let client_id = text(OAUTH[4], "");
        let client_secret = match section.entry(OAUTH[5]) {
            None => None,
            Some(entry) => Some(self.secret_in(section, OAUTH[5], entry)?),
        };
        Some(OAuthConfig {
            authorize_url: authorize_url?,
            token_url: token_url?,
            scope: scope?,
            client_id: client_id?,
            client_secret,
            redirect_host: redirect_host.to_owned(),
        })
    }

    fn secret_in(&mut self, section: &Section, key: &'static str, entry: &Entry) -> Option<Secret> {
        let gives_none = |why| {
            Complaint::new(format!("`{}` gives no secret", entry.path))
                .key(&entry.path)
                .at(entry.span.clone(), why)
        };
        let found = match self.surroundings.read(&section.get::<PathBuf>(key)?) {
            Ok(text) => only_line(&text).map_err(gives_none),
            Err(why) => Err(gives_none(why).help("name the file that holds it")),
        };
        found.map_err(|complaint| self.complaints.push(complaint)).ok()
    }

    fn proxy(&mut self, section: &Section) -> Option<ProxyConfig> {
        let proxy: ProxyConfig = section.get("upstream.*.proxy")?;
        if let Some(entry) = section.entry("upstream.*.proxy")
            && proxy.login.is_some()
            && self.surroundings.readable_by_all
        {
            self.complaints.push(
                Complaint::new(format!("`{}` can be read by everybody on this machine", entry.path))
                    .key(&entry.path)
                    .at(entry.key_span.clone(), "a password in a file that all may read")
                    .help(format!("run: chmod o= {}", quoted(self.surroundings.file))),
            );
        }
        Some(proxy)
    }

    /// From the one place that is named. Nothing that is said here shows what stands there.
    fn password(&mut self, section: &Section, auth: &Entry) -> Option<Secret> {
        let mut given = PASSWORDS.iter().filter_map(|key| Some((*key, section.entry(key)?)));
        let Some((key, entry)) = given.next() else {
            self.complaints.push(
                Complaint::new(format!("`{}.password` is missing", section.name))
                    .key(format!("{}.password", section.name))
                    .at(auth.span.clone(), "needs a password")
                    .help("write password_file, password_env or password_credential (or password, if only you can read this file)"),
            );
            return None;
        };
        for (_, more) in given {
            self.complaints.push(
                Complaint::new(format!("`{}` is one password too many", more.path))
                    .key(&more.path)
                    .at(more.key_span.clone(), "there is another")
                    .help("keep one of password, password_file, password_env and password_credential"),
            );
        }
        let found = match key {
            "upstream.*.password" => return self.inline_password(section, entry),
            "upstream.*.password_file" => self.surroundings.read(&section.get::<PathBuf>(key)?),
            "upstream.*.password_env" => self.surroundings.variable(&section.get::<String>(key)?),
            _ => self.surroundings.credential(&section.get::<String>(key)?),
        };
        let gives_none = |why| {
            Complaint::new(format!("`{}` gives no password", entry.path))
                .key(&entry.path)
                .at(entry.span.clone(), why)
        };
        let found = match found {
            Ok(text) => only_line(&text).map_err(gives_none),
            Err(why) => Err(gives_none(why).help("name where the password is, do not write it here")),
        };
        found.map_err(|complaint| self.complaints.push(complaint)).ok()
    }

    fn inline_password(&mut self, section: &Section, entry: &Entry) -> Option<Secret> {
        if self.surroundings.readable_by_all {
            self.complaints.push(
                Complaint::new(format!("`{}` can be read by everybody on this machine", entry.path))
                    .key(&entry.path)
                    .at(entry.key_span.clone(), "a password in a file that all may read")
                    .help(format!("run: chmod o= {}", quoted(self.surroundings.file))),
            );
        }
        section.get("upstream.*.password")
    }
}

/// A password as editors and `echo` write it into a file: one line end does not belong to it.
fn only_line(text: &str) -> Result<Secret, &'static str> {
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    match line {
        "" => Err("it is empty"),
        line if is_password(line) => Ok(Secret::new(line)),
        _ => Err("it holds more than one line"),
    }
}

/// `text` as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
