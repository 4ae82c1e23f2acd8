//! What a recipient's program does with a caught message: finds the pixel and the links, and asks for them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER_OCTETS: u64 = 65_536;

/// What a program sends with its request: all that a tracking host can tell it by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program {
    headers: &'static [(&'static str, &'static str)],
}

const FIREFOX: (&str, &str) =
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0");

/// A browser that shows a message to a person at this computer and loads its images.
pub(crate) const SHOWS: Program = Program {
    headers: &[
        FIREFOX,
        ("Accept", "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Sec-Fetch-Dest", "image"),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Site", "cross-site"),
    ],
};

/// The same browser when the person clicks a link.
pub(crate) const CLICKS: Program = Program {
    headers: &[
        FIREFOX,
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("Accept-Language", "en-US,en;q=0.5"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-User", "?1"),
        ("Upgrade-Insecure-Requests", "1"),
    ],
};

/// Apple's mail privacy protection: it loads every image, read or not, through Apple's relay.
pub(crate) const APPLE: Program = Program {
    headers: &[("User-Agent", "Mozilla/5.0"), ("X-Forwarded-For", "172.225.10.1"), ("Accept", "*/*")],
};

/// What the tracking endpoint said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
}

/// The URLs in `html` that stand under `base_url` and `path`, entities undone, in their order.
pub(crate) fn tracked_urls(html: &str, base_url: &str, path: &str) -> Vec<String> {
    let start = format!("{base_url}{path}");
    let url = |at: usize| {
        let rest = &html[at..];
        let end = rest.find(['"', '\'', '>', ' ', '\r', '\n']).unwrap_or(rest.len());
        rest[..end].replace("&amp;", "&")
    };
    html.match_indices(&start).map(|(at, _)| url(at)).collect()
}

/// One GET. Speaks HTTP by hand: to our own endpoint on this computer, and to nothing else.
pub(crate) async fn get(endpoint: SocketAddr, url: &str, program: Program) -> anyhow::Result<Answer> {
    let path = url.strip_prefix(&format!("http://{endpoint}")).context("not a URL of this demo")?;
    let headers: String =
        program.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {endpoint}\r\n{headers}Connection: close\r\n\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(endpoint).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_OCTETS).read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.context("the tracking endpoint does not answer")??;
    let head = String::from_utf8_lossy(&answer);
    let head = head.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let Some(status) = status else { bail!("the tracking endpoint did not answer as HTTP does") };
    let location = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.to_owned())
    });
    Ok(Answer { status, location })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_and_decoded() {
        let html = "<a href=\"http://t/c/a?x=1&amp;y\">x</a><img src=http://t/o/b><a href='http://t/c/d'>";
        assert_eq!(tracked_urls(html, "http://t", "/c/"), ["http://t/c/a?x=1&y", "http://t/c/d"]);
        assert_eq!(tracked_urls(html, "http://t", "/o/"), ["http://t/o/b"]);
    }
}
