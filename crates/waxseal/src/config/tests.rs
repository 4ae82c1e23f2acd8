use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use envelope::{Choice, Credentials, Mailbox, TrackingMode};

use super::keys::{KEYS, Kind};
use super::surroundings::Surroundings;
use super::*;

const MINIMAL: &str = r#"
[tracking]
base_url = "http://t.example.com"

[upstream.mine]
host = "smtp.provider.example"
auth = "pass-through"
"#;

fn parsed(text: &str) -> Config {
    parse(text, "test.toml", Path::new("/etc/waxseal"))
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn said(text: &str) -> String {
    parse(text, "test.toml", Path::new("/etc/waxseal")).unwrap_err().to_string()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

/// Every default at once.
#[test]
#[allow(clippy::too_many_lines, reason = "every setting there is, at its default")]
fn the_shortest_file_that_runs() {
    let hostname = surroundings::system_host_name();
    let address = |text: &str| -> SocketAddr { text.parse().unwrap() };
    assert_eq!(
        parsed(MINIMAL),
        Config {
            hostname,
            listeners: vec![Listener {
                role: Role::Submission,
                listen: address("127.0.0.1:2525"),
                tls: Encryption::None,
                login_required: true,
                allow_from: None,
                sender: None,
            }],
            certificate: Certificate::None,
            tracking: Tracking {
                enabled: true,
                base_url: "http://t.example.com".into(),
                listen: address("127.0.0.1:8081"),
                tls: false,
                domains: vec![],
                old_base_urls: vec![],
                plain_http: None,
                trusted_proxies: vec![],
                proxy_protocol: false,
                contact: None,
                defaults: Choice::NONE,
                locked: Choice::NONE,
                sticky: true,
                header: "X-Waxseal-Track".into(),
                login_suffix: true,
                links: Links {
                    plain_text: false,
                    keep: vec![],
                    keep_list_unsubscribe: true,
                    keep_if_text_is_url: true,
                    keep_one_time: true,
                    keep_app_links: true,
                },
                pixel: PixelPosition::Auto,
            },
            upstreams: vec![UpstreamConfig {
                name: "mine".into(),
                host: "smtp.provider.example".into(),
                port: 465,
                tls: Encryption::Implicit,
                ca_file: None,
                senders: vec![AddressPattern::Anyone],
                login: UpstreamLogin::PassThrough,
                timeout: Duration::from_mins(1),
                proxy: None,
                pool: 20,
                from_must_match: true,
                on_dkim: OnDkim::Keep,
                delivery: Delivery::Direct,
                on_unavailable: OnUnavailable::Defer,
                fan_out: false,
                fan_out_most: 20,
                retry: Retry {
                    first: Duration::from_mins(1),
                    longest: Duration::from_hours(1),
                    give_up: Duration::from_hours(72),
                },
                rate: None,
                unsubscribe: None,
            }],
            unsubscribe: Unsubscribe {
                add: AddUnsubscribe::Off,
                mailto: None,
                on_suppressed: OnSuppressed::Refuse,
                also_on_bounce: false,
                also_on_complaint: false,
            },
            login_order: vec![LoginPlace::Local, LoginPlace::Upstream],
            throttle: Throttle { failures: 5, per: Duration::from_mins(15) },
            senders: vec![],
            privacy: Privacy {
                store_ip: StoreIp::Truncated,
                store_agent: StoreAgent::Family,
                never_track: vec![],
                mode: TrackingMode::Full,
                rules: vec![],
                keep_events: Duration::from_hours(24 * 400),
                keep_subjects: Duration::from_hours(24 * 400),
                keep_evidence: None,
                honour_dnt: true,
                recipient_page: true,
                about_field: false,
                contact: None,
            },
            console: None,
            geo: None,
            intel: IntelConfig { rules: None, lists: std::path::PathBuf::from("/var/lib/waxseal/intel") },
            store: StoreConfig {
                database: "/var/lib/waxseal/waxseal.db".into(),
                spool: "/var/lib/waxseal/spool".into(),
                signing_key_file: "/var/lib/waxseal/links.key".into(),
                low_disk: 500_000_000,
            },
            limits: LimitsConfig {
                message_octets: 35_000_000,
                recipients: 100,
                connections: 200,
                connections_per_address: 50,
                in_flight_octets: 256_000_000,
                rewrite_time: Duration::from_secs(2),
                tracking_per_ip: TrackingQuota { requests: 120, per: Duration::from_mins(1) },
                tracking_per_url: TrackingQuota { requests: 2_000, per: Duration::from_hours(1) },
                shutdown_grace: Duration::from_secs(30),
            },
            log: LogConfig {
                level: LogLevel::Info,
                format: LogFormat::Auto,
                addresses: LogAddresses::Masked,
            },
        }
    );
}

/// Each key does something: set to another value, it changes what the program runs on. With every
/// available key in the list, none is accepted and then forgotten.
#[test]
fn every_key_is_heard() {
    type Keys = &'static [(&'static str, &'static str)];
    const HASH: &str =
        "'$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g'";
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["t.example.com".to_owned()]).unwrap();
    for name in ["cert.pem", "cert2.pem"] {
        fs::write(folder.path().join(name), made.cert.pem()).unwrap();
    }
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.path().join("password"), "hunter2\n").unwrap();
    fs::write(folder.path().join("verdicts.toml"), verdict::Rules::builtin_text()).unwrap();
    fs::create_dir(folder.path().join("lists")).unwrap();
    // One node of a tree, one country: as small as a map gets.
    let map = include_bytes!("../../../../tests/config/one_country.mmdb");
    fs::write(folder.path().join("map.mmdb"), map).unwrap();
    let https: &[(&str, &str)] = &[("tracking.base_url", "'https://t.example.com'"), ("tls.mode", "'none'")];
    let login: Keys = &[("upstream.*.auth", "'login'"), ("upstream.*.username", "'a'")];
    let none: Keys = &[("upstream.*.auth", "'none'")];
    let queue: Keys = &[("upstream.*.auth", "'none'"), ("upstream.*.delivery", "'queue'")];
    let oauth: Keys = &[
        ("upstream.*.auth", "'xoauth2'"),
        ("upstream.*.oauth.provider", "'google'"),
        ("upstream.*.oauth.client_id", "'id'"),
    ];
    let secure: Keys = &[("tls.mode", "'self-signed'"), ("tracking.base_url", "'https://t.example.com'")];
    let acme: Keys = &[
        ("tls.mode", "'acme'"),
        ("tls.email", "'ops@example.com'"),
        ("tracking.base_url", "'https://t.example.com'"),
    ];
    let rule: Keys = &[
        ("privacy.rule[].senders", "['*@example.net']"),
        ("privacy.rule[].recipients", "['kim@example.net']"),
        ("privacy.rule[].mode", "'off'"),
    ];
    let ana: Keys = &[("sender[].address", "'ana@example.com'")];
    // The key, what stands beside it, and a value that is not the default.
    let table: &[(&str, Keys, &str)] = &[
        ("server.hostname", &[], "'relay.example.com'"),
        ("smtp[].listen", &[], "'127.0.0.1:2526'"),
        ("smtp[].role", &[], "'feedback'"),
        ("smtp[].tls", &[("tls.mode", "'self-signed'")], "'starttls'"),
        ("smtp[].auth", &[], "'none'"),
        ("smtp[].allow_from", &[], "['127.0.0.0/8']"),
        ("smtp[].as", &[("smtp[].auth", "'none'")], "'ops@example.com'"),
        ("tls.mode", &[], "'self-signed'"),
        ("tls.cert_file", &[("tls.mode", "'files'"), ("tls.key_file", "'key.pem'")], "'cert.pem'"),
        ("tls.key_file", &[("tls.mode", "'files'"), ("tls.cert_file", "'cert.pem'")], "'key.pem'"),
        ("tls.email", acme, "'hostmaster@example.com'"),
        ("tls.directory", acme, "'https://ca.example.com/dir'"),
        ("tls.directory_ca_file", acme, "'cert.pem'"),
        ("tls.challenge", acme, "'http-01'"),
        ("tracking.enabled", &[], "false"),
        ("tracking.base_url", &[], "'http://u.example.com/'"),
        ("tracking.listen", &[], "'0.0.0.0:80'"),
        ("tracking.plain_http", secure, "'off'"),
        ("tracking.plain_http_listen", secure, "'127.0.0.1:8080'"),
        ("tracking.trusted_proxies", &[], "['10.0.0.0/8']"),
        ("tracking.defaults.opens", &[], "true"),
        ("tracking.defaults.links", &[], "true"),
        ("tracking.locked", &[], "['links']"),
        ("tracking.sticky", &[], "'off'"),
        ("tracking.header", &[], "'X-Track'"),
        ("tracking.login_suffix", &[], "false"),
        ("tracking.links.plain_text", &[], "true"),
        ("tracking.links.keep", &[], "['*.example.com/*']"),
        ("tracking.links.keep_list_unsubscribe", &[], "false"),
        ("tracking.links.keep_if_text_is_url", &[], "false"),
        ("tracking.links.keep_one_time", &[], "false"),
        ("tracking.links.keep_app_links", &[], "false"),
        ("tracking.opens.position", &[], "'start'"),
        ("unsubscribe.add", https, "'when-tracked'"),
        ("unsubscribe.mailto", &[], "'u@example.com'"),
        ("unsubscribe.on_suppressed", &[], "'skip'"),
        ("upstream.*.unsubscribe", https, "'always'"),
        ("upstream.*.host", &[], "'192.0.2.1'"),
        ("upstream.*.port", &[], "2465"),
        ("upstream.*.tls", &[], "'starttls'"),
        ("upstream.*.ca_file", &[], "'cert.pem'"),
        ("upstream.*.senders", &[], "['*@example.com', 'ana@example.org']"),
        ("upstream.*.auth", &[], "'none'"),
        ("upstream.*.username", &[("upstream.*.auth", "'login'"), ("upstream.*.password", "'p'")], "'b'"),
        ("upstream.*.password", login, "'inline'"),
        ("upstream.*.password_file", login, "'password'"),
        ("upstream.*.password_env", login, "'P'"),
        ("upstream.*.password_credential", login, "'password'"),
        ("upstream.*.timeout", &[], "'2m'"),
        ("upstream.*.pool", &[], "7"),
        ("upstream.*.proxy", &[], "'socks5://ana:p%40ss@[::1]:1080'"),
        ("upstream.*.oauth.provider", oauth, "'microsoft'"),
        ("upstream.*.oauth.authorize_url", oauth, "'https://id.example.com/a?x=y'"),
        ("upstream.*.oauth.token_url", oauth, "'http://127.0.0.1:8080/t'"),
        ("upstream.*.oauth.scope", oauth, "'smtp'"),
        ("upstream.*.oauth.client_id", oauth, "'other'"),
        ("upstream.*.oauth.client_secret_file", oauth, "'password'"),
        ("upstream.*.on_dkim", &[], "'strip'"),
        ("upstream.*.delivery", none, "'queue'"),
        ("upstream.*.on_unavailable", none, "'queue'"),
        ("upstream.*.fan_out", queue, "true"),
        ("upstream.*.fan_out_most", &[], "9"),
        ("upstream.*.retry.first", &[], "'2m'"),
        ("upstream.*.retry.longest", &[], "'2h'"),
        ("upstream.*.retry.give_up", &[], "'4d'"),
        ("upstream.*.rate.messages", &[("upstream.*.rate.per", "'1m'")], "9"),
        ("upstream.*.rate.per", &[("upstream.*.rate.messages", "9")], "'2m'"),
        ("upstream.*.from_must_match", &[], "false"),
        ("unsubscribe.also_on", &[], "['complaint']"),
        ("auth.order", &[], "['upstream']"),
        ("auth.throttle.failures", &[], "7"),
        ("auth.throttle.per", &[], "'1h'"),
        ("sender[].address", &[], "'kim@example.com'"),
        ("sender[].aliases", ana, "['sales@example.com']"),
        ("sender[].password_hash", ana, HASH),
        ("sender[].tracking.opens", ana, "true"),
        ("sender[].tracking.links", ana, "false"),
        ("privacy.store_ip", &[], "'none'"),
        ("privacy.store_agent", &[], "'full'"),
        ("privacy.never_track", &[], "['*@example.org']"),
        ("privacy.mode", &[], "'pseudonymous'"),
        ("privacy.keep_events", &[], "'30d'"),
        ("privacy.keep_subjects", &[], "'0d'"),
        ("privacy.keep_evidence", &[], "'90d'"),
        ("privacy.honour_dnt", &[], "false"),
        ("privacy.recipient_page", &[], "false"),
        ("privacy.about_field", &[], "true"),
        ("privacy.contact", &[], "'privacy@example.com'"),
        ("privacy.rule[].senders", rule, "['*@example.com']"),
        ("privacy.rule[].recipients", rule, "['*@example.org']"),
        ("privacy.rule[].mode", &[("privacy.rule[].senders", "['*@example.com']")], "'off'"),
        ("store.url", &[], "'sqlite:waxseal.db'"),
        ("store.spool", &[], "'spool'"),
        ("store.signing_key_file", &[], "'links.key'"),
        ("store.low_disk", &[], "'1GB'"),
        ("limits.message_size", &[], "'1MB'"),
        ("limits.recipients", &[], "7"),
        ("limits.connections", &[], "8"),
        ("limits.connections_per_address", &[], "9"),
        ("limits.in_flight", &[], "'1GB'"),
        ("limits.rewrite_time", &[], "'100ms'"),
        ("limits.tracking_per_ip.requests", &[], "7"),
        ("limits.tracking_per_ip.per", &[], "'2m'"),
        ("limits.tracking_per_url.requests", &[], "7"),
        ("limits.tracking_per_url.per", &[], "'2m'"),
        ("tracking.proxy_protocol", &[("tracking.trusted_proxies", "['10.0.0.1']")], "true"),
        ("tracking.old_base_urls", &[], "['https://old.example.com']"),
        ("tracking.contact", &[], "'https://example.com/security'"),
        ("tracking.domain[].base_url", &[("tracking.domain[].senders", "['*']")], "'http://go.example.org'"),
        ("tracking.domain[].senders", &[("tracking.domain[].base_url", "'http://go.example.org'")], "['*']"),
        ("limits.shutdown_grace", &[], "'0s'"),
        ("console.listen", &[], "'127.0.0.1:8082'"),
        ("intel.rules", &[], "'verdicts.toml'"),
        ("intel.lists", &[], "'lists'"),
        ("privacy.geo", &[("privacy.geo_db", "'map.mmdb'")], "'city'"),
        ("privacy.geo_db", &[("privacy.geo", "'country'")], "'map.mmdb'"),
        ("log.level", &[], "'debug'"),
        ("log.format", &[], "'json'"),
        ("log.addresses", &[], "'full'"),
    ];
    let environment = |name: &str| -> Option<OsString> {
        match name {
            "P" => Some("from P".into()),
            "CREDENTIALS_DIRECTORY" => Some(folder.path().into()),
            _ => None,
        }
    };
    let surroundings = Surroundings {
        file: "test.toml",
        base: folder.path(),
        readable_by_all: false,
        hands_on: true,
        environment: &environment,
    };
    for (path, beside, value) in table {
        let mut file: toml::Table = MINIMAL.parse().unwrap();
        for (path, value) in *beside {
            set(&mut file, path, value);
        }
        let without = check(&file.to_string(), "test.toml", &surroundings);
        set(&mut file, path, value);
        let with = check(&file.to_string(), "test.toml", &surroundings);
        let with = with.unwrap_or_else(|problems| panic!("{path}: {problems}\n{file}"));
        assert_ne!(Ok(with), without, "{path} is accepted and forgotten");
    }
    let heard: BTreeSet<&str> = table.iter().map(|(path, ..)| *path).collect();
    // These can only be what they are; everything else is refused.
    let fixed = ["schema", "tracking.on_failure", "privacy.keep_bodies"];
    let known: BTreeSet<&str> = KEYS
        .iter()
        .filter(|key| key.is_available() && !key.is_holder() && !fixed.contains(&key.path))
        .map(|key| key.path)
        .collect();
    assert_eq!(heard, known);
}

