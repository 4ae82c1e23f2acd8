//! Every step of VERDICTS.md section 9, as tables.

#![allow(clippy::too_many_lines, reason = "tables may be long")]

use std::net::IpAddr;

use proptest::prelude::*;
use waxseal_verdict::{Confidence, Context, Evidence, Kind, Rules, Verdict};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1";
const OUTLOOK: &str = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.5161; ms-office; MSOffice 16)";
const GMAIL: &str =
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
const GMAIL_PREFETCH: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0";
const ACCESS: &str = "203.0.113.7";

/// An hour after acceptance, from an unlisted network, by a current browser: a person, unless changed.
fn hit(kind: Kind) -> Evidence {
    Evidence {
        user_agent: Some(CHROME.to_owned()),
        address: Some(address(ACCESS)),
        since_accept_ms: Some(3_600_000),
        ..Evidence::new(kind)
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn with(kind: Kind, change: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut evidence = hit(kind);
    change(&mut evidence);
    evidence
}

fn in_context(kind: Kind, context: Context) -> Evidence {
    with(kind, |evidence| evidence.context = context)
}

fn agent_from(kind: Kind, agent: &str, from: &str) -> Evidence {
    with(kind, |evidence| {
        evidence.user_agent = Some(agent.to_owned());
        evidence.address = if from.is_empty() { None } else { Some(address(from)) };
    })
}

fn headers(kind: Kind, fields: &[(&str, &str)]) -> Evidence {
    with(kind, |evidence| {
        evidence.headers =
            Some(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    })
}

/// Each row: what it is, the evidence, the verdict, the confidence, the first reason.
#[track_caller]
fn table(rows: Vec<(&str, Evidence, Verdict, Confidence, &str)>) {
    let rules = Rules::builtin();
    for (what, evidence, verdict, confidence, reason) in rows {
        let judged = rules.judge(&evidence);
        assert_eq!(
            (judged.verdict, judged.confidence, judged.reasons.first().map(String::as_str)),
            (verdict, confidence, Some(reason)),
            "{what}: {:?}",
            judged.reasons
        );
        assert_eq!(judged.rules, rules.version());
        for code in &judged.reasons {
            assert!(rules.sentence(code).is_some(), "{what}: {code} has no sentence");
        }
    }
}

use Confidence::{Certain, Probable, Weak};
use Kind::{Click, Open};

#[test]
fn step_1_oneself() {
    let submits_from = |ips: &[&str]| Context {
        sender_ips: ips.iter().map(|ip| address(ip)).collect(),
        ..Context::default()
    };
    table(vec![
        (
            "own token",
            in_context(Open, Context { self_token: Some(true), ..Context::default() }),
            Verdict::Oneself,
            Certain,
            "self_token",
        ),
        (
            "mail to oneself",
            in_context(Open, Context { recipient_is_sender: Some(true), ..Context::default() }),
            Verdict::Oneself,
            Certain,
            "recipient_is_sender",
        ),
        (
            "console cookie",
            in_context(Click, Context { self_cookie_valid: Some(true), ..Context::default() }),
            Verdict::Oneself,
            Certain,
            "self_cookie",
        ),
        (
            "an invalid cookie says nothing",
            in_context(Click, Context { self_cookie_valid: Some(false), ..Context::default() }),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "submission address",
            in_context(Open, submits_from(&["198.51.100.1", ACCESS])),
            Verdict::Oneself,
            Probable,
            "sender_network",
        ),
        (
            "the same, mapped into IPv6",
            with(Open, |evidence| {
                evidence.address = Some(address("::ffff:203.0.113.7"));
                evidence.context = submits_from(&[ACCESS]);
            }),
            Verdict::Oneself,
            Probable,
            "sender_network",
        ),
        (
            "the same /64",
            with(Open, |evidence| {
                evidence.address = Some(address("2001:db8:1:2::99"));
                evidence.context = submits_from(&["2001:db8:1:2:aaaa::1"]);
            }),
            Verdict::Oneself,
            Probable,
            "sender_network",
        ),
        (
            "another /64",
            with(Open, |evidence| {
                evidence.address = Some(address("2001:db8:1:3::99"));
                evidence.context = submits_from(&["2001:db8:1:2:aaaa::1"]);
            }),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "another address of the /24",
            in_context(Open, submits_from(&["203.0.113.8"])),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "one office, one address",
            in_context(
                Open,
                Context { recipient_shares_sender_network: Some(true), ..submits_from(&[ACCESS]) },
            ),
            Verdict::Unknown,
            Weak,
            "shared_network",
        ),
        (
            "loopback is everybody behind an undeclared proxy",
            with(Open, |evidence| {
                evidence.address = Some(address("127.0.0.1"));
                evidence.context = submits_from(&["127.0.0.1"]);
            }),
            Verdict::Human,
            Weak,
            "looks_like_person",
        ),
        (
            "the relay gives one address to many",
            with(Click, |evidence| {
                evidence.user_agent = Some(IPHONE.to_owned());
                evidence.address = Some(address("172.225.10.1"));
                evidence.context = submits_from(&["172.225.10.1"]);
            }),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
    ]);
}

#[test]
fn step_2_protocol() {
    table(vec![
        (
            "HEAD",
            with(Click, |evidence| evidence.method = "HEAD".to_owned()),
            Verdict::Scanner,
            Certain,
            "method_not_get",
        ),
        (
            "OPTIONS",
            with(Open, |evidence| evidence.method = "OPTIONS".to_owned()),
            Verdict::Scanner,
            Certain,
            "method_not_get",
        ),
        (
            "get in small letters",
            with(Click, |evidence| evidence.method = "get".to_owned()),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "Office discovery",
            with(Click, |evidence| {
                evidence.method = "HEAD".to_owned();
                evidence.user_agent = Some("Microsoft Office Existence Discovery".to_owned());
            }),
            Verdict::Preview,
            Certain,
            "office_discovery",
        ),
        (
            "sec-purpose",
            headers(Click, &[("sec-purpose", "prefetch;prerender")]),
            Verdict::Prefetch,
            Certain,
            "speculative_load",
        ),
        (
            "purpose",
            headers(Open, &[("purpose", "prefetch")]),
            Verdict::Prefetch,
            Certain,
            "speculative_load",
        ),
        (
            "x-purpose",
            headers(Click, &[("x-purpose", "preview")]),
            Verdict::Prefetch,
            Certain,
            "speculative_load",
        ),
        ("x-moz", headers(Click, &[("x-moz", "prefetch")]), Verdict::Prefetch, Certain, "speculative_load"),
        (
            "before acceptance",
            with(Open, |evidence| evidence.since_accept_ms = Some(-1)),
            Verdict::Scanner,
            Certain,
            "before_accept",
        ),
        (
            "headless by its brand, whatever the agent",
            headers(Click, &[("sec-ch-ua", r#""HeadlessChrome";v="129", "Chromium";v="129""#)]),
            Verdict::Scanner,
            Certain,
            "headless_brand",
        ),
    ]);
}

#[test]
fn step_3_honeypot() {
    let near = |seconds| Context { same_source_honeypot_hit_within_s: Some(seconds), ..Context::default() };
    table(vec![
        (
            "the hidden link",
            in_context(Click, Context { is_honeypot_link: Some(true), ..Context::default() }),
            Verdict::Scanner,
            Certain,
            "honeypot_link",
        ),
        ("its source", in_context(Click, near(20.0)), Verdict::Scanner, Certain, "honeypot_source"),
        ("its source, before", in_context(Open, near(-3.0)), Verdict::Scanner, Certain, "honeypot_source"),
        ("long after", in_context(Click, near(20.1)), Verdict::Human, Probable, "looks_like_person"),
    ]);
}

#[test]
fn step_4_mail_filters() {
    let from = |kind, ip: &str| agent_from(kind, CHROME, ip);
    table(vec![
        ("EOP click", from(Click, "104.47.1.254"), Verdict::Scanner, Certain, "mailfilter_net"),
        ("EOP open", from(Open, "40.107.218.12"), Verdict::Scanner, Certain, "mailfilter_net"),
        ("EOP in IPv6", from(Open, "2a01:111:f403:c100::1"), Verdict::Scanner, Certain, "mailfilter_net"),
        ("EOP mapped", from(Open, "::ffff:52.100.0.1"), Verdict::Scanner, Certain, "mailfilter_net"),
        ("Safe Links click", from(Click, "40.94.89.21"), Verdict::Scanner, Certain, "mailfilter_net"),
        (
            "40.94 open is Microsoft's web mail",
            from(Open, "40.94.89.21"),
            Verdict::Proxied,
            Weak,
            "microsoft_open_late",
        ),
        (
            "Barracuda inside Amazon",
            from(Click, "18.185.115.200"),
            Verdict::Scanner,
            Certain,
            "mailfilter_net",
        ),
        ("its neighbour is Amazon", from(Open, "18.185.116.200"), Verdict::Unknown, Weak, "undecided"),
    ]);
}

#[test]
fn step_5_image_proxies() {
    let mpp = "Mozilla/5.0";
    let relay = "104.28.42.1";
    table(vec![
        ("Apple", agent_from(Open, mpp, relay), Verdict::Prefetch, Certain, "apple_mpp"),
        (
            "Apple in IPv6",
            agent_from(Open, mpp, "2a02:26f7:b00a:4000::5"),
            Verdict::Prefetch,
            Certain,
            "apple_mpp",
        ),
        (
            "17/8 is not the relay",
            agent_from(Open, mpp, "17.58.0.10"),
            Verdict::Unknown,
            Weak,
            "apple_mpp_elsewhere",
        ),
        (
            "an AS that carries it",
            with(Open, |evidence| {
                evidence.user_agent = Some(mpp.to_owned());
                evidence.asn = Some(36183);
            }),
            Verdict::Prefetch,
            Probable,
            "apple_mpp_near",
        ),
        ("nowhere", agent_from(Open, mpp, ""), Verdict::Prefetch, Probable, "apple_mpp_unplaced"),
        (
            "behind an undeclared proxy",
            agent_from(Open, mpp, "10.0.0.2"),
            Verdict::Prefetch,
            Probable,
            "apple_mpp_unplaced",
        ),
        ("a click", agent_from(Click, mpp, relay), Verdict::Scanner, Probable, "bare_mozilla_click"),
        ("Gmail", agent_from(Open, GMAIL, "66.249.88.199"), Verdict::Proxied, Probable, "gmail_proxy"),
        (
            "Gmail in IPv6",
            agent_from(Open, GMAIL, "2607:f8b0:4864::1"),
            Verdict::Proxied,
            Probable,
            "gmail_proxy",
        ),
        (
            "Gmail by AS alone",
            with(Open, |evidence| {
                evidence.user_agent = Some(GMAIL.to_owned());
                evidence.address = None;
                evidence.asn = Some(15169);
            }),
            Verdict::Proxied,
            Probable,
            "gmail_proxy",
        ),
        ("Gmail unplaced", agent_from(Open, GMAIL, ""), Verdict::Proxied, Weak, "gmail_proxy_unplaced"),
        (
            "a cloud customer of Google",
            agent_from(Open, GMAIL, "34.102.1.1"),
            Verdict::Scanner,
            Probable,
            "gmail_proxy_spoofed",
        ),
        ("anybody else", agent_from(Open, GMAIL, ACCESS), Verdict::Scanner, Probable, "gmail_proxy_spoofed"),
        (
            "Gmail's proxy clicks",
            agent_from(Click, GMAIL, "66.249.88.199"),
            Verdict::Scanner,
            Probable,
            "image_proxy_click",
        ),
        (
            "Gmail ahead of reading",
            agent_from(Open, GMAIL_PREFETCH, "66.249.88.199"),
            Verdict::Prefetch,
            Certain,
            "gmail_prefetch",
        ),
        (
            "the same elsewhere",
            agent_from(Open, GMAIL_PREFETCH, ACCESS),
            Verdict::Unknown,
            Weak,
            "gmail_prefetch_elsewhere",
        ),
        (
            "Yahoo",
            agent_from(
                Open,
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                ACCESS,
            ),
            Verdict::Proxied,
            Probable,
            "yahoo_proxy",
        ),
        (
            "Fastmail",
            agent_from(Open, &format!("{CHROME} FastmailUA/1.0"), ACCESS),
            Verdict::Proxied,
            Certain,
            "fastmail_proxy",
        ),
        (
            "Seznam",
            agent_from(Open, "SeznamEmailProxy/2.0.159", ACCESS),
            Verdict::Proxied,
            Probable,
            "seznam_proxy",
        ),
        (
            "Rambler",
            agent_from(Open, "RamblerMail/6.0 (incompatible; ImageProxy/6.0)", ACCESS),
            Verdict::Proxied,
            Probable,
            "rambler_proxy",
        ),
        (
            "Ukr.net",
            agent_from(Open, "Mozilla/5.0 (via secureurl.fwdcdn.com - mail.ukr.net proxy)", ACCESS),
            Verdict::Proxied,
            Probable,
            "ukrnet_proxy",
        ),
        (
            "Yandex",
            agent_from(Open, "Mozilla/5.0 (compatible; YandexImageResizer/2.0)", ACCESS),
            Verdict::Prefetch,
            Weak,
            "yandex_image_resizer",
        ),
    ]);
}

#[test]
fn step_6_previews() {
    let from = |agent: &str| agent_from(Click, agent, ACCESS);
    let imessage = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0";
    let outlook = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; MicrosoftPreview/2.0; +https://aka.ms/MicrosoftPreview) Chrome/100.0.4896.127 Safari/537.36";
    table(vec![
        (
            "Slack",
            from("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
            Verdict::Preview,
            Certain,
            "link_preview",
        ),
        (
            "iMessage, from the person's own address",
            from(imessage),
            Verdict::Preview,
            Certain,
            "link_preview",
        ),
        ("WhatsApp", from("WhatsApp/2.23.20.0"), Verdict::Preview, Certain, "link_preview"),
        (
            "LinkedIn before the libraries",
            from("LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)"),
            Verdict::Preview,
            Certain,
            "link_preview",
        ),
        (
            "Outlook's preview",
            agent_from(Click, outlook, "52.167.144.233"),
            Verdict::Preview,
            Certain,
            "link_preview",
        ),
        ("Office ahead of the browser", from(OUTLOOK), Verdict::Preview, Probable, "office_link_check"),
        (
            "Office at an image",
            agent_from(Open, OUTLOOK, ACCESS),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
    ]);
}

#[test]
fn step_7_and_8_people_inside_apps_and_scanners_that_say_so() {
    let from = |agent: &str| agent_from(Click, agent, ACCESS);
    let ios = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
    table(vec![
        (
            "Facebook's browser",
            from(&format!("{ios} [FBAN/FBIOS;FBAV/450.0.0.38.108;MetaIAB Facebook]")),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "CUBOT is a phone",
            from(
                "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
            ),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "McAfee in a person's agent",
            agent_from(
                Open,
                "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; McAfee; Microsoft Outlook 14.0.7109; ms-office; MSOffice 14)",
                ACCESS,
            ),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        ("none", from(""), Verdict::Scanner, Probable, "empty_ua"),
        ("as logs write it", from("-"), Verdict::Scanner, Probable, "empty_ua"),
        (
            "missing",
            with(Open, |evidence| evidence.user_agent = None),
            Verdict::Scanner,
            Probable,
            "empty_ua",
        ),
        ("a vendor", from("Barracuda Sentinel (EE)"), Verdict::Scanner, Certain, "named_scanner"),
        (
            "headless",
            from(
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/119.0.6045.105 Safari/537.36",
            ),
            Verdict::Scanner,
            Certain,
            "headless",
        ),
        (
            "an assistant",
            from(
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ChatGPT-User/1.0; +https://openai.com/bot)",
            ),
            Verdict::Scanner,
            Probable,
            "ai_agent",
        ),
        ("a library", from("python-requests/2.32.3"), Verdict::Scanner, Certain, "http_library"),
        (
            "a crawler",
            from("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
            Verdict::Scanner,
            Certain,
            "bot_list",
        ),
        ("a bot nobody knows", from("Quux-Bot/1.0"), Verdict::Scanner, Probable, "generic_bot"),
    ]);
}

#[test]
fn step_9_bursts() {
    let links = |one: u32, five: u32, ten: u32, thirty: u32, all: u32| Context {
        links_in_message: Some(all),
        distinct_links_within_1s: Some(one),
        distinct_links_within_5s: Some(five),
        distinct_links_within_10s: Some(ten),
        distinct_links_within_30s: Some(thirty),
        ..Context::default()
    };
    let burst_near = |seconds| Context { same_source_burst_within_s: Some(seconds), ..Context::default() };
    table(vec![
        ("two in a second", in_context(Click, links(2, 2, 2, 2, 5)), Verdict::Scanner, Certain, "burst"),
        ("three in five", in_context(Click, links(1, 3, 3, 3, 5)), Verdict::Scanner, Certain, "burst"),
        ("three in ten", in_context(Click, links(1, 1, 3, 3, 5)), Verdict::Scanner, Probable, "burst"),
        ("all four in thirty", in_context(Click, links(1, 1, 2, 4, 4)), Verdict::Scanner, Certain, "burst"),
        (
            "four of five in thirty",
            in_context(Click, links(1, 1, 2, 4, 5)),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "all three in thirty",
            in_context(Click, links(1, 1, 2, 3, 3)),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        (
            "two, eight seconds apart",
            in_context(Click, links(1, 1, 2, 2, 2)),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
        ("an open among them", in_context(Open, links(4, 4, 4, 4, 4)), Verdict::Scanner, Certain, "burst"),
        (
            "an open before them",
            in_context(Open, burst_near(59.0)),
            Verdict::Scanner,
            Probable,
            "burst_source",
        ),
        (
            "an open long before",
            in_context(Open, burst_near(61.0)),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
    ]);
}

#[test]
fn step_10_one_address_many_people() {
    let seen = |recipients, domains| Context {
        recipients_from_address_within_1h: Some(recipients),
        recipient_domains_from_address_within_1h: Some(domains),
        ..Context::default()
    };
    table(vec![
        (
            "three people, two domains",
            in_context(Click, seen(3, 2)),
            Verdict::Scanner,
            Probable,
            "cross_recipient",
        ),
        ("an office", in_context(Click, seen(9, 1)), Verdict::Human, Probable, "looks_like_person"),
        ("a couple", in_context(Click, seen(2, 2)), Verdict::Human, Probable, "looks_like_person"),
        (
            "a web gateway",
            with(Click, |evidence| {
                evidence.asn = Some(22616);
                evidence.context = seen(9, 9);
            }),
            Verdict::Human,
            Probable,
            "looks_like_person",
        ),
    ]);
}

#[test]
fn step_11_networks_in_time() {
    let by_as = |kind, asn, seconds: i64| {
        with(kind, |evidence| {
            evidence.asn = Some(asn);
            evidence.since_accept_ms = Some(seconds * 1000);
        })
    };
    let at = |kind, ip: &str, seconds: i64| {
        with(kind, |evidence| {
            evidence.address = Some(address(ip));
            evidence.since_accept_ms = Some(seconds * 1000);
        })
    };
    table(vec![
        ("Proofpoint at once", by_as(Click, 22843, 40), Verdict::Scanner, Probable, "mailsec_early"),
        (
            "Mimecast within a quarter of an hour",
            by_as(Open, 30031, 900),
            Verdict::Scanner,
            Probable,
            "mailsec_early",
        ),
        (
            "a person behind its isolation, or not",
            by_as(Click, 22843, 7200),
            Verdict::Unknown,
            Weak,
            "mailsec_late",
        ),
        (
            "no clock",
            with(Click, |evidence| {
                evidence.asn = Some(22843);
                evidence.since_accept_ms = None;
            }),
            Verdict::Unknown,
            Weak,
            "mailsec_late",
        ),
        ("Outlook on the web", at(Open, "20.72.100.79", 3600), Verdict::Proxied, Weak, "microsoft_open_late"),
        ("Defender", at(Open, "20.72.100.79", 40), Verdict::Scanner, Probable, "looks_like_machine"),
        ("a click in no time", at(Click, ACCESS, 1), Verdict::Scanner, Probable, "instant_click"),
        ("a quick click", at(Click, ACCESS, 3), Verdict::Human, Weak, "looks_like_person"),
    ]);
}

#[test]
fn step_12_scores() {
    let at = |kind, agent: &str, ip: &str, seconds: i64| {
        with(kind, |evidence| {
            evidence.user_agent = Some(agent.to_owned());
            evidence.address = Some(address(ip));
            evidence.since_accept_ms = Some(seconds * 1000);
        })
    };
    let stale = CHROME.replace("154", "72");
    let full = [
        ("accept", "text/html,application/xhtml+xml"),
        ("accept-language", "de-DE,de;q=0.9"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-user", "?1"),
        ("sec-ch-ua", r#""Chromium";v="154", "Google Chrome";v="154", "Not?A_Brand";v="24""#),
        ("sec-ch-ua-platform", r#""Windows""#),
    ];
    let bare = |https| {
        let mut evidence = headers(Click, &[("accept", "*/*")]);
        evidence.context.https = https;
        evidence
    };
    table(vec![
        ("a browser an hour later", hit(Click), Verdict::Human, Probable, "looks_like_person"),
        (
            "Safe Links from Azure",
            at(Click, CHROME, "20.72.100.79", 22),
            Verdict::Scanner,
            Probable,
            "looks_like_machine",
        ),
        (
            "a gateway at Amazon",
            at(Click, CHROME, "54.90.1.1", 30),
            Verdict::Scanner,
            Probable,
            "looks_like_machine",
        ),
        (
            "someone's cloud desktop",
            at(Click, CHROME, "54.90.1.1", 7200),
            Verdict::Unknown,
            Weak,
            "undecided",
        ),
        (
            "an old Chrome at once",
            at(Open, &stale, ACCESS, 30),
            Verdict::Scanner,
            Probable,
            "looks_like_machine",
        ),
        ("Outlook at once", at(Open, OUTLOOK, ACCESS, 30), Verdict::Human, Probable, "looks_like_person"),
        ("all of a browser's headers", headers(Click, &full), Verdict::Human, Probable, "looks_like_person"),
        ("none of them, over https", bare(Some(true)), Verdict::Scanner, Probable, "looks_like_machine"),
        ("none of them, scheme unknown", bare(None), Verdict::Scanner, Probable, "looks_like_machine"),
        (
            "none of them, over http: no Sec-Fetch there",
            bare(Some(false)),
            Verdict::Unknown,
            Weak,
            "undecided",
        ),
        ("nothing known", Evidence::new(Open), Verdict::Scanner, Probable, "empty_ua"),
        (
            "a strange program",
            agent_from(Open, "Wombat", ACCESS),
            Verdict::Unknown,
            Weak,
            "unrecognised_agent",
        ),
    ]);
}

#[test]
fn the_demo_on_one_computer() {
    let local = |kind, seconds: i64, fields: &[(&str, &str)]| {
        let mut evidence = headers(kind, fields);
        evidence.address = Some(address("127.0.0.1"));
        evidence.since_accept_ms = Some(seconds * 1000);
        evidence
    };
    // Browsers count loopback as trustworthy, so they send these without TLS too.
    let image = [("accept", "image/avif,*/*"), ("accept-language", "de"), ("sec-fetch-dest", "image")];
    let page = [
        ("accept", "text/html"),
        ("accept-language", "de"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-user", "?1"),
    ];
    table(vec![
        ("opened", local(Open, 3, &image), Verdict::Human, Weak, "looks_like_person"),
        ("clicked", local(Click, 6, &page), Verdict::Human, Probable, "looks_like_person"),
        (
            "a mail program",
            with(Open, |evidence| {
                evidence.user_agent = Some(
                    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0".to_owned(),
                );
                evidence.address = Some(address("192.168.1.5"));
                evidence.since_accept_ms = Some(4_000);
            }),
            Verdict::Human,
            Weak,
            "looks_like_person",
        ),
        (
            "something like Apple's",
            agent_from(Open, "Mozilla/5.0", "127.0.0.1"),
            Verdict::Prefetch,
            Probable,
            "apple_mpp_unplaced",
        ),
    ]);
}

#[test]
fn place_is_not_believed_where_many_come_from() {
    let rules = Rules::builtin();
    for (what, evidence, place) in [
        ("at home", hit(Click), true),
        ("private relay", agent_from(Click, IPHONE, "172.225.10.1"), false),
        ("web gateway", with(Click, |evidence| evidence.asn = Some(53813)), false),
    ] {
        let judged = rules.judge(&evidence);
        assert_eq!((judged.verdict, judged.trust.place), (Verdict::Human, place), "{what}");
    }
}

#[test]
fn a_scanner_is_explained_in_full() {
    let judged = Rules::builtin().judge(&with(Click, |evidence| {
        evidence.address = Some(address("104.47.1.254"));
        evidence.since_accept_ms = Some(1_500);
        evidence.context.distinct_links_within_1s = Some(6);
    }));
    assert_eq!(
        judged.reasons,
        [
            "mailfilter_net",
            "burst",
            "instant_click",
            "looks_like_machine",
            "instant",
            "in_delivery_window",
            "named_net",
            "cloud_net",
            "cloud_net_in_window"
        ]
    );
}

#[test]
fn evidence_and_judgements_survive_json() {
    let evidence = headers(Click, &[("accept", "text/html")]);
    let text = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
    assert!(text.contains(r#""kind":"click""#));
    let judged = Rules::builtin().judge(&evidence);
    let text = serde_json::to_string(&judged).unwrap();
    assert_eq!(serde_json::from_str::<waxseal_verdict::Judgement>(&text).unwrap(), judged);
}

fn any_context() -> impl Strategy<Value = Context> {
    (
        prop::option::of(any::<u32>()),
        prop::option::of(any::<u32>()),
        prop::option::of(any::<f64>()),
        prop::option::of(any::<bool>()),
        prop::option::of(".*"),
        prop::collection::vec(any::<IpAddr>(), 0..3),
    )
        .prop_map(|(links, distinct, apart, yes, mx, sender_ips)| Context {
            links_in_message: links,
            distinct_links_within_30s: distinct,
            same_source_burst_within_s: apart,
            earlier_click_other_source_s: apart,
            seen_before_human: yes,
            recipient_mx: mx,
            https: yes,
            sender_ips,
            ..Context::default()
        })
}

/// Agents that begin like real ones, so that the parsers get past their first step.
fn any_agent() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "Mozilla/5.0",
        " (",
        "Windows NT ",
        "10.0",
        ")",
        " AppleWebKit/537.36 (KHTML, like Gecko)",
        " Chrome/",
        "Firefox/",
        "Version/",
        "MSIE ",
        "99999999999",
        "é",
        "Mobile/",
        " ",
        ".",
        "Edg/",
        "rv:",
        "\u{0}",
        "Gecko/",
        "Trident/",
    ]);
    prop_oneof![".*", prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())]
}

proptest! {
    #[test]
    fn judging_never_panics(
        agent in prop::option::of(any_agent()),
        method in ".*",
        address in prop::option::of(any::<IpAddr>()),
        asn in prop::option::of(any::<u32>()),
        since in prop::option::of(any::<i64>()),
        fields in prop::option::of(prop::collection::vec(
            (prop_oneof!["[a-z-]{0,12}", Just("sec-ch-ua".to_owned()), Just("accept".to_owned())], ".*"), 0..4)),
        context in any_context(),
        open in any::<bool>(),
    ) {
        let kind = if open { Open } else { Click };
        if let Some(agent) = &agent {
            let _ = waxseal_verdict::device(agent).map(|device| device.to_string());
        }
        let evidence = Evidence { kind, method, user_agent: agent, address, asn, since_accept_ms: since, headers: fields, context };
        let judged = Rules::builtin().judge(&evidence);
        prop_assert!(!judged.reasons.is_empty());
    }
}
