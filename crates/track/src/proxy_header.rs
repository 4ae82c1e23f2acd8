use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a proxy says of the connection it hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The client's address; `None` if the proxy does not know one, or speaks for itself.
    pub(crate) address: Option<IpAddr>,
    /// Whether the client came over TLS, if the proxy says so.
    pub(crate) https: Option<bool>,
}

/// What both versions can be told apart by. The shortest line of version 1 is longer.
const START: usize = 12;
const SIGNATURE: &[u8; START] = b"\r\n\r\n\0\r\nQUIT\n";
/// `PROXY TCP6` with two addresses and two ports of the greatest length, CR and LF.
const LONGEST_LINE: usize = 107;
/// Addresses take 216 octets at most; the rest is for what a proxy adds, a client certificate's name for example.
const MOST_OCTETS: usize = 4_096;

/// Reads the header of the PROXY protocol, version 1 or 2, and no octet more.
///
/// # Errors
/// `InvalidData`: it is none, or is malformed. Then nothing that follows can be believed either.
///
/// Source: The PROXY protocol, versions 1 & 2 (`HAProxy`, doc/proxy-protocol.txt), section 2.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Announced> {
    let mut start = [0; START];
    stream.read_exact(&mut start).await?;
    if &start == SIGNATURE {
        return read_binary(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(malformed());
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE {
            return Err(malformed());
        }
        // Octet by octet: the next one may be the request's.
        line.push(stream.read_u8().await?);
    }
    parse_line(&line).ok_or_else(malformed)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 443`, CRLF.
fn parse_line(line: &[u8]) -> Option<Announced> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?.strip_prefix("PROXY ")?;
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    if family == "UNKNOWN" {
        return Some(Announced { address: None, https: None });
    }
    let mut words = rest.split(' ');
    let mut next = || words.next();
    let (source, target, source_port, target_port) = (next()?, next()?, next()?, next()?);
    if next().is_some() {
        return None;
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let port = |text: &str| {
        let digits = text.bytes().all(|octet| octet.is_ascii_digit()) && text.len() <= 5;
        text.parse::<u16>().ok().filter(|_| digits)
    };
    address(target)?;
    port(source_port)?;
    let https = https_by_port(port(target_port)?);
    Some(Announced { address: Some(address(source)?.to_canonical()), https })
}

/// Version 2, behind its signature.
async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Announced> {
    let command = stream.read_u8().await?;
    let family = stream.read_u8().await?;
    let length = usize::from(stream.read_u16().await?);
    if length > MOST_OCTETS {
        return Err(malformed());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    parse_binary(command, family, &rest).ok_or_else(malformed)
}

fn parse_binary(command: u8, family: u8, rest: &[u8]) -> Option<Announced> {
    let nobody = Announced { address: None, https: None };
    match command {
        // LOCAL: the proxy asks for itself, to see whether we are there.
        0x20 => return Some(nobody),
        0x21 => {}
        _ => return None,
    }
    let (source, target_port, more) = match family {
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let (addresses, more) = rest.split_first_chunk::<12>()?;
            let source = Ipv4Addr::new(addresses[0], addresses[1], addresses[2], addresses[3]);
            (IpAddr::V4(source), u16::from_be_bytes([addresses[10], addresses[11]]), more)
        }
        0x21 => {
            let (addresses, more) = rest.split_first_chunk::<36>()?;
            let source = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
            (IpAddr::V6(source), u16::from_be_bytes([addresses[34], addresses[35]]), more)
        }
        // Unspecified, datagrams, Unix sockets: no address that says who it is.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Some(nobody),
        _ => return None,
    };
    let https = https_by_extension(more).ok()?.or_else(|| https_by_port(target_port));
    Some(Announced { address: Some(source.to_canonical()), https })
}

/// What the extension `PP2_TYPE_SSL` says, if it is there.
fn https_by_extension(mut extensions: &[u8]) -> io::Result<Option<bool>> {
    const SSL: u8 = 0x20;
    const OVER_SSL: u8 = 1;
    let mut https = None;
    while let Some((kind, rest)) = extensions.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, rest) = rest.split_at_checked(length).ok_or_else(malformed)?;
        if *kind == SSL {
            https = Some(value.first().ok_or_else(malformed)? & OVER_SSL != 0);
        }
        extensions = rest;
    }
    Ok(https)
}

/// The ports that the schemes are known by; another says nothing.
fn https_by_port(port: u16) -> Option<bool> {
    match port {
        443 => Some(true),
        80 => Some(false),
        _ => None,
    }
}

fn malformed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "no header of the PROXY protocol, or a malformed one")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is announced, and what is left for the request.
    fn read_all(octets: &[u8]) -> io::Result<(Announced, Vec<u8>)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut stream = octets;
            let announced = read(&mut stream).await?;
            Ok((announced, stream.to_vec()))
        })
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const FOUR: [u8; 12] = [198, 51, 100, 7, 10, 0, 0, 1, 0x12, 0x67, 0x1f, 0x90];

    #[test]
    fn both_versions() {
        let six = {
            let mut six = [0; 36];
            six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            six[15] = 7;
            six[34..].copy_from_slice(&443_u16.to_be_bytes());
            six
        };
        let ssl = |client: u8| [&FOUR[..], &[0x04, 0, 1, 9, 0x20, 0, 5, client, 0, 0, 0, 0]].concat();
        let line = |text: &str| text.as_bytes().to_vec();
        for (name, header, address, https) in [
            ("v1", line("PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n"), Some("198.51.100.7"), Some(true)),
            ("v1, IPv6", line("PROXY TCP6 2001:db8::7 ::1 4711 80\r\n"), Some("2001:db8::7"), Some(false)),
            ("v1, mapped", line("PROXY TCP6 ::ffff:198.51.100.7 ::1 1 8080\r\n"), Some("198.51.100.7"), None),
            ("v1, nobody", line("PROXY UNKNOWN\r\n"), None, None),
            ("v1, nobody, and more", line("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\n"), None, None),
            ("v2", binary(0x21, 0x11, &FOUR), Some("198.51.100.7"), None),
            ("v2, IPv6", binary(0x21, 0x21, &six), Some("2001:db8::7"), Some(true)),
            ("v2, over TLS", binary(0x21, 0x11, &ssl(1)), Some("198.51.100.7"), Some(true)),
            ("v2, said to be plain", binary(0x21, 0x11, &ssl(0)), Some("198.51.100.7"), Some(false)),
            ("v2, the proxy itself", binary(0x20, 0x11, &FOUR), None, None),
            ("v2, unspecified", binary(0x21, 0x00, &[]), None, None),
            ("v2, Unix", binary(0x21, 0x31, &[0; 216]), None, None),
        ] {
            let announced = Announced { address: address.map(|text| text.parse().unwrap()), https };
            let octets = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read_all(&octets).unwrap(), (announced, b"GET / HTTP/1.1\r\n".to_vec()), "{name}");
            for end in 0..header.len() {
                assert!(read_all(&header[..end]).is_err(), "{name}, cut at {end}");
            }
        }
    }

    #[test]
    fn what_is_none() {
        let line = |text: &str| text.as_bytes().to_vec();
        for (name, octets) in [
            ("a request", line("GET / HTTP/1.1\r\nHost: t\r\n\r\n")),
            ("in small letters", line("proxy TCP4 198.51.100.7 10.0.0.1 1 2\r\n")),
            ("LF alone", line("PROXY TCP4 198.51.100.7 10.0.0.1 1 2\nGET / HTTP/1.1\r\n")),
            ("another family", line("PROXY TCP4 2001:db8::7 ::1 1 2\r\n")),
            ("unknown family", line("PROXY UDP4 198.51.100.7 10.0.0.1 1 2\r\n")),
            ("two blanks", line("PROXY TCP4  198.51.100.7 10.0.0.1 1 2\r\n")),
            ("port too large", line("PROXY TCP4 198.51.100.7 10.0.0.1 1 65536\r\n")),
            ("port with a sign", line("PROXY TCP4 198.51.100.7 10.0.0.1 +1 2\r\n")),
            ("a word too few", line("PROXY TCP4 198.51.100.7 10.0.0.1 1\r\n")),
            ("a word too many", line("PROXY TCP4 198.51.100.7 10.0.0.1 1 2 3\r\n")),
            ("a line without end", line(&format!("PROXY UNKNOWN {}", "x".repeat(200)))),
            ("v2, another version", binary(0x11, 0x11, &FOUR)),
            ("v2, another command", binary(0x22, 0x11, &FOUR)),
            ("v2, another family", binary(0x21, 0x41, &FOUR)),
            ("v2, too short", binary(0x21, 0x11, &FOUR[..11])),
            ("v2, extension cut", binary(0x21, 0x11, &[&FOUR[..], &[0x20, 0, 9, 1]].concat())),
            ("v2, too long", binary(0x21, 0x11, &[0; MOST_OCTETS + 1])),
        ] {
            assert!(read_all(&octets).is_err(), "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(octets in prop::collection::vec(any::<u8>(), 0..80), version in 0..3_u8) {
            let start: &[u8] = match version {
                0 => b"PROXY TCP4 ",
                1 => SIGNATURE,
                _ => b"",
            };
            let _ = read_all(&[start, &octets].concat());
        }
    }
}
