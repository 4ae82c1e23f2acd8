/// What a `User-Agent` claims to be, as far as scoring and showing need it. A claim, not a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent<'a> {
    pub(crate) client: Client,
    /// The major version of the engine's own product: `Chrome/141` also under Edge and Opera.
    pub(crate) major: Option<u32>,
    /// The rest of that product's version, after the major: `.0.0.0`.
    pub(crate) build: &'a str,
    pub(crate) system: System,
    /// A web view inside an app, or a desktop app built on a browser: its versions follow other rules.
    pub(crate) embedded: bool,
}

/// The program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Chrome,
    Edge,
    Opera,
    SamsungInternet,
    Firefox,
    Safari,
    InternetExplorer,
    /// `AppleWebKit … (KHTML, like Gecko)` and no more: Apple Mail, and Outlook on a Mac (warmbly#564).
    BareWebKit,
    Outlook,
    Thunderbird,
    /// Another mail program that says its name.
    Mail(&'static str),
    /// A browser inside another app.
    InApp(&'static str),
    /// A browser engine inside a program that does not say its name, or not one we know.
    WebView,
    /// An app's own image loader: `CFNetwork`, `Dalvik`.
    AppLoader,
    Unrecognised,
}

/// What it runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    /// Windows NT major * 10 + minor: 100 is Windows 10 and 11, 61 is Windows 7.
    Windows(u32),
    MacOs,
    IPhone,
    IPad,
    /// Phones say `Mobile`, tablets do not.
    Android {
        phone: bool,
    },
    ChromeOs,
    Linux,
    Unrecognised,
}

/// Mail programs by their token, beside Outlook and Thunderbird.
const MAIL_PROGRAMS: &[(&str, &str)] = &[
    ("Airmail", "Airmail"),
    ("Postbox", "Postbox"),
    ("eM Client", "eM Client"),
    ("eMClient", "eM Client"),
    ("Mailspring/", "Mailspring"),
    ("Mailbird", "Mailbird"),
    ("BlueMail", "BlueMail"),
    ("Superhuman", "Superhuman"),
    ("Evolution/", "Evolution"),
    ("KMail", "KMail"),
    ("Betterbird/", "Betterbird"),
    ("Zoho Mail", "Zoho Mail"),
    ("Lotus-Notes/", "Notes"),
    ("SeaMonkey/", "SeaMonkey"),
    ("Windows-Live-Mail", "Windows Live Mail"),
    ("Outlook-Express/", "Windows Live Mail"),
];

