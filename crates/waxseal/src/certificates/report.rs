use envelope::{Clock, SystemClock, Timestamp};

use super::acme::{Record, kept};
use super::folder::Folder;
use super::names;
use super::pair::{Pair, day};
use crate::config::{AcmeConfig, Certificate, Challenge, Config};

/// Something about the certificates that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Something does not work; if not, all is well or will be.
    pub(crate) is_mistake: bool,
    pub(crate) key: &'static str,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Finding {
    fn note(key: &'static str, message: String) -> Self {
        Self { is_mistake: false, key, message, help: None }
    }

    fn mistake(key: &'static str, message: String, help: &str) -> Self {
        Self { is_mistake: true, key, message, help: Some(help.to_owned()) }
    }
}

/// So long before the end somebody should have put a new one in the files.
const SOON_DAYS: u64 = 14;
const DAY_SECONDS: u64 = 86_400;

/// What is to be said about the certificates at this moment. Reads files, asks nobody.
pub(crate) fn findings(config: &Config, now: Timestamp) -> Vec<Finding> {
    match &config.certificate {
        Certificate::None => vec![],
        Certificate::SelfSigned => vec![Finding::note(
            "tls.mode",
            "the certificate is self-signed: mail programs and browsers will complain".into(),
        )],
        Certificate::Files { cert_file, key_file } => {
            // What cannot be read or used has been said by who read the configuration.
            let pem = std::fs::read(cert_file).ok().zip(std::fs::read(key_file).ok());
            let pair = pem.and_then(|(chain, key)| Pair::from_pem(&chain, &key).ok());
            pair.map(|pair| of_files(config, &pair, now)).unwrap_or_default()
        }
        Certificate::Acme(acme) => of_acme(config, acme, now),
    }
}

/// The same to the log, at the start; what becomes of each name under ACME its keeper tells.
pub(crate) fn log(config: &Config) {
    let findings = match &config.certificate {
        Certificate::Acme(acme) => ports(config, acme).into_iter().collect(),
        _ => findings(config, SystemClock.now()),
    };
    for Finding { is_mistake, message, help, .. } in findings {
        let help = help.unwrap_or_default();
        if is_mistake {
            tracing::error!(help, "{message}");
        } else {
            tracing::info!("{message}");
        }
    }
}

fn of_files(config: &Config, pair: &Pair, now: Timestamp) -> Vec<Finding> {
    const KEY: &str = "tls.cert_file";
    let mut findings = Vec::new();
    let until = day(pair.not_after());
    if pair.has_expired(now) {
        let message = format!("the certificate expired on {until}");
        findings.push(Finding::mistake(
            KEY,
            message,
            "put a new one there; a running Waxseal takes it by itself",
        ));
    } else if !pair.has_begun(now) {
        let message = "the certificate is not valid yet".to_owned();
        findings.push(Finding::mistake(KEY, message, "is this machine's clock right?"));
    } else if pair.left(now).as_secs() < SOON_DAYS * DAY_SECONDS {
        findings.push(Finding::note(KEY, format!("the certificate ends on {until}")));
    }
    if config.tracking.tls {
        for host in names::tracking(&config.tracking).iter().filter(|host| !pair.covers(host)) {
            findings.push(Finding::mistake(
                KEY,
                format!("the certificate is not for {host}, where pixels and links point"),
                "get one with all names in it, or change the base_url",
            ));
        }
    }
    if names::speaks_tls_to_mail_programs(config) && !pair.covers(&config.hostname) {
        // Mail programs may know us by another name.
        findings.push(Finding::note(
            KEY,
            format!(
                "the certificate is not for `server.hostname`, {}: mail programs must be set up with a name it is for",
                config.hostname
            ),
        ));
    }
    findings
}

fn of_acme(config: &Config, acme: &AcmeConfig, now: Timestamp) -> Vec<Finding> {
    const KEY: &str = "tls.mode";
    let folder = Folder::of(config);
    let mut findings: Vec<Finding> = names::all(config)
        .iter()
        .map(|name| {
            let record = Record::read(&folder, name);
            let state = match kept(&folder, name) {
                Ok(Some(pair)) if pair.has_expired(now) => {
                    format!("its certificate expired on {}", day(pair.not_after()))
                }
                Ok(Some(pair)) => format!(
                    "certificate until {}, renewal about {}",
                    day(pair.not_after()),
                    day(record.due(Some(&pair), acme, now).max(now))
                ),
                Ok(None) => "no certificate yet; a self-signed one is shown until there is".to_owned(),
                Err(why) => format!("the certificate kept for it cannot be used ({why})"),
            };
            let mut message = format!("{name}: {state}");
            if let (Some(problem), Some(next)) = (&record.problem, &record.next_try) {
                message += &format!("; the last try failed ({problem}), the next is at {next}");
            }
            Finding { help: record.problem.and(record.hint), ..Finding::note(KEY, message) }
        })
        .collect();
    findings.extend(ports(config, acme));
    findings
}

/// The authority asks at one port only.
fn ports(config: &Config, acme: &AcmeConfig) -> Option<Finding> {
    let (asked, port) = match acme.challenge {
        Challenge::TlsAlpn01 => (443, config.tracking.listen.port()),
        Challenge::Http01 => (80, config.tracking.plain_http?.port()),
    };
    let message =
        format!("the authority asks at port {asked}; something must pass that on to port {port} here");
    (port != asked).then(|| Finding::note("tls.challenge", message))
}
