//! A provider that follows a script, on a real socket of this machine.
//!
//! [`Fake::finish`] panics when the client did not do what the script says: a test calls it last.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // Each test binary uses a part of it.

pub mod certificates;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use waxseal_upstream::{Tls, Trust, Upstream};

/// One thing the provider does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Says this and CRLF.
    S(&'static str),
    /// Says these octets.
    Raw(Vec<u8>),
    /// Says these octets one by one, each in a packet of its own.
    Slowly(Vec<u8>),
    /// Hears this line. A `*` at the end stands for anything.
    C(&'static str),
    /// Hears content to its final dot, and keeps it.
    Content,
    /// Hears exactly these octets.
    Octets(&'static [u8]),
    /// Hears this many octets of content.
    Some(usize),
    /// Agrees on TLS.
    Handshake,
    /// Says nothing more until the client hangs up.
    Stall,
    /// Neither says nor hears anything more.
    Freeze,
    /// Hears the end of the connection.
    End,
    /// As [`Act::Content`] with 250 replies to everything, until the client goes.
    Sink,
}

use Act::{C, S};

pub struct Fake {
    pub port: u16,
    task: JoinHandle<Result<Vec<Vec<u8>>, String>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Fake {
    /// A provider for one connection. Its script ends with the connection's.
    pub async fn start(script: Vec<Act>) -> Self {
        Self::with_tls(script, None).await
    }

    /// The same with something to show in a handshake.
    pub async fn with_tls(script: Vec<Act>, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.map_err(|error| error.to_string())?;
            tcp.set_nodelay(true).map_err(|error| error.to_string())?;
            follow(script, Box::new(tcp), tls).await
        });
        Self { port, task }
    }

    /// Waits for the script's end. Returns the contents, dots unstuffed.
    pub async fn finish(self) -> Vec<Vec<u8>> {
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("the script ends").unwrap().unwrap()
    }

    /// How to reach it without TLS.
    pub fn upstream(&self) -> Upstream {
        Upstream {
            name: "fake".into(),
            host: "127.0.0.1".into(),
            port: self.port,
            tls: Tls::None,
            trust: Trust::System,
            helo: "relay.test".into(),
            timeout: Duration::from_secs(5),
            proxy: None,
        }
    }

    /// The same with little patience.
    pub fn impatient(&self) -> Upstream {
        Upstream { timeout: Duration::from_millis(150), ..self.upstream() }
    }
}

/// Greeting and EHLO with these extensions, then `acts`.
pub fn after_ehlo(extensions: &[&str], acts: Vec<Act>) -> Vec<Act> {
    let mut lines = vec!["fake.test"];
    lines.extend(extensions);
    let last = lines.pop().unwrap();
    let reply: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
    let mut script = vec![S("220 fake.test ready"), C("EHLO relay.test")];
    script.push(Act::Raw(format!("{reply}250 {last}\r\n").into_bytes()));
    script.extend(acts);
    script
}

/// The same to the answer to DATA, exclusive.
pub fn after_data(acts: Vec<Act>) -> Vec<Act> {
    let mut script =
        vec![C("MAIL FROM:<ana@x.test>"), S("250 ok"), C("RCPT TO:<jo@y.test>"), S("250 ok"), C("DATA")];
    script.extend(acts);
    after_ehlo(&["8BITMIME"], script)
}

async fn follow(
    script: Vec<Act>,
    mut stream: Box<dyn Stream>,
    tls: Option<Arc<ServerConfig>>,
) -> Result<Vec<Vec<u8>>, String> {
    let mut contents = Vec::new();
    for act in script {
        // A client that has gone is told by what it should have said, not by a failed write.
        match act {
            Act::S(line) => drop(stream.write_all(format!("{line}\r\n").as_bytes()).await),
            Act::Raw(octets) => drop(stream.write_all(&octets).await),
            Act::Slowly(octets) => {
                for octet in octets {
                    drop(stream.write_all(&[octet]).await);
                    tokio::task::yield_now().await;
                }
            }
            Act::C(expected) => {
                let line = String::from_utf8_lossy(&line(&mut stream).await).into_owned();
                let right = match expected.strip_suffix('*') {
                    Option::Some(start) => line.starts_with(start),
                    None => line == format!("{expected}\r\n"),
                };
                if !right {
                    return Err(format!("{line:?} instead of {expected:?}"));
                }
            }
            Act::Content => contents.push(content(&mut stream).await?),
            Act::Octets(expected) => {
                let mut octets = vec![0; expected.len()];
                stream.read_exact(&mut octets).await.map_err(|error| error.to_string())?;
                if octets != expected {
                    return Err(format!(
                        "{:?} instead of {:?}",
                        octets.escape_ascii(),
                        expected.escape_ascii()
                    ));
                }
            }
            Act::Some(count) => {
                let mut octets = vec![0; count];
                stream.read_exact(&mut octets).await.map_err(|error| error.to_string())?;
            }
            Act::Handshake => {
                let config = tls.clone().ok_or("no certificate")?;
                match tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                    Ok(encrypted) => stream = Box::new(encrypted),
                    // The client did not like it: then it is gone, and so are we.
                    Err(_) => return Ok(contents),
                }
            }
            Act::Stall => {
                drop(stream.read_to_end(&mut Vec::new()).await);
            }
            Act::Freeze => std::future::pending().await,
            Act::End => {
                let said = line(&mut stream).await;
                if !said.is_empty() {
                    return Err(format!("{:?} instead of the end", String::from_utf8_lossy(&said)));
                }
            }
            Act::Sink => loop {
                let said = line(&mut stream).await;
                if said.is_empty() {
                    break;
                }
                if said == b"DATA\r\n" {
                    drop(stream.write_all(b"354 go\r\n").await);
                    contents.push(content(&mut stream).await?);
                }
                drop(stream.write_all(b"250 ok\r\n").await);
            },
        }
    }
    drop(stream.shutdown().await);
    Ok(contents)
}

/// One line with its end; what there is of it at the end of the connection.
async fn line(stream: &mut Box<dyn Stream>) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        match stream.read_u8().await {
            Ok(octet) => line.push(octet),
            Err(_) => break,
        }
    }
    line
}

/// RFC 5321 §4.5.2, read again by somebody who has not seen lettre's side of it.
async fn content(stream: &mut Box<dyn Stream>) -> Result<Vec<u8>, String> {
    // Octet by octet through a buffer: nothing is sent behind the dot before it is answered.
    let mut stream = tokio::io::BufReader::with_capacity(64 * 1024, stream);
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.map_err(|_| "content without end".to_owned())?);
        }
        match line.strip_prefix(b".") {
            Option::Some(b"\r\n") => break,
            Option::Some(rest) => content.extend_from_slice(rest),
            None => content.extend_from_slice(&line),
        }
    }
    if stream.buffer().is_empty() { Ok(content) } else { Err("octets behind the final dot".to_owned()) }
}
