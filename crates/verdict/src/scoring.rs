use crate::agent::{Client, System};
use crate::finding::Finding;
use crate::networks::{Class, Networks};
use crate::reading::Section;
use crate::sight::Sight;
use crate::{Confidence, Kind, Verdict};

/// `[scored]`: small pieces of evidence added up, for agents that look like a person's.
#[derive(Debug)]
pub(crate) struct Scoring {
    click_scanner_at: i32,
    open_scanner_at: i32,
    human_at: i32,
    leaning_human_at: i32,
    chrome_stable_major: u32,
    stale_majors: u32,
    very_stale_majors: u32,
    delivery_window_s: f64,
    instant_s: f64,
    gateway_window_s: f64,
    follow_up_s: f64,
    gateway_mx: Vec<String>,
    weights: Vec<(Feature, i32)>,
}

/// One piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    StaleChrome,
    VeryStaleChrome,
    UnreducedDesktopChrome,
    ImpossiblePlatform,
    NoSecFetch,
    NoSecFetchSchemeUnknown,
    SecFetchTooEarly,
    NoClientHints,
    NoAcceptLanguage,
    AcceptNotHtml,
    ClientHintsMismatch,
    CloudNet,
    CloudNetInWindow,
    NamedNet,
    InDeliveryWindow,
    Instant,
    GatewayMxInWindow,
    FollowsOtherSource,
    SecFetchUser,
    SecFetchNavigate,
    SecFetchImage,
    ClientHintsMatch,
    MailProgram,
    BareWebkit,
    AccessNetwork,
    SeenBeforeHuman,
    SseNet,
    RelayNetFullSafari,
}

use Feature as F;

/// Codes, in the order reasons are told; each has its sentence.
pub(crate) const FEATURES: &[(Feature, &str)] = &[
    (F::Instant, "instant"),
    (F::InDeliveryWindow, "in_delivery_window"),
    (F::NamedNet, "named_net"),
    (F::CloudNet, "cloud_net"),
    (F::CloudNetInWindow, "cloud_net_in_window"),
    (F::GatewayMxInWindow, "gateway_mx_in_window"),
    (F::FollowsOtherSource, "follows_other_source"),
    (F::ClientHintsMismatch, "client_hints_mismatch"),
    (F::NoSecFetch, "no_sec_fetch"),
    (F::NoSecFetchSchemeUnknown, "no_sec_fetch_scheme_unknown"),
    (F::SecFetchTooEarly, "sec_fetch_too_early"),
    (F::NoClientHints, "no_client_hints"),
    (F::NoAcceptLanguage, "no_accept_language"),
    (F::AcceptNotHtml, "accept_not_html"),
    (F::ImpossiblePlatform, "impossible_platform"),
    (F::UnreducedDesktopChrome, "unreduced_desktop_chrome"),
    (F::VeryStaleChrome, "very_stale_chrome"),
    (F::StaleChrome, "stale_chrome"),
    (F::SeenBeforeHuman, "seen_before_human"),
    (F::SecFetchUser, "sec_fetch_user"),
    (F::SecFetchNavigate, "sec_fetch_navigate"),
    (F::SecFetchImage, "sec_fetch_image"),
    (F::ClientHintsMatch, "client_hints_match"),
    (F::MailProgram, "mail_program"),
    (F::BareWebkit, "bare_webkit"),
    (F::AccessNetwork, "access_network"),
    (F::SseNet, "sse_net"),
    (F::RelayNetFullSafari, "relay_net_full_safari"),
];

/// What says no more than that a browser is old.
const AGE: [&str; 2] = ["stale_chrome", "very_stale_chrome"];

