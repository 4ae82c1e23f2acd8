use std::collections::HashSet;
use std::path::{Path, PathBuf};

use envelope::{Choice, Mailbox};

use super::document::{Document, Entry, Section};
use super::network::Network;
use super::problems::Complaint;
use super::settings::{
    Certificate, Config, IntelConfig, LimitsConfig, Links, Listener, LogAddresses, LogConfig, LogFormat,
    LogLevel, LoginPlace, PixelPosition, SenderConfig, StoreConfig, Throttle, Tracking, UpstreamConfig,
    UpstreamLogin,
};
use super::surroundings::{Surroundings, system_host_name};
use crate::rule_book;

/// As the table of keys has it.
const DEFAULT_LISTS: &str = "/var/lib/waxseal/intel";

/// Turns what the file says into what the program runs on, and finds what is wrong between its keys.
pub(super) struct Resolving<'a> {
    pub document: &'a Document,
    pub surroundings: &'a Surroundings<'a>,
    pub complaints: &'a mut Vec<Complaint>,
}

impl Resolving<'_> {
    /// `None` when something is missing, which has been said.
    pub(super) fn config(&mut self) -> Option<Config> {
        let root = &self.document.root;
        // Each says all that is wrong in its part, so none may keep the next from speaking.
        let certificate = self.certificate();
        let listeners = self.listeners(certificate.as_ref());
        let tracking = self.tracking(certificate.as_ref());
        let console = self.console();
        self.addresses(tracking.as_ref());
        let upstreams = self.upstreams();
        let login_order = self.login_order(&upstreams, &listeners);
        let unsubscribe = self.unsubscribe(&upstreams);
        let senders = self.senders();
        let limits = self.limits();
        let intel = self.intel();
        let geo = self.geo();

        let hostname = match root.entry("server.hostname") {
            None => system_host_name(),
            Some(_) => root.get("server.hostname")?,
        };
        self.acme_can_work(certificate.as_ref(), tracking.as_ref(), &listeners, &hostname);
        Some(Config {
            hostname,
            listeners,
            certificate: certificate?,
            tracking: tracking?,
            upstreams,
            unsubscribe: unsubscribe?,
            login_order: login_order?,
            throttle: Throttle {
                failures: root.get("auth.throttle.failures").and_then(|n: u64| u32::try_from(n).ok())?,
                per: root.get("auth.throttle.per")?,
            },
            senders,
            privacy: self.privacy()?,
            console,
            geo: geo?,
            intel: intel?,
            store: self.store()?,
            limits: limits?,
            log: self.log()?,
        })
    }

    fn tracking(&mut self, certificate: Option<&Certificate>) -> Option<Tracking> {
        let root = &self.document.root;
        if root.entry("tracking.base_url").is_none() {
            self.missing(
                "tracking.base_url",
                None,
                "write base_url = \"https://t.example.com\" under [tracking]",
            );
        }
        let base_url: String = root.get("tracking.base_url")?;
        let secure = base_url.starts_with("https:");
        if secure && let (None, Some(entry)) = (root.entry("tls.mode"), root.entry("tracking.base_url")) {
            let complaint = Complaint::new("`tracking.base_url` is https, and it is not said who speaks TLS")
                .key("tls.mode")
                .at(entry.span.clone(), "`tls.mode` is missing")
                .help("under [tls], write mode = \"acme\" with email, mode = \"files\" with cert_file and key_file, or mode = \"none\" if a proxy in front of Waxseal does TLS");
            self.complaints.push(complaint);
        }
        let tls = secure && !matches!(certificate?, Certificate::None);
        let listen = match root.entry("tracking.listen") {
            None if tls => "0.0.0.0:443".parse().ok(),
            _ => root.get("tracking.listen"),
        };
        let domains = self.domains(&base_url);
        let trusted_proxies: Vec<Network> = root.get("tracking.trusted_proxies")?;
        let proxy_protocol = self.announcing(trusted_proxies.len());
        let plain_http = self.plain_http(certificate?, tls, listen?);
        let switches = |key| {
            root.get(key).map(|words: Vec<&str>| Choice {
                opens: words.contains(&"opens"),
                links: words.contains(&"links"),
            })
        };
        Some(Tracking {
            enabled: root.get("tracking.enabled")?,
            base_url,
            listen: listen?,
            tls,
            plain_http,
            domains,
            old_base_urls: root.get("tracking.old_base_urls")?,
            trusted_proxies,
            proxy_protocol: proxy_protocol?,
            contact: root.get("tracking.contact"),
            defaults: Choice {
                opens: root.get("tracking.defaults.opens")?,
                links: root.get("tracking.defaults.links")?,
            },
            locked: switches("tracking.locked")?,
            sticky: root.get::<&str>("tracking.sticky")? == "last-used",
            header: root.get("tracking.header")?,
            login_suffix: root.get("tracking.login_suffix")?,
            links: Links {
                plain_text: root.get("tracking.links.plain_text")?,
                keep: root.get("tracking.links.keep")?,
                keep_list_unsubscribe: root.get("tracking.links.keep_list_unsubscribe")?,
                keep_if_text_is_url: root.get("tracking.links.keep_if_text_is_url")?,
                keep_one_time: root.get("tracking.links.keep_one_time")?,
                keep_app_links: root.get("tracking.links.keep_app_links")?,
            },
            pixel: match root.get("tracking.opens.position")? {
                "end" => PixelPosition::End,
                "start" => PixelPosition::Start,
                _ => PixelPosition::Auto,
            },
        })
    }

    /// A pass-through login is right if the provider takes it, so somebody has to ask the provider.
    fn login_order(
        &mut self,
        upstreams: &[UpstreamConfig],
        listeners: &[Listener],
    ) -> Option<Vec<LoginPlace>> {
        let root = &self.document.root;
        let order: Vec<LoginPlace> = root
            .get::<Vec<&str>>("auth.order")?
            .into_iter()
            .map(|word| if word == "local" { LoginPlace::Local } else { LoginPlace::Upstream })
            .collect();
        // The default asks everybody.
        let Some(entry) = root.entry("auth.order") else { return Some(order) };
        let passes_through =
            upstreams.iter().find(|upstream| matches!(upstream.login, UpstreamLogin::PassThrough));
        let complain = |message: &str, label: String, help: &str| {
            Complaint::new(message).key(&entry.path).at(entry.span.clone(), label).help(help)
        };
        match passes_through {
            Some(upstream) if !order.contains(&LoginPlace::Upstream) => self.complaints.push(complain(
                "`auth.order` leaves out the upstream",
                format!("the pass-through upstream `{}` is never asked", upstream.name),
                "add \"upstream\"",
            )),
            None if !order.contains(&LoginPlace::Local)
                && listeners.iter().any(|listener| listener.login_required) =>
            {
                self.complaints.push(complain(
                    "nobody could log in like this",
                    "no upstream has auth = \"pass-through\"".to_owned(),
                    "add \"local\"",
                ));
            }
            _ => {}
        }
        Some(order)
    }

    fn senders(&mut self) -> Vec<SenderConfig> {
        let mut taken = HashSet::new();
        let document = self.document;
        document.senders.iter().filter_map(|section| self.sender(section, &mut taken)).collect()
    }

    fn sender(&mut self, section: &Section, taken: &mut HashSet<String>) -> Option<SenderConfig> {
        if section.entry("sender[].address").is_none() {
            self.missing("sender.address", Some(section), "write address = \"ana@example.com\"");
        }
        let address: Option<Mailbox> = section.get("sender[].address");
        let aliases: Vec<(Mailbox, _)> = section.get("sender[].aliases").unwrap_or_default();
        let own = section.entry("sender[].address").zip(address.clone());
        let own = own.map(|(entry, address)| (address, entry.span.clone(), entry));
        let others = section.entry("sender[].aliases").into_iter();
        let others = others
            .flat_map(|entry| aliases.iter().map(move |(alias, span)| (alias.clone(), span.clone(), entry)));
        for (mailbox, span, entry) in own.into_iter().chain(others) {
            if !taken.insert(mailbox.as_str().to_ascii_lowercase()) {
                self.complaints.push(
                    Complaint::new("an address can be only one sender's")
                        .key(&entry.path)
                        .at(span, "declared before")
                        .help("take it out here or there"),
                );
            }
        }

        let switch = |key: &'static str| section.get::<bool>(key);
        let (opens, links) = (switch("sender[].tracking.opens"), switch("sender[].tracking.links"));
        let chose = opens.is_some() || links.is_some();
        Some(SenderConfig {
            address: address?,
            aliases: aliases.into_iter().map(|(alias, _)| alias).collect(),
            password_hash: section.get("sender[].password_hash"),
            tracking: chose.then(|| Choice { opens: opens.unwrap_or(false), links: links.unwrap_or(false) }),
        })
    }

    /// Reads the rules and lists: a mistake in them is better told now than when mail is opened.
    fn intel(&mut self) -> Option<IntelConfig> {
        let root = &self.document.root;
        let path = |key| root.get(key).map(|path: PathBuf| self.surroundings.path(&path));
        let (rules, lists) = (path("intel.rules"), path("intel.lists"));
        if root.is_wrong("intel.rules") {
            return None;
        }
        let lists = lists?;
        // The folder need not be there unless somebody went out of the way to name it.
        let is_named = lists != Path::new(DEFAULT_LISTS);
        let folder = Some(lists.as_path()).filter(|lists| is_named || lists.exists());
        // The built-in ones are right.
        let is_own = rules.is_some() || folder.is_some();
        if is_own && let Err(troubles) = rule_book::read(rules.as_deref(), folder) {
            for mut trouble in troubles {
                let is_rules = rules.as_ref().is_some_and(|rules| trouble.file == *rules);
                let key = if is_rules { "intel.rules" } else { "intel.lists" };
                if let Ok(beside) = trouble.file.strip_prefix(self.surroundings.base) {
                    trouble.file = beside.to_owned();
                }
                let complaint = Complaint::new(format!("`{key}`: {trouble}")).key(key);
                self.complaints.push(match root.entry(key) {
                    Some(entry) => complaint.at(entry.span.clone(), "cannot be used"),
                    None => complaint.help("mend the file, or take it away: there are lists built in"),
                });
            }
            return None;
        }
        Some(IntelConfig { rules, lists })
    }

    fn store(&self) -> Option<StoreConfig> {
        let path = |key| self.document.root.get(key).map(|path: PathBuf| self.surroundings.path(&path));
        Some(StoreConfig {
            database: path("store.url")?,
            spool: path("store.spool")?,
            low_disk: self.document.root.get("store.low_disk")?,
            signing_key_file: path("store.signing_key_file")?,
        })
    }

    fn limits(&mut self) -> Option<LimitsConfig> {
        let root = &self.document.root;
        let count = |key| root.get(key).and_then(|n: u64| usize::try_from(n).ok());
        let limits = LimitsConfig {
            message_octets: root.get("limits.message_size")?,
            recipients: count("limits.recipients")?,
            connections: count("limits.connections")?,
            connections_per_address: count("limits.connections_per_address")?,
            in_flight_octets: root.get("limits.in_flight")?,
            rewrite_time: root.get("limits.rewrite_time")?,
            tracking_per_ip: self.quota("limits.tracking_per_ip.requests", "limits.tracking_per_ip.per")?,
            tracking_per_url: self
                .quota("limits.tracking_per_url.requests", "limits.tracking_per_url.per")?,
            shutdown_grace: root.get("limits.shutdown_grace")?,
        };
        if limits.in_flight_octets / 2 < limits.message_octets {
            let entry = root.entry("limits.in_flight").or_else(|| root.entry("limits.message_size"));
            self.complaints.extend(entry.map(|entry| {
                Complaint::new("`limits.in_flight` must be at least twice `limits.message_size`")
                    .key(&entry.path)
                    .at(entry.span.clone(), "one large message would keep out all others")
            }));
        }
        Some(limits)
    }

    fn log(&self) -> Option<LogConfig> {
        let root = &self.document.root;
        Some(LogConfig {
            level: match root.get("log.level")? {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => LogLevel::Info,
            },
            format: match root.get("log.format")? {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => LogFormat::Auto,
            },
            addresses: match root.get("log.addresses")? {
                "full" => LogAddresses::Full,
                "none" => LogAddresses::None,
                _ => LogAddresses::Masked,
            },
        })
    }

    /// `path` is not set and has to be.
    pub(super) fn missing(&mut self, path: &str, section: Option<&Section>, help: &str) {
        let complaint = Complaint::new(format!("`{path}` is missing")).key(path).help(help);
        self.complaints.push(match section {
            Some(section) => complaint.at(section.span.clone(), "this table needs it"),
            None => complaint,
        });
    }

    /// `entry` is set and belongs to another choice.
    pub(super) fn belongs_to(&mut self, entry: &Entry, choice: &str) {
        self.complaints.push(
            Complaint::new(format!("`{}` belongs to {choice}", entry.path))
                .key(&entry.path)
                .at(entry.key_span.clone(), "has no effect here")
                .help("take it out, or change the choice"),
        );
    }
}
