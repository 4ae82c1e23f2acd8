//! A provider's submission server, written for these tests and independent of our own SMTP code:
//! it says what it is told to say and keeps every octet of what it is given.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// One mail as the provider got it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    pub reverse_path: String,
    pub recipients: Vec<String>,
    /// Dots unstuffed, the CRLF before the final dot included.
    pub content: Vec<u8>,
    /// The decoded AUTH PLAIN response of the session, if there was one.
    pub login: Option<String>,
    /// Counts connections from 1.
    pub connection: u64,
}

/// What the provider does at one place instead of the usual.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Says this line (or lines) instead.
    Say(&'static str),
    /// Closes the connection without a word.
    Close,
    /// Says nothing more.
    Stall,
    /// The usual, so much later.
    Late(Duration),
    /// The usual, an octet of the reply at a time.
    Drip(Duration),
    /// At the end of content: has the mail, and closes the connection without a word.
    Lose,
}

#[derive(Clone, Default)]
pub struct Script {
    /// Extensions after the name in the reply to EHLO.
    pub extensions: Vec<&'static str>,
    /// By verb: `MAIL`, `DATA`, `.` for the end of content, `AUTH`, `CONNECT`; `RCPT nobody@` by prefix of the address.
    pub at: HashMap<String, Behaviour>,
    /// TLS from the first octet, or after STARTTLS when that is among the extensions.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub implicit: bool,
    /// Required login, `\0login\0password`.
    pub login: Option<&'static str>,
}

pub struct Provider {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    connections: watch::Receiver<u64>,
    script: watch::Sender<Script>,
    hang_up: watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub async fn start(script: Script) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), script).await
    }

    pub async fn start_on(address: SocketAddr, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (count, connections) = watch::channel(0);
        let kept = received.clone();
        let (script, scripts) = watch::channel(script);
        let (hang_up, hung_up) = watch::channel(());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                count.send_modify(|count| *count += 1);
                let number = *count.borrow();
                tokio::spawn(connection(stream, scripts.clone(), hung_up.clone(), kept.clone(), number));
            }
        });
        Self { address, received, connections, script, hang_up, task }
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// From the next command on, also of connections that are open.
    pub fn does(&self, place: &str, behaviour: Option<Behaviour>) {
        self.script.send_modify(|script| {
            match behaviour {
                Some(behaviour) => script.at.insert(place.to_owned(), behaviour),
                None => script.at.remove(place),
            };
        });
    }

    /// Closes every connection that waits for a command.
    pub fn hang_up(&self) {
        self.hang_up.send_replace(());
    }

    pub fn forget(&self) {
        self.received.lock().unwrap().clear();
    }

    pub fn connections(&self) -> u64 {
        *self.connections.borrow()
    }

    /// Takes no more connections; those that are open go on.
    pub fn stop(self) {
        self.task.abort();
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn connection(
    stream: TcpStream,
    scripts: watch::Receiver<Script>,
    hung_up: watch::Receiver<()>,
    received: Arc<Mutex<Vec<Received>>>,
    number: u64,
) {
    let _ = stream.set_nodelay(true);
    let script = scripts.borrow().clone();
    let stream: Box<dyn Stream> = if script.implicit {
        let acceptor = tokio_rustls::TlsAcceptor::from(script.tls.clone().unwrap());
        match acceptor.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        }
    } else {
        Box::new(stream)
    };
    let _ = talk(BufReader::new(stream), &scripts, hung_up, &received, number).await;
}