/// Sets the key of the table of keys at `path`, in the first `[[table]]` or in `[upstream.mine]`.
fn set(file: &mut toml::Table, path: &str, value: &str) {
    let (tables, name) = path.rsplit_once('.').unwrap();
    let mut table = file;
    for step in tables.split('.') {
        let (step, is_list) =
            step.strip_suffix("[]").map_or((step.replace('*', "mine"), false), |s| (s.into(), true));
        let empty = toml::Value::Table(toml::Table::new());
        let inner =
            table.entry(step).or_insert(if is_list { toml::Value::Array(vec![empty]) } else { empty });
        table = match inner {
            toml::Value::Array(items) => items[0].as_table_mut().unwrap(),
            other => other.as_table_mut().unwrap(),
        };
    }
    let value: toml::Table = format!("value = {value}").parse().unwrap();
    table.insert(name.to_owned(), value["value"].clone());
}

#[test]
fn the_table_of_keys_is_in_order() {
    let paths: BTreeSet<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(paths.len(), KEYS.len(), "a key is there twice");
    for key in KEYS {
        let holder = key.holder();
        let holder = holder.strip_suffix("[]").or(holder.strip_suffix(".*")).unwrap_or(holder);
        let is_held = holder.is_empty() || KEYS.iter().any(|other| other.path == holder && other.is_holder());
        assert!(is_held, "nothing holds {}", key.path);
        if key.is_available() {
            assert!(key.doc.ends_with('.') && key.doc.len() <= 130, "{}: {:?}", key.path, key.doc);
        }
        if let keys::Preset::Default(text) = key.preset {
            let value = toml::de::DeValue::parse(text).unwrap();
            let mut complaints = Vec::new();
            assert!(
                reading::read(key, key.path, &value, &mut complaints).is_some(),
                "{}: {complaints:?}",
                key.path
            );
        }
    }
    assert!(KEYS.iter().any(|key| matches!(key.kind, Kind::Later)));
}

