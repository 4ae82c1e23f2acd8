//! From what the file says to what each crate wants to know.

use std::sync::Arc;
use std::time::Duration;

use envelope::{Clock, Mailbox, ModeRule, SystemClock, TrackingMode, TrackingModes};
use relay::event::Addresses;
use relay::{
    AddUnsubscribe, AddressPattern, ConfiguredSender, Delivery, Intake, LoginLimits, LoginOrder, OnDkim,
    OnSuppressed, OnUnavailable, Rate, Retry, Rewriting, Route, RouteLogin, Settings, TrackingDomain,
};
use rewrite::{LinkRules, PixelPosition};
use seal::Keys;
use store::{EvidenceRule, FeedbackKind, Store};
use track::{About, KeepAddress, KeepAgent, Keeping, Quota};
use upstream::{OAuthClient, Proxy, Tls, Tokens, Trust, Upstream, Vault};
use verdict::Rules;

use crate::certificates;
use crate::config::{self, Config};
use crate::house::Cellar;
use crate::key_file;
use crate::logging::Format;
use crate::purging::Terms;
use crate::rule_book;

/// What the relay runs on.
///
/// # Errors
/// When a file of certificates cannot be read any more.
pub(crate) fn settings(config: &Config) -> anyhow::Result<Settings> {
    let routes = config.upstreams.iter().map(|upstream| route(config, upstream));
    Ok(Settings {
        hostname: config.hostname.clone(),
        tracking_enabled: config.tracking.enabled,
        base_url: config.tracking.base_url.clone(),
        domains: config.tracking.domains.iter().map(domain).collect(),
        track_field: config.tracking.header.clone(),
        login_suffix: config.tracking.login_suffix,
        sticky: config.tracking.sticky,
        defaults: config.tracking.defaults,
        locked: config.tracking.locked,
        never_track: config.privacy.never_track.iter().map(pattern).collect(),
        modes: modes(&config.privacy),
        keep_subjects: !config.privacy.keep_subjects.is_zero(),
        about_field: config.privacy.about_field,
        rewriting: rewriting(&config.tracking),
        unsubscribe_mailto: config.unsubscribe.mailto.as_ref().map(ToString::to_string),
        on_suppressed: match config.unsubscribe.on_suppressed {
            config::OnSuppressed::Refuse => OnSuppressed::Refuse,
            config::OnSuppressed::Skip => OnSuppressed::Skip,
        },
        rewrite_time: config.limits.rewrite_time,
        login_order: config.login_order.iter().map(login_order).collect(),
        login_limits: LoginLimits { failures: config.throttle.failures, per: config.throttle.per },
        senders: config.senders.iter().map(sender).collect(),
        routes: routes.collect::<Result<_, _>>()?,
    })
}

/// Takes bounces and complaints, and does about them what the file says.
pub(crate) fn intake(
    config: &Config,
    store: Arc<dyn Store>,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
) -> Intake {
    let wanted = &config.unsubscribe;
    let suppress_on =
        [(wanted.also_on_bounce, FeedbackKind::Hard), (wanted.also_on_complaint, FeedbackKind::Complaint)];
    let suppress_on = suppress_on.into_iter().filter_map(|(is_wanted, kind)| is_wanted.then_some(kind));
    Intake::new(store, keys, clock).suppressing(suppress_on.collect())
}

/// Where things are kept.
pub(crate) fn cellar(config: &Config) -> Cellar {
    Cellar {
        store: config.store.database.clone(),
        spool: config.store.spool.clone(),
        low_disk: Some(config.store.low_disk),
        keys: config.store.signing_key_file.clone(),
    }
}

/// How many octets of queued content are in memory at once: as much as one large message and its copy need.
pub(crate) fn dispatched_octets(config: &Config) -> u64 {
    (config.limits.in_flight_octets / 4).max(config.limits.message_octets.saturating_mul(3))
}