async fn talk(
    mut stream: BufReader<Box<dyn Stream>>,
    scripts: &watch::Receiver<Script>,
    mut hung_up: watch::Receiver<()>,
    received: &Mutex<Vec<Received>>,
    number: u64,
) -> std::io::Result<()> {
    let mut script = scripts.borrow().clone();
    hung_up.mark_unchanged();
    let empty = || Received { connection: number, ..Received::default() };
    let (mut mail, mut login, mut encrypted) = (empty(), None::<String>, script.implicit);
    match script.at.get("CONNECT") {
        None => {}
        Some(Behaviour::Late(late)) => tokio::time::sleep(*late).await,
        Some(behaviour) => return behave(&mut stream, behaviour).await,
    }
    stream.write_all(b"220 provider.test ESMTP\r\n").await?;
    loop {
        let mut line = Vec::new();
        let read = tokio::select! {
            read = stream.read_until(b'\n', &mut line) => read?,
            Ok(()) = hung_up.changed() => 0,
        };
        if read == 0 {
            return Ok(());
        }
        script = scripts.borrow().clone();
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let place = place_of(&verb, &line, &script);
        let mut drip = None;
        match script.at.get(&place) {
            Some(Behaviour::Say(said)) => {
                stream.write_all(format!("{said}\r\n").as_bytes()).await?;
                continue;
            }
            Some(Behaviour::Late(late)) => tokio::time::sleep(*late).await,
            Some(Behaviour::Drip(pause)) => drip = Some(*pause),
            Some(behaviour) => return behave(&mut stream, behaviour).await,
            None => {}
        }
        let path = || {
            line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(path, _)| path.to_owned())
        };
        let answer = match verb.as_str() {
            "EHLO" => ehlo(&script, encrypted),
            "HELO" | "RSET" | "NOOP" => {
                if verb == "RSET" {
                    mail = empty();
                }
                "250 ok".into()
            }
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await?;
                let acceptor = tokio_rustls::TlsAcceptor::from(script.tls.clone().unwrap());
                let inner: Box<dyn Stream> = Box::new(acceptor.accept(stream.into_inner()).await?);
                stream = BufReader::new(inner);
                encrypted = true;
                continue;
            }
            "AUTH" => {
                let response = response_in(&line);
                if script.login.is_none_or(|right| right == response) {
                    login = Some(response);
                    "235 2.7.0 ok".into()
                } else {
                    "535 5.7.8 Username and Password not accepted".into()
                }
            }
            "MAIL" if script.login.is_some() && login.is_none() => "530 5.7.0 log in first".into(),
            "MAIL" => {
                mail = empty();
                mail.reverse_path = path().unwrap_or_default();
                "250 2.1.0 ok".into()
            }
            "RCPT" => {
                mail.recipients.push(path().unwrap_or_default());
                "250 2.1.5 ok".into()
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                mail.content = content(&mut stream).await?;
                script = scripts.borrow().clone();
                let ending = ending(script.at.get("."));
                if ending.keeps {
                    mail.login.clone_from(&login);
                    received.lock().unwrap().push(std::mem::replace(&mut mail, empty()));
                }
                if let Some(behaviour) = ending.over {
                    return behave(&mut stream, behaviour).await;
                }
                tokio::time::sleep(ending.late).await;
                drip = ending.drip;
                ending.says.to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "500 what?".into(),
        };
        say(&mut stream, &answer, drip).await?;
    }
}

/// The initial response of AUTH, decoded.
fn response_in(line: &str) -> String {
    use base64::Engine;
    let response = line.split(' ').nth(2).unwrap_or_default();
    let response = base64::engine::general_purpose::STANDARD.decode(response).unwrap_or_default();
    String::from_utf8_lossy(&response).into_owned()
}

/// At once, or an octet at a time.
async fn say(
    stream: &mut BufReader<Box<dyn Stream>>,
    answer: &str,
    drip: Option<Duration>,
) -> std::io::Result<()> {
    let answer = format!("{answer}\r\n");
    let Some(pause) = drip else { return stream.write_all(answer.as_bytes()).await };
    for octet in answer.as_bytes() {
        stream.write_all(&[*octet]).await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

/// What comes of a content that is there.
struct Ending<'a> {
    keeps: bool,
    late: Duration,
    drip: Option<Duration>,
    says: &'a str,
    /// The connection ends with this.
    over: Option<&'a Behaviour>,
}

fn ending(behaviour: Option<&Behaviour>) -> Ending<'_> {
    let usual =
        Ending { keeps: true, late: Duration::ZERO, drip: None, says: "250 2.0.0 queued", over: None };
    match behaviour {
        None => usual,
        // One that says 250 has it.
        Some(Behaviour::Say(says)) => Ending { keeps: says.starts_with('2'), says, ..usual },
        Some(Behaviour::Late(late)) => Ending { late: *late, ..usual },
        Some(Behaviour::Drip(pause)) => Ending { drip: Some(*pause), ..usual },
        Some(over @ Behaviour::Lose) => Ending { over: Some(over), ..usual },
        Some(over) => Ending { keeps: false, over: Some(over), ..usual },
    }
}

/// The key of [`Script::at`] that a command falls under.
fn place_of(verb: &str, line: &str, script: &Script) -> String {
    let address = line.split('<').nth(1).unwrap_or_default().split('>').next().unwrap_or_default();
    let is_for = |key: &&String| key.strip_prefix("RCPT ").is_some_and(|prefix| address.starts_with(prefix));
    let known = script.at.keys().find(is_for).filter(|_| verb == "RCPT");
    known.map_or_else(|| verb.to_owned(), Clone::clone)
}

fn ehlo(script: &Script, encrypted: bool) -> String {
    let mut lines = vec!["provider.test"];
    lines.extend(script.extensions.iter().filter(|e| !(encrypted && **e == "STARTTLS")));
    let last = lines.pop().unwrap();
    let mut text: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
    text.push_str(&format!("250 {last}"));
    text
}

/// The connection ends with it.
async fn behave(stream: &mut BufReader<Box<dyn Stream>>, behaviour: &Behaviour) -> std::io::Result<()> {
    match behaviour {
        Behaviour::Say(said) => stream.write_all(format!("{said}\r\n").as_bytes()).await,
        Behaviour::Stall => {
            let mut sink = [0; 1024];
            let _ = tokio::time::timeout(Duration::from_secs(30), async {
                while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
            })
            .await;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// RFC 5321 §4.5.2: to the line that is a dot alone; a dot at the beginning of another line goes.
async fn content(stream: &mut BufReader<Box<dyn Stream>>) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        // A line ends at CRLF only: a bare LF is part of it.
        while !line.ends_with(b"\r\n") {
            if stream.read_until(b'\n', &mut line).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if line == b".\r\n" {
            return Ok(content);
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