impl Scoring {
    pub(crate) fn read(scored: &Section<'_>, clock: &Section<'_>, gateway_mx: Vec<String>) -> Self {
        let mut weights = Vec::new();
        if let Some(section) = scored.required_section("weights") {
            for (feature, code) in FEATURES {
                // What a network itself weighs stands with the network.
                if *feature == F::NamedNet {
                    continue;
                }
                weights.push((*feature, section.required(code)));
            }
            section.finish();
        }
        Self {
            click_scanner_at: scored.required("click_scanner_at"),
            open_scanner_at: scored.required("open_scanner_at"),
            human_at: scored.required("human_at"),
            leaning_human_at: scored.required("leaning_human_at"),
            chrome_stable_major: scored.required("chrome_stable_major"),
            stale_majors: scored.required("stale_majors"),
            very_stale_majors: scored.required("very_stale_majors"),
            follow_up_s: scored.required("follow_up_s"),
            delivery_window_s: clock.required("delivery_window_s"),
            instant_s: clock.required("instant_s"),
            gateway_window_s: clock.required("gateway_window_s"),
            gateway_mx,
            weights,
        }
    }

    /// Always finds something; "unknown" where the evidence does not lean far enough.
    pub(crate) fn look(&self, sight: &Sight<'_>, networks: &Networks) -> Finding {
        let own = networks.weight(sight.at, sight.kind);
        let mut score = own;
        let mut fired = Vec::new();
        for (feature, code) in FEATURES {
            let weight = match feature {
                F::NamedNet => own,
                _ if self.holds(*feature, sight, networks) => {
                    let weight = self.weight(*feature);
                    score = score.saturating_add(weight);
                    weight
                }
                _ => 0,
            };
            if weight != 0 {
                fired.push((weight, *code));
            }
        }
        // An old browser alone is an old computer.
        let speaks_against = |(weight, code): &(i32, &str)| *weight > 0 && !AGE.contains(code);
        let is_only_old = !fired.iter().any(speaks_against);
        let (verdict, confidence, reason) = self.decide(score, is_only_old, sight, networks);
        let mut finding = Finding::new(verdict, confidence, reason);
        // What speaks for the verdict first; of the rest only what explains a doubt.
        let speaks_for = |weight: i32| if verdict == Verdict::Human { weight < 0 } else { weight > 0 };
        let (supporting, other): (Vec<_>, Vec<_>) =
            fired.into_iter().partition(|(weight, _)| speaks_for(*weight));
        finding.reasons.extend(supporting.into_iter().map(|(_, code)| code.to_owned()));
        if verdict != Verdict::Scanner {
            finding.reasons.extend(other.into_iter().map(|(_, code)| code.to_owned()));
        }
        finding
    }

    fn decide(
        &self,
        score: i32,
        is_only_old: bool,
        sight: &Sight<'_>,
        networks: &Networks,
    ) -> (Verdict, Confidence, &'static str) {
        let scanner_at = match sight.kind {
            Kind::Open => self.open_scanner_at,
            Kind::Click => self.click_scanner_at,
        };
        if score >= scanner_at && !is_only_old {
            return (Verdict::Scanner, Confidence::Probable, "looks_like_machine");
        }
        // An app's own loader shows images; it does not follow links.
        let could_be_person =
            sight.agent.is_known() && !(sight.kind == Kind::Click && sight.agent.client == Client::AppLoader);
        if !could_be_person {
            return (Verdict::Unknown, Confidence::Weak, "unrecognised_agent");
        }
        if score <= self.human_at {
            return (Verdict::Human, Confidence::Probable, "looks_like_person");
        }
        let elsewhere = [Class::Cloud, Class::ImageProxy, Class::MailFilter, Class::MailSecurity];
        let off_cloud = !elsewhere.iter().any(|class| networks.holds(sight.at, *class, sight.kind));
        if score <= self.leaning_human_at && off_cloud {
            return (Verdict::Human, Confidence::Weak, "looks_like_person");
        }
        (Verdict::Unknown, Confidence::Weak, "undecided")
    }

    fn weight(&self, feature: Feature) -> i32 {
        self.weights.iter().find(|(known, _)| *known == feature).map_or(0, |(_, weight)| *weight)
    }