/// What the tracking endpoint keeps of who asked.
pub(crate) fn keeps(config: &Config) -> (KeepAddress, KeepAgent) {
    let address = match config.privacy.store_ip {
        config::StoreIp::None => KeepAddress::None,
        config::StoreIp::Truncated => KeepAddress::Truncated,
        config::StoreIp::Full => KeepAddress::Full,
    };
    let agent = match config.privacy.store_agent {
        config::StoreAgent::None => KeepAgent::None,
        config::StoreAgent::Family => KeepAgent::Family,
        config::StoreAgent::Full => KeepAgent::Full,
    };
    (address, agent)
}

/// How long what is kept.
pub(crate) fn terms(config: &Config) -> Terms {
    // Nobody waits a day for settling: what is left by then, a crash left.
    let evidence = config.privacy.keep_evidence.unwrap_or(Duration::from_hours(24));
    Terms { events: config.privacy.keep_events, subjects: config.privacy.keep_subjects, evidence }
}

/// What the tracking endpoint keeps of hits.
pub(crate) fn keeping(config: &Config) -> Keeping {
    let privacy = &config.privacy;
    let mut modes = modes(privacy);
    // Mail to them may have been tracked before they were on the list.
    if !privacy.never_track.is_empty() {
        modes.rules.push(ModeRule {
            senders: vec![AddressPattern::Anyone],
            recipients: privacy.never_track.iter().map(pattern).collect(),
            mode: TrackingMode::Off,
        });
    }
    Keeping { honour_dnt: privacy.honour_dnt, modes, keep_events: privacy.keep_events }
}

/// What a recipient's page says of this installation; `None`: there is none.
pub(crate) fn about(config: &Config) -> Option<About> {
    let privacy = &config.privacy;
    privacy.recipient_page.then(|| About {
        contact: privacy.contact.clone(),
        keep_events: privacy.keep_events,
        address: match privacy.store_ip {
            config::StoreIp::None => KeepAddress::None,
            config::StoreIp::Truncated => KeepAddress::Truncated,
            config::StoreIp::Full => KeepAddress::Full,
        },
    })
}

/// How much may be kept about whom.
pub(crate) fn modes(privacy: &config::Privacy) -> TrackingModes {
    let patterns = |patterns: &[config::AddressPattern]| patterns.iter().map(pattern).collect();
    let rules = privacy.rules.iter().map(|rule| ModeRule {
        senders: patterns(&rule.senders),
        recipients: patterns(&rule.recipients),
        mode: rule.mode,
    });
    TrackingModes { general: privacy.mode, rules: rules.collect() }
}

/// The rules that opens and clicks are judged by.
///
/// # Errors
/// When a file that was right a moment ago is not any more.
pub(crate) fn rules(config: &Config) -> anyhow::Result<Rules> {
    let lists = Some(config.intel.lists.as_path()).filter(|lists| lists.exists());
    rule_book::read(config.intel.rules.as_deref(), lists).map_err(|troubles| {
        let told: Vec<String> = troubles.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the rules that people are told from machines by cannot be read: {}", told.join("; "))
    })
}

/// What becomes of evidence once a verdict is settled.
pub(crate) fn evidence(config: &Config) -> EvidenceRule {
    config.privacy.keep_evidence.map_or(EvidenceRule::Drop, EvidenceRule::KeepFor)
}

/// How the log looks: level, format, addresses.
pub(crate) fn log(config: &config::LogConfig) -> (&'static str, Format, Addresses) {
    let level = match config.level {
        config::LogLevel::Error => "error",
        config::LogLevel::Warn => "warn",
        config::LogLevel::Info => "info",
        config::LogLevel::Debug => "debug",
        config::LogLevel::Trace => "trace",
    };
    let format = match config.format {
        config::LogFormat::Auto => Format::Auto,
        config::LogFormat::Text => Format::Text,
        config::LogFormat::Json => Format::Json,
    };
    let addresses = match config.addresses {
        config::LogAddresses::Masked => Addresses::Masked,
        config::LogAddresses::Full => Addresses::Full,
        config::LogAddresses::None => Addresses::None,
    };
    (level, format, addresses)
}

