use std::io;
use std::time::Duration;

use anyhow::bail;
use envelope::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::form_urlencoded;

/// The port of this machine that a browser comes back to (RFC 8252 §7.3).
pub(super) struct Door {
    four: TcpListener,
    /// For a browser that takes `localhost` for `::1`.
    six: Option<TcpListener>,
    port: u16,
}

/// A browser sends its request at once.
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_REQUEST_OCTETS: usize = 16 * 1024;

const DONE: &str = "Signed in. You can close this page.";
const FAILED: &str = "The sign-in did not come about; the terminal says why.";
const NOT_THIS: &str = "This is not the page you are looking for.";

impl Door {
    /// Opens `port`, or any free one for 0.
    pub(super) async fn open(port: u16) -> io::Result<Self> {
        let four = TcpListener::bind(("127.0.0.1", port)).await?;
        let port = four.local_addr()?.port();
        let six = TcpListener::bind(("::1", port)).await.ok();
        Ok(Self { four, six, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The code that comes with `state`. Whoever comes without is sent away: any page that is open in
    /// the browser can call here.
    pub(super) async fn code(&self, state: &str) -> anyhow::Result<Secret> {
        loop {
            let six = async {
                match &self.six {
                    Some(six) => six.accept().await,
                    None => std::future::pending().await,
                }
            };
            let (mut visitor, _) = tokio::select! {
                accepted = self.four.accept() => accepted?,
                accepted = six => accepted?,
            };
            // One after the other: a person has one browser, and each visit is short.
            let Ok(Ok(target)) = tokio::time::timeout(PATIENCE, target(&mut visitor)).await else { continue };
            let query = target.strip_prefix("/?").unwrap_or_default();
            let field = |name: &str| {
                form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
            };
            if field("state").as_deref() != Some(state) {
                answer(&mut visitor, "404 Not Found", NOT_THIS).await;
                continue;
            }
            if let Some(code) = field("code").filter(|code| !code.is_empty()) {
                answer(&mut visitor, "200 OK", DONE).await;
                return Ok(Secret::new(code));
            }
            answer(&mut visitor, "400 Bad Request", FAILED).await;
            let why = [field("error"), field("error_description")].into_iter().flatten();
            let why: String =
                why.collect::<Vec<_>>().join(": ").chars().filter(|c| !c.is_control()).take(300).collect();
            bail!("the provider gave no code: {why}");
        }
    }
}

/// `/?code=…` out of `GET /?code=… HTTP/1.1`.
async fn target(visitor: &mut TcpStream) -> io::Result<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|octets| octets == b"\r\n\r\n") {
        let mut octets = [0; 2048];
        let count = visitor.read(&mut octets).await?;
        request.extend_from_slice(&octets[..count]);
        if count == 0 || request.len() > MAX_REQUEST_OCTETS {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some(target)) => Ok(target.to_owned()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn answer(visitor: &mut TcpStream, status: &str, text: &str) {
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    );
    let _ = visitor.write_all(page.as_bytes()).await;
    let _ = visitor.shutdown().await;
}
