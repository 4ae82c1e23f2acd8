use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Component, Path, PathBuf};

use envelope::{Mailbox, Secret};

use super::address_pattern::AddressPattern;
use super::keys::{Key, Kind};
use super::network::Network;
use super::reading::Wrong;
use super::settings::ProxyConfig;

pub(super) fn hostname(text: &str) -> Result<String, Wrong> {
    if is_hostname(text) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("must be a host name", "not a host name")
        .help("write it like this: relay.example.com, in ASCII"))
}

/// A domain or an address literal (RFC 5321 §4.1.2), in ASCII: what a greeting and `Received` can carry.
pub(super) fn is_hostname(text: &str) -> bool {
    text.is_ascii() && Mailbox::parse(&format!("a@{text}")).is_ok_and(|mailbox| mailbox.domain() == text)
}

pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<IpAddr>().is_ok() || (is_hostname(text) && !text.starts_with('[')) {
        return Ok(bare.to_owned());
    }
    let wrong = Wrong::new("must be a host name or an IP address", "not a host");
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Err(if text.contains("://") {
        wrong.help("the name alone, without `smtp://`")
    } else if has_port {
        wrong.help("the port has its own key: port = 587")
    } else {
        wrong
    })
}

pub(super) fn plain_text(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new("must be one line of text, not empty", "empty, or with control characters"));
    }
    Ok(text.to_owned())
}

/// RFC 5322 §3.6.8. The field is taken out of every message, so it must be nobody else's.
pub(super) fn field_name(text: &str) -> Result<String, Wrong> {
    let ours = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("X-")) && text.len() > 2;
    if ours && text.len() <= 76 && text.bytes().all(|octet| octet.is_ascii_graphic() && octet != b':') {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        "must be the name of a header field that begins with X-",
        "this field would be removed from every message",
    )
    .help("write it like this: X-Waxseal-Track, without the colon"))
}

