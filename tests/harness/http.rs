//! A recipient's browser, as far as a tracking host can tell.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// One request on a connection of its own.
pub fn request(host: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    raw(host, request.as_bytes())
}

/// Whatever octets, which ask for the connection to be closed.
pub fn raw(host: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer[end + 4..].to_vec() }
}

/// A GET of an absolute URL on `host`, as Firefox asks for an image.
pub fn get(host: SocketAddr, url: &str) -> Answer {
    let headers = [
        ("Accept", "image/avif,image/webp,*/*;q=0.5"),
        ("Sec-Fetch-Dest", "image"),
        ("Sec-Fetch-Mode", "no-cors"),
    ];
    as_firefox(host, url, &headers)
}

/// A GET of an absolute URL on `host`, as Firefox follows a link that a person clicked.
pub fn click(host: SocketAddr, url: &str) -> Answer {
    let headers = [
        ("Accept", "text/html,*/*;q=0.8"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-User", "?1"),
    ];
    as_firefox(host, url, &headers)
}

fn as_firefox(host: SocketAddr, url: &str, headers: &[(&str, &str)]) -> Answer {
    let target = url.strip_prefix(&format!("http://{host}")).unwrap_or(url);
    let common =
        [("User-Agent", FIREFOX), ("Accept-Language", "en-US,en;q=0.5"), ("Sec-Fetch-Site", "cross-site")];
    request(host, "GET", target, &[&common[..], headers].concat())
}