/// One line for a person who asked whether the file is fine.
pub(crate) fn summary(config: &Config) -> String {
    let count = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    let mut summary = format!(
        "{}, {}, {} in the file, links go to {}",
        count(config.listeners.len(), "listener"),
        count(config.upstreams.len(), "upstream"),
        count(config.senders.len(), "sender"),
        config.tracking.base_url
    );
    if let Some(geo) = &config.geo {
        let built = jiff::Timestamp::from_millisecond(geo.built.unix_millis())
            .map(|built| built.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string());
        summary += &format!(", places by a map of {}", built.as_deref().unwrap_or("an unknown date"));
    }
    summary
}

/// Is this address, or alias, a `[[sender]]` of the file?
pub(crate) fn declares(config: &Config, address: &Mailbox) -> bool {
    config.senders.iter().any(|sender| {
        std::iter::once(&sender.address).chain(&sender.aliases).any(|own| own.same_mailbox(address))
    })
}

fn route(config: &Config, upstream: &config::UpstreamConfig) -> anyhow::Result<Route> {
    Ok(Route {
        senders: upstream.senders.iter().map(pattern).collect(),
        upstream: server(config, upstream)?,
        login: match &upstream.login {
            config::UpstreamLogin::Account(credentials) => RouteLogin::Account(credentials.clone()),
            config::UpstreamLogin::Tokens(oauth) => {
                RouteLogin::Tokens(Arc::new(tokens(config, upstream, oauth)?))
            }
            config::UpstreamLogin::PassThrough => RouteLogin::PassThrough,
            config::UpstreamLogin::None => RouteLogin::None,
        },
        pool: upstream.pool,
        from_must_match: upstream.from_must_match,
        on_dkim: match upstream.on_dkim {
            config::OnDkim::Keep => OnDkim::Keep,
            config::OnDkim::Strip => OnDkim::Strip,
        },
        delivery: match upstream.delivery {
            config::Delivery::Direct => Delivery::Direct,
            config::Delivery::Queue => Delivery::Queue,
        },
        on_unavailable: match upstream.on_unavailable {
            config::OnUnavailable::Defer => OnUnavailable::Defer,
            config::OnUnavailable::Queue => OnUnavailable::Queue,
        },
        fan_out: upstream.fan_out,
        fan_out_most: upstream.fan_out_most,
        retry: Retry {
            first: upstream.retry.first,
            longest: upstream.retry.longest,
            give_up: upstream.retry.give_up,
        },
        rate: upstream.rate.map(|rate| Rate { messages: rate.messages, per: rate.per }),
        unsubscribe: match upstream.unsubscribe.unwrap_or(config.unsubscribe.add) {
            config::AddUnsubscribe::Off => AddUnsubscribe::Off,
            config::AddUnsubscribe::WhenTracked => AddUnsubscribe::WhenTracked,
            config::AddUnsubscribe::Always => AddUnsubscribe::Always,
        },
    })
}

/// The provider's server, and how to reach it.
///
/// # Errors
/// When its file of certificates cannot be read any more.
pub(crate) fn server(config: &Config, upstream: &config::UpstreamConfig) -> anyhow::Result<Upstream> {
    let trust = match &upstream.ca_file {
        Some(file) => Trust::Roots(certificates::chain_of(file)?),
        None => Trust::System,
    };
    Ok(Upstream {
        name: upstream.name.clone(),
        host: upstream.host.clone(),
        port: upstream.port,
        tls: match upstream.tls {
            config::Encryption::Implicit => Tls::Implicit,
            config::Encryption::StartTls => Tls::StartTls,
            config::Encryption::None => Tls::None,
        },
        trust,
        helo: config.hostname.clone(),
        timeout: upstream.timeout,
        proxy: upstream.proxy.as_ref().map(|proxy| Proxy {
            host: proxy.host.clone(),
            port: proxy.port,
            login: proxy.login.clone(),
        }),
    })
}