#[test]
fn passwords_come_from_one_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("plain", "hunter2"), ("unix", "hunter2\n"), ("windows", "hunter2\r\n"), ("two", "hunter2\n\n")]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let environment = |name: &str| -> Option<OsString> {
        match name {
            "GOOD" => Some("hunter2".into()),
            "EMPTY" => Some("".into()),
            "CREDENTIALS_DIRECTORY" => Some(folder.path().into()),
            _ => None,
        }
    };
    let surroundings = Surroundings {
        file: "test.toml",
        base: folder.path(),
        readable_by_all: false,
        hands_on: true,
        environment: &environment,
    };
    for (line, expected) in [
        ("password = \"hunter2\"", Ok(())),
        ("password_file = \"plain\"", Ok(())),
        ("password_file = \"unix\"", Ok(())),
        ("password_file = \"windows\"", Ok(())),
        ("password_file = \"two\"", Err("it holds more than one line")),
        ("password_file = \"three\"", Err("there is no such file")),
        ("password_file = \".\"", Err("it is not a file")),
        ("password_env = \"GOOD\"", Ok(())),
        ("password_env = \"EMPTY\"", Err("it is empty")),
        ("password_env = \"MISSING\"", Err("there is no such environment variable")),
        ("password_env = \"A=B\"", Err("not the name of an environment variable")),
        ("password_credential = \"unix\"", Ok(())),
        ("password_credential = \"three\"", Err("there is no such file")),
        ("password_credential = \"../unix\"", Err("not the name of a credential")),
        ("password_credential = \"..\"", Err("not the name of a credential")),
        ("password_credential = \"/etc/passwd\"", Err("not the name of a credential")),
    ] {
        let text = MINIMAL.replace("\"pass-through\"", "\"login\"\nusername = \"ana\"") + line;
        match (check(&text, "test.toml", &surroundings), expected) {
            (Ok(config), Ok(())) => {
                let login = Credentials::with_password("ana", "hunter2");
                assert_eq!(config.upstreams[0].login, UpstreamLogin::Account(login), "{line}");
                assert!(!format!("{config:?}").contains("hunter2"), "{line}");
            }
            (Err(problems), Err(why)) => {
                assert!(problems.to_string().contains(why), "{line}: {problems}");
                assert_eq!(problems.len(), 1, "{line}: {problems}");
            }
            (found, _) => panic!("{line}: {found:?}"),
        }
    }
}

