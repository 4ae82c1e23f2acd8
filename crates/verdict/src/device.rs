use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Kind;
use crate::agent::{Agent, Client, System};
use crate::families;

/// What a person reads mail with, as far as the agent tells.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Device {
    /// The program: `Firefox`, `Outlook`.
    pub client: Option<String>,
    /// What it runs on: `Linux`, `iPhone`.
    pub system: Option<String>,
    /// Its shape.
    pub kind: DeviceKind,
}

/// The shape of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// A computer with a keyboard.
    Desktop,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// Mail read in a browser.
    Webmail,
    /// Not told.
    Unknown,
}

/// Words of agents that are not the person's own program: image proxies, which wear a false browser's name,
/// and machines.
const NOT_A_PERSONS: &[&str] = &[
    "googleimageproxy",
    "via ggpht",
    "yahoomailproxy",
    "fastmailua",
    "seznamemailproxy",
    "imageproxy",
    "fwdcdn.com",
    "mail.ukr.net",
    "yandeximageresizer",
    "edge/12.246 mozilla/5.0",
    "facebookexternalhit",
    "preview",
    "headless",
    "crawl",
    "spider",
    "scanner",
    "+http",
    "bot/",
    "bot;",
    "bot)",
    "bot ",
];

/// Reads the `User-Agent` of an open or a click: a message that a browser opened was read in a webmail.
///
/// As [`device`], show it only where [`crate::Trust::device`] holds.
pub fn device_of(kind: Kind, user_agent: &str) -> Option<Device> {
    let mut device = device(user_agent)?;
    let agent = Agent::read(user_agent);
    let is_browser = matches!(
        agent.client,
        Client::Chrome
            | Client::Edge
            | Client::Opera
            | Client::SamsungInternet
            | Client::Firefox
            | Client::Safari
            | Client::InternetExplorer
    );
    if kind == Kind::Open && is_browser && !agent.embedded {
        device.kind = DeviceKind::Webmail;
    }
    Some(device)
}

/// Reads a `User-Agent`. `None` if it names no device, or one that is not the person's.
///
/// Programs that we do not know ourselves are named by uap-core's list, once [`crate::load_families`] has read it.
/// Show it only where [`crate::Trust::device`] holds.
pub fn device(user_agent: &str) -> Option<Device> {
    let words = user_agent.to_ascii_lowercase();
    // CUBOT makes phones.
    let words = words.replace("cubot", "");
    if words.trim() == "mozilla/5.0" || NOT_A_PERSONS.iter().any(|word| words.contains(word)) {
        return None;
    }
    let agent = Agent::read(user_agent);
    let mut system = agent.system;
    // Word draws Outlook's mail on Windows, and its agent does not always say so.
    if system == System::Unrecognised && user_agent.contains("ms-office") {
        system = System::Windows(100);
    }
    // Inside some app it is the engine only.
    let is_engine = agent.embedded && agent.client == Client::Chrome;
    let ours = client_name(agent.client, system).filter(|_| !is_engine);
    // Where ours is the engine's name, or none, the list may know the program.
    let client = match agent.client {
        Client::Chrome | Client::WebView | Client::AppLoader | Client::Unrecognised => {
            families::family(user_agent).or_else(|| ours.map(str::to_owned))
        }
        _ => ours.map(str::to_owned),
    };
    let system_name = system_name(system).map(str::to_owned);
    if client.is_none() && system_name.is_none() {
        return None;
    }
    Some(Device { client, system: system_name, kind: kind(system) })
}

fn client_name(client: Client, system: System) -> Option<&'static str> {
    Some(match client {
        Client::Chrome => "Chrome",
        Client::Edge => "Edge",
        Client::Opera => "Opera",
        Client::SamsungInternet => "Samsung Internet",
        Client::Firefox => "Firefox",
        Client::Safari => "Safari",
        Client::InternetExplorer => "Internet Explorer",
        // On a Mac these two look the same; on an iPhone every mail program does.
        Client::BareWebKit if system == System::MacOs => "Apple Mail or Outlook",
        Client::Outlook => "Outlook",
        Client::Thunderbird => "Thunderbird",
        Client::Mail(name) | Client::InApp(name) => name,
        Client::BareWebKit | Client::WebView | Client::AppLoader | Client::Unrecognised => return None,
    })
}

/// Never a model: reduced agents all say `K`.
fn system_name(system: System) -> Option<&'static str> {
    Some(match system {
        System::Windows(_) => "Windows",
        System::MacOs => "macOS",
        System::IPhone => "iPhone",
        System::IPad => "iPad",
        System::Android { .. } => "Android",
        System::ChromeOs => "ChromeOS",
        System::Linux => "Linux",
        System::Unrecognised => return None,
    })
}