    fn holds(&self, feature: Feature, sight: &Sight<'_>, networks: &Networks) -> bool {
        let agent = sight.agent;
        let click = sight.kind == Kind::Click;
        let context = sight.context();
        let held_by = |class| networks.holds(sight.at, class, sight.kind);
        let in_window = || sight.is_between(Some(0.0), Some(self.delivery_window_s));
        match feature {
            F::StaleChrome => self.chrome_is_behind(sight, self.stale_majors),
            F::VeryStaleChrome => self.chrome_is_behind(sight, self.very_stale_majors),
            F::UnreducedDesktopChrome => is_unreduced_desktop_chrome(sight),
            F::ImpossiblePlatform => is_impossible(sight),
            F::NoSecFetch => context.https == Some(true) && lacks_sec_fetch(sight),
            F::NoSecFetchSchemeUnknown => context.https.is_none() && lacks_sec_fetch(sight),
            F::SecFetchTooEarly => sec_fetch_too_early(sight),
            F::NoClientHints => context.https != Some(false) && lacks_client_hints(sight),
            F::NoAcceptLanguage => {
                sight.headers_known()
                    && (click || is_browser(sight))
                    && sight.header("accept-language").is_none_or(|value| value.trim().is_empty())
            }
            F::AcceptNotHtml => {
                click && sight.headers_known() && !sight.header("accept").unwrap_or("").contains("text/html")
            }
            F::ClientHintsMatch => client_hints(sight) == Some(true),
            F::ClientHintsMismatch => client_hints(sight) == Some(false),
            F::CloudNet => held_by(Class::Cloud),
            F::CloudNetInWindow => held_by(Class::Cloud) && in_window(),
            // Its weight is the network's own.
            F::NamedNet => false,
            F::InDeliveryWindow => in_window(),
            F::Instant => sight.is_between(Some(0.0), Some(self.instant_s)),
            F::GatewayMxInWindow => {
                // Gateways have been seen to imitate browsers on computers; neither mail programs nor phones.
                !agent.is_mail_program()
                    && agent.is_desktop()
                    && agent.client != Client::BareWebKit
                    && sight.is_between(Some(0.0), Some(self.gateway_window_s))
                    && context.recipient_mx.as_deref().is_some_and(|mx| self.is_gateway(mx))
            }
            F::FollowsOtherSource => {
                click
                    && held_by(Class::Cloud)
                    && context
                        .earlier_click_other_source_s
                        .is_some_and(|since| since.abs() <= self.follow_up_s)
            }
            F::SecFetchUser => {
                click && sight.header("sec-fetch-user").is_some_and(|value| value.trim() == "?1")
            }
            F::SecFetchNavigate => {
                click && sight.header("sec-fetch-mode").is_some_and(|value| value.trim() == "navigate")
            }
            F::SecFetchImage => {
                !click && sight.header("sec-fetch-dest").is_some_and(|value| value.trim() == "image")
            }
            F::MailProgram => !click && agent.is_mail_program(),
            F::BareWebkit => !click && agent.client == Client::BareWebKit,
            F::AccessNetwork => sight.at.is_access(),
            F::SeenBeforeHuman => context.seen_before_human == Some(true),
            F::SseNet => held_by(Class::WebGateway),
            F::RelayNetFullSafari => held_by(Class::Relay) && agent.client == Client::Safari,
        }
    }

    fn chrome_is_behind(&self, sight: &Sight<'_>, majors: u32) -> bool {
        let agent = sight.agent;
        agent.is_chromium()
            && agent.is_desktop()
            && !agent.embedded
            && agent.major.is_some_and(|major| major.saturating_add(majors) <= self.chrome_stable_major)
    }

