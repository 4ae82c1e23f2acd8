use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use mailin_embedded::Server;
use tokio::sync::watch;

use crate::config::CatcherConfig;
use crate::conversation::Conversation;
use crate::mailbox::{CaughtMail, Mailbox};

/// A mailbox that listens on loopback and keeps what it is given.
///
/// mailin-embedded cannot be stopped: its threads and its port stay until the process ends.
/// A dropped catcher lets its mails go and answers 421 from then on.
#[derive(Debug)]
pub struct Catcher {
    addr: SocketAddr,
    mailbox: Arc<Mailbox>,
}

/// Why a catcher did not start.
#[derive(Debug, thiserror::Error)]
pub enum CatcherError {
    /// It speaks no TLS and asks for no login, so strangers must not reach it.
    #[error("the catcher listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The port is taken, most often.
    #[error("the catcher cannot listen on {addr}")]
    NotBound {
        /// What was asked for.
        addr: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("the catcher cannot start its thread")]
    NoThread(#[source] io::Error),
}

impl Catcher {
    /// Listens on `bind` (port 0: any that is free) with the default configuration. The socket
    /// is open when this returns.
    pub fn start(bind: SocketAddr) -> Result<Self, CatcherError> {
        Self::start_with(bind, CatcherConfig::default())
    }

    /// Listens on `bind` as `config` says.
    pub fn start_with(bind: SocketAddr, config: CatcherConfig) -> Result<Self, CatcherError> {
        if !bind.ip().to_canonical().is_loopback() {
            return Err(CatcherError::NotLoopback(bind));
        }
        let not_bound = |source| CatcherError::NotBound { addr: bind, source };
        let listener = TcpListener::bind(bind).map_err(not_bound)?;
        let addr = listener.local_addr().map_err(not_bound)?;
        // Its pool asserts that there is a thread.
        let threads = config.max_connections.max(1);
        let mailbox = Arc::new(Mailbox::new(&config));
        let mut server = Server::new(Conversation::new(Arc::clone(&mailbox), config));
        server.with_name("catcher.localhost").with_num_threads(threads).with_tcp_listener(listener);
        thread::Builder::new()
            .name("waxseal-catcher".into())
            // It returns only when it cannot begin, and with a socket that is open it can.
            .spawn(move || drop(server.serve()))
            .map_err(CatcherError::NoThread)?;
        Ok(Self { addr, mailbox })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The mails it still has, oldest first: the newest that fit its bounds.
    pub fn caught(&self) -> Vec<Arc<CaughtMail>> {
        self.mailbox.all()
    }

    /// The mail with this number, unless newer ones have driven it out.
    pub fn mail(&self, number: u64) -> Option<Arc<CaughtMail>> {
        self.mailbox.get(number)
    }

    /// The number of the newest mail, 0 before the first. It changes when the mail is there.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.mailbox.arrivals()
    }
}

impl Drop for Catcher {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}