/// The sign-ins of an upstream's mailboxes.
///
/// # Errors
/// When the keys they are sealed with cannot be read.
pub(crate) fn tokens(
    config: &Config,
    upstream: &config::UpstreamConfig,
    oauth: &config::OAuthConfig,
) -> anyhow::Result<Tokens> {
    // The authorisation server is not the provider's: the system's authorities vouch for it, except where
    // the operator named others for everything of this upstream.
    let client = OAuthClient {
        authorize_url: oauth.authorize_url.clone(),
        token_url: oauth.token_url.clone(),
        scope: oauth.scope.clone(),
        client_id: oauth.client_id.clone(),
        client_secret: oauth.client_secret.clone(),
        redirect_host: oauth.redirect_host.clone(),
        like: server(config, upstream)?,
    };
    Ok(Tokens::new(client, vault(config)?, Arc::new(SystemClock)))
}

/// Where sign-ins are kept: beside the keys that seal them.
///
/// # Errors
/// When the keys cannot be read, or made on the very first run.
pub(crate) fn vault(config: &Config) -> anyhow::Result<Vault> {
    let file = &config.store.signing_key_file;
    // Keys that are gone while there is a store are for `House` to judge, not for us to replace.
    let keys = if file.exists() || !config.store.database.exists() {
        key_file::read_or_make(file)?.derive("sign-ins at rest")
    } else {
        vec![]
    };
    let folder = file.parent().unwrap_or(std::path::Path::new(".")).join("oauth");
    Ok(Vault::new(folder, keys))
}

/// What the tracking endpoint bears.
pub(crate) fn endpoint_limits(config: &Config) -> track::Limits {
    let quota = |quota: config::TrackingQuota| Quota { requests: quota.requests, per: quota.per };
    track::Limits {
        per_address: Some(quota(config.limits.tracking_per_ip)),
        per_url: Some(quota(config.limits.tracking_per_url)),
        ..track::Limits::default()
    }
}

fn domain(domain: &config::TrackingDomain) -> TrackingDomain {
    let senders = domain.senders.iter().map(pattern).collect();
    TrackingDomain { senders, base_url: domain.base_url.clone() }
}

/// All that ever was ours: a mail quotes those of other senders and of earlier days.
fn other_base_urls(tracking: &config::Tracking) -> Vec<String> {
    let domains = tracking.domains.iter().map(|domain| &domain.base_url);
    std::iter::once(&tracking.base_url).chain(domains).chain(&tracking.old_base_urls).cloned().collect()
}

fn rewriting(tracking: &config::Tracking) -> Rewriting {
    let links = &tracking.links;
    let rules = LinkRules {
        keep: links.keep.clone(),
        keep_list_unsubscribe: links.keep_list_unsubscribe,
        keep_if_text_is_url: links.keep_if_text_is_url,
        keep_one_time: links.keep_one_time,
        keep_app_links: links.keep_app_links,
    };
    Rewriting {
        rules: Arc::new(rules),
        position: match tracking.pixel {
            config::PixelPosition::Auto => PixelPosition::Auto,
            config::PixelPosition::End => PixelPosition::End,
            config::PixelPosition::Start => PixelPosition::Start,
        },
        plain_text: links.plain_text,
        other_base_urls: Arc::new(other_base_urls(tracking)),
    }
}

fn pattern(pattern: &config::AddressPattern) -> AddressPattern {
    match pattern {
        config::AddressPattern::Anyone => AddressPattern::Anyone,
        config::AddressPattern::Domain(domain) => AddressPattern::Domain(domain.clone()),
        config::AddressPattern::Address(address) => AddressPattern::Address(address.to_string()),
    }
}

fn login_order(place: &config::LoginPlace) -> LoginOrder {
    match place {
        config::LoginPlace::Local => LoginOrder::Local,
        config::LoginPlace::Upstream => LoginOrder::Upstream,
    }
}

fn sender(sender: &config::SenderConfig) -> ConfiguredSender {
    ConfiguredSender {
        address: sender.address.clone(),
        aliases: sender.aliases.clone(),
        password_hash: sender.password_hash.as_ref().map(|hash| hash.expose().to_owned()),
        choice: sender.tracking,
    }
}
