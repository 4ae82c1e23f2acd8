use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::PATIENCE;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A mail program, as far as a test moves its lips.
pub struct Client {
    stream: BufReader<Box<dyn Stream>>,
    tls: Arc<ClientConfig>,
}

impl Client {
    pub async fn connect(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream: BufReader::new(Box::new(stream)), tls }
    }

    /// Goes on under TLS.
    pub async fn handshake(self) -> Self {
        let name = ServerName::try_from("relay.example").unwrap();
        let connector = TlsConnector::from(self.tls.clone());
        let stream =
            timeout(PATIENCE, connector.connect(name, self.stream.into_inner())).await.unwrap().unwrap();
        Self { stream: BufReader::new(Box::new(stream)), tls: self.tls }
    }

    pub async fn send(&mut self, octets: &[u8]) {
        let send = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, send).await.expect("cannot send").unwrap();
    }

    /// Sends one octet after another until somebody closes, and goes on while it reads. Then the reply.
    pub async fn dribble(&mut self, octets: &[u8]) -> String {
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        let dribbling = async {
            for octet in octets.iter().cycle() {
                if write.write_all(&[*octet]).await.is_err() || write.flush().await.is_err() {
                    break;
                }
                sleep(Duration::from_millis(5)).await;
            }
            std::future::pending::<()>().await;
        };
        let mut line = String::new();
        let mut read = BufReader::new(&mut read);
        tokio::select! {
            // A connection that was cut off is at its end as well.
            read = timeout(PATIENCE, read.read_line(&mut line)) => read.expect("no reply").unwrap_or(0),
            () = dribbling => unreachable!("it is pending for ever"),
        };
        line
    }

    /// The next reply, its lines joined by blanks; empty when the server has closed.
    pub async fn reply(&mut self) -> String {
        let mut reply: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await.expect("no reply");
            // A connection that was cut off is at its end as well.
            if read.unwrap_or(0) == 0 {
                return reply.join(" ");
            }
            let more = line.as_bytes().get(3) == Some(&b'-');
            reply.push(line.trim_end().to_owned());
            if !more {
                return reply.join(" ");
            }
        }
    }

    pub async fn expect(&mut self, beginning: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(beginning), "{reply:?} is not {beginning}");
        reply
    }

    pub async fn ask(&mut self, command: &str, beginning: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes()).await;
        self.expect(beginning).await
    }

    /// A whole transaction.
    pub async fn send_mail(&mut self, content: &str, beginning: &str) -> String {
        self.ask("MAIL FROM:<ana@a.example>", "250").await;
        self.ask("RCPT TO:<bob@b.example>", "250").await;
        self.ask("DATA", "354").await;
        self.send(content.as_bytes()).await;
        self.ask(".", beginning).await
    }

    pub async fn expect_closed(&mut self) {
        let rest = self.reply().await;
        assert_eq!(rest, "", "the connection is still open");
    }
}