/// Apps whose own browser keeps their token.
const APPS: &[(&str, &str)] = &[
    ("FBAN/", "Facebook"),
    ("FBAV/", "Facebook"),
    ("FB_IAB", "Facebook"),
    ("Instagram ", "Instagram"),
    ("LinkedInApp", "LinkedIn"),
    ("GSA/", "Google app"),
    ("MicroMessenger/", "WeChat"),
    (" Line/", "LINE"),
    ("Snapchat/", "Snapchat"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Teams/", "Teams"),
    ("Twitter for iPhone", "X"),
];

impl<'a> Agent<'a> {
    pub(crate) fn read(agent: &'a str) -> Self {
        let system = System::read(agent);
        let webkit = agent.contains("AppleWebKit/");
        let (client, product) = if agent.contains("Microsoft Outlook")
            || agent.contains("ms-office")
            || agent.contains("MSOffice")
            || agent.contains("Outlook-iOS")
            || agent.contains("Outlook-Android")
            || agent.contains("MacOutlook")
            || agent.contains("Microsoft Office")
        {
            (Client::Outlook, "")
        } else if agent.contains("Thunderbird/") {
            (Client::Thunderbird, "Thunderbird/")
        } else if let Some((_, name)) = MAIL_PROGRAMS.iter().find(|(token, _)| agent.contains(token)) {
            (Client::Mail(name), "")
        } else if let Some((_, name)) = APPS.iter().find(|(token, _)| agent.contains(token)) {
            (Client::InApp(name), "")
        } else if ["Edg/", "EdgA/", "EdgiOS/", "Edge/"].iter().any(|token| agent.contains(token)) {
            (Client::Edge, "Chrome/")
        } else if agent.contains("OPR/") {
            (Client::Opera, "Chrome/")
        } else if agent.contains("Opera Mini/") {
            (Client::Opera, "")
        } else if agent.contains("SamsungBrowser/") {
            (Client::SamsungInternet, "Chrome/")
        } else if agent.contains("CriOS/") {
            (Client::Chrome, "CriOS/")
        } else if agent.contains("Chrome/") && webkit {
            (Client::Chrome, "Chrome/")
        } else if agent.contains("FxiOS/") {
            (Client::Firefox, "FxiOS/")
        } else if agent.contains("Firefox/") && agent.contains("Gecko/") {
            (Client::Firefox, "Firefox/")
        } else if agent.contains("Version/") && agent.contains("Safari/") && webkit && system.is_apples() {
            (Client::Safari, "Version/")
        } else if agent.contains("MSIE ") {
            (Client::InternetExplorer, "MSIE ")
        } else if agent.contains("Trident/") {
            (Client::InternetExplorer, "rv:")
        } else if webkit && is_bare_webkit(agent) {
            (Client::BareWebKit, "")
        } else if webkit && system.has_web_views() {
            (Client::WebView, "")
        } else if agent.contains("CFNetwork/") || agent.starts_with("Dalvik/") {
            (Client::AppLoader, "")
        } else {
            (Client::Unrecognised, "")
        };
        let (major, build) = version(agent, product);
        let embedded = agent.contains("; wv)")
            || agent.contains("Electron/")
            || matches!(client, Client::InApp(_) | Client::WebView);
        Self { client, major, build, system, embedded }
    }

    /// A program people read mail with, or follow links with.
    pub(crate) fn is_known(self) -> bool {
        self.client != Client::Unrecognised
    }

    /// A mail program, which no scanner has been seen to imitate.
    pub(crate) fn is_mail_program(self) -> bool {
        matches!(self.client, Client::Outlook | Client::Thunderbird | Client::Mail(_))
    }

    pub(crate) fn is_desktop(self) -> bool {
        matches!(
            self.system,
            System::Windows(_) | System::MacOs | System::Linux | System::ChromeOs | System::Unrecognised
        )
    }

    /// Built on Chromium, and not on Apple's engine under a Chrome name.
    pub(crate) fn is_chromium(self) -> bool {
        matches!(self.client, Client::Chrome | Client::Edge | Client::Opera | Client::SamsungInternet)
            && !matches!(self.system, System::IPhone | System::IPad)
    }
}

impl System {
    /// Where Safari runs, or once ran.
    fn is_apples(self) -> bool {
        matches!(self, Self::MacOs | Self::IPhone | Self::IPad | Self::Windows(_))
    }

    /// Where programs show pages in the system's own engine.
    fn has_web_views(self) -> bool {
        matches!(self, Self::MacOs | Self::IPhone | Self::IPad | Self::Android { .. } | Self::Linux)
    }

    fn read(agent: &str) -> Self {
        if agent.contains("iPhone") || agent.contains("iPod") || agent.contains("Outlook-iOS") {
            Self::IPhone
        } else if agent.contains("iPad") {
            Self::IPad
        } else if agent.contains("Android") {
            Self::Android { phone: !agent.contains("Chrome/") || agent.contains("Mobile") }
        } else if agent.contains("CrOS") {
            Self::ChromeOs
        } else if let Some(at) = agent.find("Windows NT ") {
            let (major, rest) = leading_number(&agent[at + "Windows NT ".len()..]);
            let (minor, _) = leading_number(rest.strip_prefix('.').unwrap_or(""));
            Self::Windows(major.unwrap_or(0).saturating_mul(10).saturating_add(minor.unwrap_or(0)))
        } else if agent.contains("Windows/") || agent.contains("Windows") {
            Self::Windows(100)
        } else if agent.contains("Macintosh") || agent.contains("Mac OS X") || agent.contains("MacOutlook") {
            Self::MacOs
        } else if agent.contains("Linux") || agent.contains("X11") {
            Self::Linux
        } else {
            Self::Unrecognised
        }
    }
}

/// Mail on a Mac, an iPhone or an iPad: `WebKit`, and neither a browser's nor another app's token after it.
/// Older systems put a number in brackets there.
fn is_bare_webkit(agent: &str) -> bool {
    let Some((_, tail)) = agent.split_once("(KHTML, like Gecko)") else { return false };
    let Some(build) = tail.trim().strip_prefix("Mobile/") else { return tail.trim().is_empty() };
    let number = build.split_once(' ').map_or("", |(_, number)| number);
    number.is_empty()
        || number
            .strip_prefix('(')
            .and_then(|number| number.strip_suffix(')'))
            .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn version<'a>(agent: &'a str, product: &str) -> (Option<u32>, &'a str) {
    let Some(at) = (!product.is_empty()).then(|| agent.find(product)).flatten() else { return (None, "") };
    let (major, rest) = leading_number(&agent[at + product.len()..]);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    (major, &rest[..end])
}

fn leading_number(text: &str) -> (Option<u32>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), &text[end..])
}
