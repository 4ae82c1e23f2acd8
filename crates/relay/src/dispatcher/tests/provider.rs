//! A provider that does as it is told, over a socket, and written apart from our own SMTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What it got.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) content: String,
    /// MAIL and RCPT as they came.
    pub(super) said: Vec<String>,
}

/// What it does at a line; `CONNECT` and `.` are the beginning and the end of content.
pub(super) enum Does {
    TheUsual,
    Says(&'static str),
    Closes,
    /// The usual, once it is let go.
    Waits,
}

type Script = Box<dyn FnMut(&str) -> Does + Send>;

pub(super) struct Provider {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    mails: Mutex<Vec<Mail>>,
    connections: AtomicUsize,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
    go: watch::Sender<bool>,
}

impl Provider {
    pub(super) async fn start() -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Does::TheUsual)),
            mails: Mutex::default(),
            connections: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            most_inside: AtomicUsize::new(0),
            go: watch::channel(false).0,
        });
        let (address, here) = (listener.local_addr().unwrap(), shared.clone());
        let task = tokio::spawn(async move {
            let mut talks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                here.connections.fetch_add(1, Ordering::SeqCst);
                talks.spawn(talk(stream, here.clone()));
            }
        });
        Self { address, shared, task }
    }

    pub(super) fn does(&self, script: impl FnMut(&str) -> Does + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    /// Lets those go that wait.
    pub(super) fn go(&self) {
        self.shared.go.send_replace(true);
    }

    pub(super) fn mails(&self) -> Vec<Mail> {
        self.shared.mails.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many transactions there were at once.
    pub(super) fn most_inside(&self) -> usize {
        self.shared.most_inside.load(Ordering::SeqCst)
    }

    /// Closes its port and every connection.
    pub(super) async fn stop(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

async fn talk(stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut mail = empty();
    let mut inside = false;
    let mut line = "CONNECT".to_owned();
    loop {
        let does = (shared.script.lock().unwrap())(&line);
        let usual = match line.get(..4).unwrap_or(&line) {
            "CONN" => "220 provider.test ESMTP",
            "EHLO" => "250-provider.test\r\n250-8BITMIME\r\n250 SIZE 10000000",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => "250 2.0.0 ok",
        };
        let answer = match does {
            Does::TheUsual => usual,
            Does::Says(answer) => answer,
            Does::Closes => break,
            Does::Waits => {
                let _ = shared.go.subscribe().wait_for(|go| *go).await;
                usual
            }
        };
        let took = answer.starts_with(['2', '3']);
        match line.get(..4).unwrap_or(&line) {
            "MAIL" if took => {
                mail = Mail { from: path_of(&line), said: vec![line.clone()], ..empty() };
                if !std::mem::replace(&mut inside, true) {
                    let now = shared.inside.fetch_add(1, Ordering::SeqCst) + 1;
                    shared.most_inside.fetch_max(now, Ordering::SeqCst);
                }
            }
            "RCPT" if took => {
                mail.to.push(path_of(&line));
                mail.said.push(line.clone());
            }
            "." => {
                if took {
                    shared.mails.lock().unwrap().push(mail.clone());
                }
                if std::mem::take(&mut inside) {
                    shared.inside.fetch_sub(1, Ordering::SeqCst);
                }
            }
            "RSET" if std::mem::take(&mut inside) => {
                shared.inside.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        let in_content = line == "DATA" && answer.starts_with("354");
        let Some(next) = next_line(&mut stream).await? else { break };
        line = next;
        if in_content {
            mail.content.clear();
            while line != "." {
                mail.content += line.strip_prefix('.').unwrap_or(&line);
                mail.content += "\r\n";
                let Some(next) = next_line(&mut stream).await? else { return Ok(()) };
                line = next;
            }
        }
    }
    if inside {
        shared.inside.fetch_sub(1, Ordering::SeqCst);
    }
    Ok(())
}

async fn next_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await?;
    Ok(line.ends_with(b"\r\n").then(|| String::from_utf8_lossy(&line[..line.len() - 2]).into_owned()))
}

fn path_of(line: &str) -> String {
    let path = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    path.map(|(path, _)| path.to_owned()).unwrap_or_default()
}

fn empty() -> Mail {
    Mail { from: String::new(), to: vec![], content: String::new(), said: vec![] }
}