#[test]
fn upstreams_stay_in_the_order_of_the_file() {
    let upstream = |name: &str, senders: &str| {
        format!("[upstream.{name}]\nhost = \"h.example\"\nauth = \"none\"\nsenders = [\"{senders}\"]\n")
    };
    let text = upstream("z", "*@z.example") + &upstream("\"b.c\"", "ana@b.example") + &upstream("a", "*");
    let config = parsed(&(text + "[tracking]\nbase_url = \"http://t.example\"\n"));
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["z", "b.c", "a"]);
    assert_eq!(config.upstreams[1].senders, [AddressPattern::Address(mailbox("ana@b.example"))]);
}

#[test]
fn what_follows_from_what() {
    let config = |old: &str, new: &str| parsed(&MINIMAL.replace(old, new));
    let auth = "auth = \"pass-through\"";
    for (tls, port) in [("implicit", 465), ("starttls", 587)] {
        assert_eq!(config(auth, &format!("{auth}\ntls = \"{tls}\"")).upstreams[0].port, port);
    }
    let here = config("\"smtp.provider.example\"", "\"[::1]\"\ntls = \"none\"");
    assert_eq!((here.upstreams[0].host.as_str(), here.upstreams[0].port), ("::1", 25));

    // Who speaks TLS at the tracking endpoint, and where it then listens.
    let https = MINIMAL.replace("http:", "https:");
    for (mode, tls, listen) in [("self-signed", true, "0.0.0.0:443"), ("none", false, "127.0.0.1:8081")] {
        let config = parsed(&format!("{https}\n[tls]\nmode = \"{mode}\"\n"));
        assert_eq!((config.tracking.tls, config.tracking.listen.to_string().as_str()), (tls, listen));
    }
    // Port 80 goes with 443, and with nothing else that did not ask for it.
    let tls = |tracking: &str, mode: &str| {
        let text = https.replace("[upstream", &format!("{tracking}\n[upstream"));
        parsed(&format!("{text}\n[tls]\n{mode}")).tracking.plain_http.map(|address| address.to_string())
    };
    let acme = "mode = \"acme\"\nemail = \"ops@example.com\"\n";
    let http_01 = format!("{acme}challenge = \"http-01\"\n");
    for (tracking, mode, expected) in [
        ("", "mode = \"self-signed\"", Some("0.0.0.0:80")),
        ("plain_http = \"off\"", "mode = \"self-signed\"", None),
        ("listen = \"[::]:443\"", "mode = \"self-signed\"", Some("[::]:80")),
        ("listen = \"0.0.0.0:8443\"", "mode = \"self-signed\"", None),
        (
            "listen = \"0.0.0.0:8443\"\nplain_http_listen = \"0.0.0.0:8080\"",
            "mode = \"self-signed\"",
            Some("0.0.0.0:8080"),
        ),
        ("", "mode = \"none\"", None),
        ("plain_http = \"redirect\"", "mode = \"none\"", None),
        ("listen = \"0.0.0.0:8443\"", acme, None),
        ("listen = \"0.0.0.0:8443\"", &http_01, Some("0.0.0.0:80")),
    ] {
        assert_eq!(tls(tracking, mode).as_deref(), expected, "{tracking} {mode}");
    }
    let plain = parsed(&format!("{MINIMAL}\n[tls]\nmode = \"self-signed\"\n"));
    assert!(!plain.tracking.tls, "http:// makes the endpoint speak plain HTTP");

    for (written, kept) in [
        ("https://t.example.com/", "https://t.example.com"),
        ("https://t.example.com:8443", "https://t.example.com:8443"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("https://192.0.2.1", "https://192.0.2.1"),
    ] {
        let text = https.replace("https://t.example.com", written) + "\n[tls]\nmode = \"none\"\n";
        assert_eq!(parsed(&text).tracking.base_url, kept);
    }
    for (url, path) in [
        ("sqlite:///var/a.db", "/var/a.db"),
        ("sqlite:/var/a.db", "/var/a.db"),
        ("sqlite:a.db", "/etc/waxseal/a.db"),
        ("sqlite:sub/a.db", "/etc/waxseal/sub/a.db"),
    ] {
        let config = parsed(&format!("{MINIMAL}\n[store]\nurl = \"{url}\"\n"));
        assert_eq!(config.store.database, Path::new(path), "{url}");
    }
    // Only one of two switches is set: the other is off.
    let sender = "\n[[sender]]\naddress = \"ana@example.com\"\n";
    assert_eq!(parsed(&format!("{MINIMAL}{sender}")).senders[0].tracking, None);
    let one = parsed(&format!("{MINIMAL}{sender}tracking = {{ links = true }}\n"));
    assert_eq!(one.senders[0].tracking, Some(Choice { opens: false, links: true }));
}

#[test]
fn certificate_and_key_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let made = || rcgen::generate_simple_self_signed(vec!["t.example.com".to_owned()]).unwrap();
    let (one, other) = (made(), made());
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (name, text) in [
        ("cert.pem", one.cert.pem()),
        ("key.pem", one.signing_key.serialize_pem()),
        ("other.pem", other.signing_key.serialize_pem()),
        ("both.pem", one.cert.pem() + &one.signing_key.serialize_pem()),
        ("encrypted.pem", encrypted.to_owned()),
        ("half.pem", one.cert.pem()[..100].to_owned()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for (certificate, key, expected) in [
        ("cert.pem", "key.pem", None),
        ("both.pem", "both.pem", None),
        ("cert.pem", "other.pem", Some("the private key is another certificate's")),
        ("cert.pem", "encrypted.pem", Some("openssl pkey")),
        ("half.pem", "key.pem", Some("a certificate in it cannot be read")),
        ("cert.pem", "cert.pem", Some("no PEM section that ends in PRIVATE KEY-----")),
    ] {
        let text = format!(
            "{MINIMAL}\n[tls]\nmode = \"files\"\ncert_file = \"{certificate}\"\nkey_file = \"{key}\"\n"
        );
        match (parse(&text, "test.toml", folder.path()), expected) {
            (Ok(_), None) => {}
            (Err(problems), Some(why)) => {
                assert!(problems.to_string().contains(why) && problems.len() == 1, "{problems}");
            }
            (found, _) => panic!("{certificate} {key}: {found:?}"),
        }
    }
}

/// A listener that only this machine reaches may do without; so may a door that names who may come.
#[test]
fn listeners_that_are_fine() {
    for (listener, tls) in [
        ("listen = \"[::1]:2525\"", Encryption::None),
        ("listen = \"127.1.2.3:0\"\nauth = \"none\"", Encryption::None),
        ("listen = \"0.0.0.0:2525\"\nauth = \"none\"\nallow_from = [\"10.0.0.0/8\"]", Encryption::None),
        ("listen = \"0.0.0.0:465\"\ntls = \"implicit\"", Encryption::Implicit),
        (
            "listen = \"0.0.0.0:465\"\ntls = \"implicit\"\nauth = \"none\"\nallow_from = [\"10.0.0.0/8\"]",
            Encryption::Implicit,
        ),
    ] {
        let config = parsed(&format!("{MINIMAL}\n[tls]\nmode = \"self-signed\"\n[[smtp]]\n{listener}\n"));
        assert_eq!(config.listeners[0].tls, tls);
    }
    // Port 0 is another one each time.
    let free = "[[smtp]]\nlisten = \"127.0.0.1:0\"\n";
    assert_eq!(parsed(&format!("{MINIMAL}{free}{free}")).listeners.len(), 2);
    assert!(
        said(&format!(
            "{MINIMAL}\n[[smtp]]\nlisten = \"0.0.0.0:8081\"\nauth = \"none\"\nallow_from = [\"10.0.0.0/8\"]"
        ))
        .contains("two listeners cannot share")
    );
}

#[test]
fn failing_to_read_says_how() {
    for (kind, expected) in [
        (io::ErrorKind::NotFound, ProblemKind::NotFound),
        (io::ErrorKind::PermissionDenied, ProblemKind::NoPermission),
        (io::ErrorKind::FileTooLarge, ProblemKind::Config),
        (io::ErrorKind::IsADirectory, ProblemKind::Config),
    ] {
        let problems = unreadable("waxseal.toml", &kind.into());
        assert_eq!((problems.kind(), problems.len()), (expected, 1));
        assert!(problems.to_string().ends_with("waxseal.toml: 1 problem(s) found; nothing was changed.\n"));
    }
}

#[test]
fn several_tracking_domains() {
    let config = parsed(&format!(
        "[tracking]\nbase_url = \"http://t.example.com\"\nold_base_urls = [\"http://old.example.com/\"]\n\
         trusted_proxies = [\"10.0.0.5\"]\nproxy_protocol = true\ncontact = \"mailto:security@example.com\"\n\
         [[tracking.domain]]\nbase_url = \"http://go.example.net/\"\nsenders = [\"ana@example.org\"]\n\
         [[tracking.domain]]\nbase_url = \"http://go.example.org\"\nsenders = [\"*@example.org\"]\n\
         [limits]\ntracking_per_ip = {{ requests = 7 }}\ntracking_per_url = {{ per = \"1d\" }}\n{}",
        MINIMAL.replace("[tracking]\nbase_url = \"http://t.example.com\"\n", "")
    ));
    let tracking = &config.tracking;
    let urls: Vec<&str> = tracking.domains.iter().map(|domain| domain.base_url.as_str()).collect();
    assert_eq!(urls, ["http://go.example.net", "http://go.example.org"], "in the order of the file");
    assert_eq!(tracking.old_base_urls, ["http://old.example.com"]);
    assert!(tracking.proxy_protocol);
    assert_eq!(tracking.contact.as_deref(), Some("mailto:security@example.com"));
    let quota = |requests, per| TrackingQuota { requests, per };
    assert_eq!(config.limits.tracking_per_ip, quota(7, Duration::from_mins(1)));
    assert_eq!(config.limits.tracking_per_url, quota(2_000, Duration::from_hours(24)));
}