    fn is_gateway(&self, mx: &str) -> bool {
        let mx = mx.trim().trim_end_matches('.').to_ascii_lowercase();
        self.gateway_mx.iter().any(|suffix| {
            mx.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// A browser as such, not a mail program, whose images come without most of a browser's headers.
fn is_browser(sight: &Sight<'_>) -> bool {
    matches!(
        sight.agent.client,
        Client::Chrome
            | Client::Edge
            | Client::Opera
            | Client::SamsungInternet
            | Client::Firefox
            | Client::Safari
    ) && !sight.agent.embedded
}

/// Since Chrome 110 the desktop's agent is `Chrome/N.0.0.0` (Chromium, `docs/user_agent`).
fn is_unreduced_desktop_chrome(sight: &Sight<'_>) -> bool {
    let agent = sight.agent;
    agent.is_chromium()
        && agent.is_desktop()
        && !agent.embedded
        && agent.major.is_some_and(|major| major >= 110)
        && agent.build != ".0.0.0"
}

/// Programs on systems they never ran on. Last versions: Chrome 49 on XP and Vista, 109 on Windows 7 and 8;
/// Firefox 52 on XP and Vista, 115 on 7 and 8.
fn is_impossible(sight: &Sight<'_>) -> bool {
    let agent = sight.agent;
    let newest = match agent.system {
        System::Windows(50..=60) => Some((49, 52)),
        System::Windows(61..=63) => Some((109, 115)),
        _ => None,
    };
    match agent.client {
        Client::InternetExplorer => {
            agent.system == System::MacOs || agent.major.is_some_and(|major| major <= 10)
        }
        Client::Safari => matches!(agent.system, System::Windows(_)),
        Client::Firefox => newest.is_some_and(|(_, last)| agent.major.is_some_and(|major| major > last)),
        _ if agent.is_chromium() => {
            newest.is_some_and(|(last, _)| agent.major.is_some_and(|major| major > last))
        }
        _ => false,
    }
}

/// A browser that would send `Sec-Fetch-Mode` on a click and did not: Chrome from 80, Firefox from 90,
/// Safari from 16.4 (browser-compat-data).
fn lacks_sec_fetch(sight: &Sight<'_>) -> bool {
    let agent = sight.agent;
    if sight.kind != Kind::Click || !sight.headers_known() || sight.header("sec-fetch-mode").is_some() {
        return false;
    }
    let Some(major) = agent.major else { return false };
    let apple = matches!(agent.system, System::IPhone | System::IPad);
    match agent.client {
        Client::Firefox => !apple && major >= 90,
        Client::Safari => {
            let minor =
                agent.build.trim_start_matches('.').split('.').next().and_then(|text| text.parse().ok());
            major > 16 || (major == 16 && minor.is_some_and(|minor: u32| minor >= 4))
        }
        _ => agent.is_chromium() && !agent.embedded && major >= 80,
    }
}

/// A browser that sent `Sec-Fetch-Mode` before it knew how: Chrome before 76, Firefox before 90, Safari before 16.4
/// (browser-compat-data). The agent is not the browser's own.
fn sec_fetch_too_early(sight: &Sight<'_>) -> bool {
    let agent = sight.agent;
    if sight.header("sec-fetch-mode").is_none() {
        return false;
    }
    let Some(major) = agent.major else { return false };
    match agent.client {
        Client::Firefox => agent.system != System::IPhone && agent.system != System::IPad && major < 90,
        Client::Safari => major < 16,
        Client::InternetExplorer => true,
        _ => agent.is_chromium() && !agent.embedded && major < 76,
    }
}

/// Chrome and Edge on a computer send `Sec-CH-UA` over https since 90.
fn lacks_client_hints(sight: &Sight<'_>) -> bool {
    let agent = sight.agent;
    sight.kind == Kind::Click
        && sight.headers_known()
        && matches!(agent.client, Client::Chrome | Client::Edge)
        && agent.is_desktop()
        && !agent.embedded
        && agent.major.is_some_and(|major| major >= 90)
        && sight.header("sec-ch-ua").is_none()
}

/// Whether `Sec-CH-UA` and its platform agree with the agent; `None` if they say nothing about it.
fn client_hints(sight: &Sight<'_>) -> Option<bool> {
    let brands = sight.header("sec-ch-ua")?;
    let agent = sight.agent;
    if matches!(agent.client, Client::Firefox | Client::Safari | Client::InternetExplorer) {
        return Some(false); // only Chromium sends it
    }
    if !agent.is_chromium() {
        return None;
    }
    let chromium = brands.split(',').find_map(|brand| {
        let (name, version) = brand.split_once(";v=")?;
        (name.trim() == "\"Chromium\"").then(|| version.trim().trim_matches('"'))
    })?;
    let same_version = chromium.split('.').next()?.parse::<u32>().ok() == agent.major;
    let same_system = match sight.header("sec-ch-ua-platform").map(|value| value.trim().trim_matches('"')) {
        Some("Windows") => matches!(agent.system, System::Windows(_)),
        Some("macOS") => agent.system == System::MacOs,
        Some("Linux") => agent.system == System::Linux,
        Some("Android") => matches!(agent.system, System::Android { .. }),
        _ => true,
    };
    Some(same_version && same_system)
}