/// `http` or `https`, a host, perhaps a port: pixels and links are made by adding to it.
pub(super) fn base_url(text: &str) -> Result<String, Wrong> {
    let wrong = |label, help: &str| {
        let wrong = Wrong::new("must be https:// and a host name", label);
        if help.is_empty() { wrong } else { wrong.help(help) }
    };
    let Some((scheme, rest)) =
        text.split_once("://").filter(|(scheme, _)| ["https", "http"].contains(scheme))
    else {
        return Err(wrong("not an http or https URL", "write it like this: https://t.example.com"));
    };
    // A secret may stand before the `@`: this is looked for before anything is said about the rest.
    if rest.contains('@') {
        return Err(wrong("a login in a URL would be in every mail", "leave out what stands before the @"));
    }
    if rest.contains(['?', '#']) {
        return Err(wrong("a query or fragment cannot be kept", "leave out everything after the host"));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('/') {
        return Err(wrong("a path cannot be kept", "leave out everything after the host"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_is_right = port.is_none_or(|port| {
        port.bytes().all(|octet| octet.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_is_right = match literal {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => is_hostname(host),
    };
    if !host_is_right || !port_is_right {
        return Err(wrong("not a host name in ASCII", "write it like this: https://t.example.com"));
    }
    Ok(format!("{scheme}://{authority}"))
}

/// A URI that is shown to everybody and stands on a line of its own (RFC 9116 §2.5.3).
pub(super) fn contact(text: &str) -> Result<String, Wrong> {
    let rest = text.strip_prefix("mailto:").filter(|rest| rest.contains('@'));
    let rest = rest.or_else(|| text.strip_prefix("https://").filter(|rest| !rest.contains('@')));
    if rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_graphic())) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("must be a mailto: or https: URI", "shown to everybody in security.txt")
        .help("write it like this: mailto:security@example.com, or https://example.com/security"))
}

/// `socks5://[user:password@]host:port`. Names and passwords as RFC 1929 carries them, percent-encoded where needed.
pub(super) fn proxy(text: &str) -> Result<ProxyConfig, Wrong> {
    let wrong = || {
        Wrong::new("must be socks5:// with a host and a port", "not a SOCKS5 proxy").help(
            "write it like this: socks5://127.0.0.1:1080, or socks5://user:password@proxy.example.com:1080",
        )
    };
    let rest =
        text.strip_prefix("socks5://").or_else(|| text.strip_prefix("socks5h://")).ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
    let host = self::host(host).map_err(|_| wrong())?;
    let field = |text: &str| percent_decoded(text).filter(|text| (1..=255).contains(&text.len()));
    let login = match login {
        None => None,
        Some(login) => {
            let (name, password) = login.split_once(':').ok_or_else(wrong)?;
            Some((field(name).ok_or_else(wrong)?, Secret::new(field(password).ok_or_else(wrong)?)))
        }
    };
    Ok(ProxyConfig { host, port, login })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet == b'%' {
            let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            octets.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &behind[2..];
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}

/// Where a secret is sent: https, or this machine.
pub(super) fn endpoint(text: &str) -> Result<String, Wrong> {
    let wrong = |label| {
        Wrong::new("must be an https URL", label).help("write it like this: https://id.example.com/token")
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("not a URL"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let harmless = |c: char| c.is_ascii_graphic() && c != '#';
    if authority.contains('@') || !behind.chars().all(harmless) {
        return Err(wrong("with a login, a fragment or blanks"));
    }
    let base = base_url(&format!("{scheme}://{authority}")).map_err(|_| wrong("not an https URL"))?;
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if scheme == "http" && !is_loopback_host(host) {
        return Err(wrong("a secret would go there in plain text"));
    }
    Ok(format!("{base}{behind}"))
}

pub(super) fn store_url(text: &str) -> Result<PathBuf, Wrong> {
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        return Err(Wrong::new(
            "cannot be PostgreSQL: it is not available in this version",
            "not available in this version",
        )
        .help("write it like this: sqlite:///var/lib/waxseal/waxseal.db"));
    }
    let wrong = || {
        Wrong::new("must be sqlite: and the path of a file", "not a store")
            .help("write sqlite:///absolute/path.db or sqlite:path-relative-to-this-file.db")
    };
    let rest = text.strip_prefix("sqlite:").ok_or_else(wrong)?;
    // `sqlite://name/…` would name a host.
    let path = match rest.strip_prefix("//") {
        Some(after) if !after.starts_with('/') => return Err(wrong()),
        Some(after) => after,
        None => rest,
    };
    if path.contains(['?', '#']) || path.contains(":memory:") || path.ends_with('/') {
        return Err(wrong());
    }
    self::path(path).map_err(|_| wrong())
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if text.starts_with("systemd:") || text.starts_with("unix:") {
        return Err(Wrong::new(
            "cannot be a socket of systemd or a file: it is not available in this version",
            "not available in this version",
        )
        .help("write an IP address and a port: 127.0.0.1:2525"));
    }
    let wrong = Wrong::new("must be an IP address and a port", "not an address to listen on");
    let right = match text.rsplit_once(':') {
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            format!("write \"0.0.0.0:{port}\" for all addresses of this machine")
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => format!("write \"127.0.0.1:{port}\""),
        _ => "write it like this: \"0.0.0.0:465\", \"127.0.0.1:2525\", \"[::]:465\"".to_owned(),
    };
    Err(wrong.help(right))
}

pub(super) fn network(text: &str) -> Result<Network, Wrong> {
    Network::parse(text).ok_or_else(|| {
        Wrong::new("must be a list of IP networks", "not a network, or an address inside of one")
            .help("write it like this: \"127.0.0.0/8\", \"192.0.2.7\", \"2001:db8::/32\"")
    })
}

pub(super) fn pattern(key: &Key, text: &str) -> Result<AddressPattern, Wrong> {
    let everybody_too = matches!(key.kind, Kind::Senders);
    match AddressPattern::parse(text) {
        Some(AddressPattern::Anyone) if !everybody_too => {
            Err(Wrong::new("cannot be everybody", "matches every recipient")
                .help("for that there is tracking.enabled = false"))
        }
        Some(pattern) => Ok(pattern),
        None => {
            let forms = if everybody_too {
                "\"*\", \"*@example.com\" or \"ana@example.com\""
            } else {
                "\"*@example.com\" or \"ana@example.com\""
            };
            Err(Wrong::new("must be a list of address patterns", "not an address pattern")
                .help(format!("write {forms}")))
        }
    }
}

pub(super) fn mailbox(text: &str) -> Result<Mailbox, Wrong> {
    Mailbox::parse(text).map_err(|_| {
        Wrong::new("must be a mail address", "not a mail address")
            .help("write it like this: \"ana@example.com\"")
    })
}

pub(super) fn link_pattern(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Wrong::new("must be a list of link patterns", "empty, or with a space")
            .help("write it like this: \"*.example.com/unsubscribe*\""));
    }
    Ok(text.to_owned())
}

pub(super) fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() || text.chars().any(char::is_control) {
        let wrong = Wrong::new("must be a path", "empty, or more than one line");
        return Err(wrong.help("name the file, do not write here what is in it"));
    }
    Ok(PathBuf::from(text))
}

/// What may be the secret of a login: one line that AUTH PLAIN can carry (RFC 4616 §2).
pub(super) fn is_password(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\0', '\n', '\r'])
}

pub(super) fn secret(text: &str) -> Result<Secret, Wrong> {
    if is_password(text) {
        return Ok(Secret::new(text));
    }
    Err(Wrong::new("must be one line, not empty", "empty, or more than one line"))
}

/// `$argon2id$v=19$m=…,t=…,p=…$salt$hash`, as far as one sees without computing it.
pub(super) fn password_hash(text: &str) -> Result<Secret, Wrong> {
    let parts: Vec<&str> = text.split('$').collect();
    let is_right = match parts[..] {
        ["", "argon2id", "v=19", costs, salt, hash] => {
            are_costs(costs) && is_unpadded_base64(salt, 11..=64) && is_unpadded_base64(hash, 14..=86)
        }
        _ => false,
    };
    if is_right {
        return Ok(Secret::new(text));
    }
    let label = match parts[..] {
        ["", "argon2i" | "argon2d" | "2a" | "2b" | "2y" | "5" | "6" | "y" | "scrypt", ..] => {
            "a hash of another kind"
        }
        ["", "argon2id", ..] => "not a whole argon2id hash",
        _ => "not a hash",
    };
    Err(Wrong::new("must be an argon2id hash", label).help("`waxseal sender hash` makes one from a password"))
}

/// RFC 9106 §3.1; the upper bounds keep one login from taking all memory of the machine, or the day.
fn are_costs(text: &str) -> bool {
    let number = |text: &str, name: &str| {
        let digits = text.strip_prefix(name)?;
        digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let costs: Vec<&str> = text.split(',').collect();
    let [memory, passes, lanes] = costs[..] else { return false };
    match (number(memory, "m="), number(passes, "t="), number(lanes, "p=")) {
        (Some(memory), Some(passes), Some(lanes)) => {
            (1..=64).contains(&lanes) && (1..=64).contains(&passes) && (8 * lanes..=1 << 20).contains(&memory)
        }
        _ => false,
    }
}

fn is_unpadded_base64(text: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&text.len())
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+/".contains(&octet))
}

/// Is it a name for a file in a folder of ours, and not a way out of that folder?
pub(super) fn is_file_name(text: &str) -> bool {
    let mut components = Path::new(text).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(name)), None) if name == text)
}

/// Is it this machine and nobody else's? A name other than `localhost` is whatever the resolver says.
pub(super) fn is_loopback_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

pub(super) fn is_loopback(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}