fn kind(system: System) -> DeviceKind {
    match system {
        System::Windows(_) | System::MacOs | System::ChromeOs | System::Linux => DeviceKind::Desktop,
        System::IPhone | System::Android { phone: true } => DeviceKind::Phone,
        System::IPad | System::Android { phone: false } => DeviceKind::Tablet,
        System::Unrecognised => DeviceKind::Unknown,
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.client, &self.system) {
            (Some(client), Some(system)) => write!(f, "{client} on {system}")?,
            (Some(one), None) | (None, Some(one)) => f.write_str(one)?,
            (None, None) => f.write_str("unknown device")?,
        }
        if self.kind == DeviceKind::Webmail { f.write_str(" (webmail)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        let webkit = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let chromium = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0";
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(), "Firefox on Linux"),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chromium} Safari/537.36"), "Chrome on Windows"),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chromium} Safari/537.36 Edg/141.0.0.0"), "Edge on Windows"),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {chromium} Mobile Safari/537.36"), "Chrome on Android"),
            (format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Version/18.6 Safari/605.1.15"), "Safari on macOS"),
            (format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit}"), "Apple Mail or Outlook on macOS"),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {webkit} Mobile/15E148"), "iPhone"),
            (format!("Mozilla/5.0 (iPad; CPU OS 9_3_2 like Mac OS X) {webkit} Mobile/13F69 (4522047856)"), "iPad"),
            (format!("Mozilla/5.0 (X11; Linux x86_64) {webkit} Version/17.0 Safari/605.1.15"), "Linux"),
            ("Mozilla/5.0 (Linux; U; Android 4.4.2; de; GT-I9505) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30".to_owned(), "Android"),
            (format!("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) {webkit} Version/18.6 Mobile/15E148 Safari/604.1"), "Safari on iPhone"),
            (format!("Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) {webkit} CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1"), "Chrome on iPad"),
            ("Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; Trident/7.0; Microsoft Outlook 14.0.7149; ms-office; MSOffice 14)".to_owned(), "Outlook on Windows"),
            ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)".to_owned(), "Outlook on Windows"),
            ("Microsoft Office/16.0 (Microsoft Outlook 16.0.12026; Pro)".to_owned(), "Outlook"),
            ("Outlook-iOS/709.2226530.prod.iphone (3.24.1)".to_owned(), "Outlook on iPhone"),
            ("Mozilla/5.0 (Windows NT 10.0; WOW64; rv:52.0) Gecko/20100101 Thunderbird/52.9.1 Lightning/5.4.9.1".to_owned(), "Thunderbird on Windows"),
            (format!("Mozilla/5.0 (Linux; Android 9; CUBOT_NOTE_S) {chromium} Mobile Safari/537.36"), "Chrome on Android"),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36".to_owned(), "Chrome on ChromeOS"),
        ] {
            assert_eq!(device(&agent).unwrap().to_string(), expected, "{agent}");
        }
    }

    #[test]
    fn a_browser_that_opens_a_mail_is_a_webmail() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let thunderbird = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0";
        let web_view = "Mozilla/5.0 (Linux; Android 14; SM-S911B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/141.0.1.2 Mobile Safari/537.36";
        for (kind, agent, expected) in [
            (Kind::Open, firefox, DeviceKind::Webmail),
            (Kind::Click, firefox, DeviceKind::Desktop),
            (Kind::Open, thunderbird, DeviceKind::Desktop),
            (Kind::Open, web_view, DeviceKind::Phone),
        ] {
            assert_eq!(device_of(kind, agent).unwrap().kind, expected, "{} {agent}", kind.code());
        }
        assert_eq!(device_of(Kind::Open, firefox).unwrap().to_string(), "Firefox on Linux (webmail)");
        assert_eq!(device_of(Kind::Open, "Mozilla/5.0"), None);
    }

    #[test]
    fn shapes() {
        for (agent, expected) in [
            (
                "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
                DeviceKind::Tablet,
            ),
            ("Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", DeviceKind::Phone),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)",
                DeviceKind::Tablet,
            ),
            ("Microsoft Office/16.0 (Microsoft Outlook 16.0.12026; Pro)", DeviceKind::Unknown),
        ] {
            assert_eq!(device(agent).unwrap().kind, expected, "{agent}");
        }
    }

    #[test]
    fn a_proxys_lie_is_not_repeated() {
        for agent in [
            "",
            "Mozilla/5.0",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2272.96 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "curl/8.5.0",
        ] {
            assert_eq!(device(agent), None, "{agent}");
        }
    }
}
