use std::sync::Arc;

use envelope::{Credentials, ForwardPath, MailParameters, RcptParameters, Reply, ReversePath};
use tokio::sync::{Notify, watch};
use waxseal_smtp::{Client, Greeting, Handler, Service};

/// What all handlers of one listener heard.
#[derive(Default)]
pub struct Diary {
    /// One line for each thing, in order.
    pub heard: watch::Sender<Vec<String>>,
    pub contents: watch::Sender<Vec<Vec<u8>>>,
    /// Lets one content go that its handler holds back.
    pub release: Notify,
}

/// Makes handlers that write down what they hear.
pub struct Office(pub Arc<Diary>);

/// One connection's. What it does beside writing down, the addresses and contents say:
/// `nobody@` is refused, `panic@` and a content that begins with `Panic` make it panic, one that
/// begins with `Hold` is answered when it is released.
pub struct Clerk(Arc<Diary>);

impl Service for Office {
    type Handler = Clerk;

    fn open(&self, client: &Client) -> Clerk {
        let where_from = if client.peer.ip().is_loopback() { "here" } else { "elsewhere" };
        let clerk = Clerk(self.0.clone());
        clerk.note(format!("open {} from {where_from} tls={}", client.listener, client.tls));
        clerk
    }
}

impl Clerk {
    fn note(&self, line: impl Into<String>) {
        self.0.heard.send_modify(|lines| lines.push(line.into()));
    }
}

impl Handler for Clerk {
    async fn authenticate(&mut self, credentials: Credentials) -> Reply {
        self.note(format!("auth {}", credentials.login));
        if credentials.password.expose() == "hunter2" {
            Reply::of(235, "2.7.0", "Welcome")
        } else {
            Reply::of(535, "5.7.8", "Wrong")
        }
    }

    async fn mail(&mut self, reverse_path: ReversePath, _: MailParameters) -> Reply {
        self.note(format!("mail {}", reverse_path.to_path()));
        Reply::of(250, "2.1.0", "Ok")
    }

    async fn rcpt(&mut self, forward_path: ForwardPath, _: RcptParameters) -> Reply {
        self.note(format!("rcpt {}", forward_path.to_path()));
        match forward_path.mailbox().map_or("", |mailbox| mailbox.local_part()) {
            "nobody" => Reply::of(550, "5.1.1", "No such user"),
            "panic" => panic!("as the test ordered"),
            _ => Reply::of(250, "2.1.5", "Ok"),
        }
    }

    async fn content(&mut self, content: Vec<u8>, greeting: &Greeting) -> Reply {
        let Greeting { helo, esmtp, tls, authenticated } = greeting;
        self.note(format!("content from {helo} esmtp={esmtp} tls={tls} authenticated={authenticated}"));
        let hold = content.starts_with(b"Hold");
        let panic = content.starts_with(b"Panic");
        self.0.contents.send_modify(|contents| contents.push(content));
        if hold {
            self.0.release.notified().await;
        }
        assert!(!panic, "as the test ordered");
        Reply::of(250, "2.0.0", "Taken")
    }

    async fn reset(&mut self) {
        self.note("reset");
    }

    async fn close(&mut self) {
        self.note("close");
    }
}
