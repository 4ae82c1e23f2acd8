use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envelope::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::event;
use crate::handler::{Client, Handler, Service};
use crate::limits::Admission;
use crate::listener_config::{ListenerConfig, TlsMode};
use crate::progress::Progress;
use crate::session::{Event, Output, Session};
use crate::session_config::AuthPolicy;
use crate::wire::Wire;

/// How much content is read at once, and reserved of the budget of octets at once.
const READ_OCTETS: usize = 16_384;
/// How much is read at once otherwise: most connections are idle, and there may be many.
const COMMAND_READ_OCTETS: usize = 2_048;
/// Replies are held back to go out together, up to this (RFC 2920 §3.2).
const MAX_WAITING_REPLY_OCTETS: usize = 16_384;
/// How long, and how much, we listen after our last word.
const LINGER: Duration = Duration::from_secs(2);
const MAX_LINGER_OCTETS: usize = 262_144;

/// One client's connection: drives the [`Session`] and asks the [`Handler`].
pub(crate) struct Connection<S: Service> {
    config: Arc<ListenerConfig>,
    service: Arc<S>,
    peer: SocketAddr,
    wire: Wire,
    session: Session,
    handler: Option<S::Handler>,
    buffer: Vec<u8>,
    /// Replies not yet written.
    replies: Vec<u8>,
    /// Our part of the budget of octets while content is under way.
    room: Option<OwnedSemaphorePermit>,
    shutdown: watch::Receiver<bool>,
    /// When the grace ends, once shutdown has begun.
    grace_ends: Option<Instant>,
    /// When the command that the client is at must be there.
    deadline: Instant,
    /// Others need its place.
    makes_place: bool,
    /// When it must have logged in.
    login_deadline: Instant,
    /// The content that comes in.
    progress: Option<Progress>,
    /// How many wait for room that we may hold.
    waiting: watch::Receiver<usize>,
    /// Its place among the connections. Dropped last.
    admission: Admission,
}

/// Who closed.
enum End {
    ByUs,
    /// By us, at once: others need the place.
    ForOthers,
    ByClient,
}

impl<S: Service> Connection<S> {
    /// The connection is accepted; nothing has been read or written.
    pub(crate) fn new(
        config: Arc<ListenerConfig>,
        service: Arc<S>,
        peer: SocketAddr,
        stays_here: bool,
        stream: TcpStream,
        shutdown: watch::Receiver<bool>,
        admission: Admission,
    ) -> Self {
        Self {
            session: Session::new(config.session(stays_here)),
            deadline: Instant::now() + config.deadlines.command,
            login_deadline: Instant::now() + config.deadlines.login,
            progress: None,
            makes_place: false,
            waiting: config.limits.waiting(),
            admission,
            config,
            service,
            peer,
            wire: Wire::Clear(stream),
            handler: None,
            buffer: Vec::new(),
            replies: Vec::new(),
            room: None,
            shutdown,
            grace_ends: None,
        }
    }

    /// Until one side closes. Whatever way it ends, the handler hears of it.
    pub(crate) async fn run(mut self) {
        let outcome = self.converse().await;
        self.room = None;
        if let Some(mut handler) = self.handler.take() {
            handler.close().await;
        }
        match outcome {
            Ok(End::ByClient) => event::closed(&self.config.name, self.peer, "by the client"),
            Ok(End::ByUs) => {
                event::closed(&self.config.name, self.peer, "by us");
                self.linger().await;
            }
            Ok(End::ForOthers) => event::made_place(&self.config.name, self.peer),
            Err(error) => event::broken(&self.config.name, self.peer, &error),
        }
    }

    async fn converse(&mut self) -> io::Result<End> {
        self.admission.may_be_ended();
        if let TlsMode::Implicit(_) = self.config.tls {
            if !self.begins_with_tls().await? {
                self.say(&wrong_port()).await?;
                self.write_replies().await?;
                return Ok(End::ByUs);
            }
            self.handshake().await?;
        }
        loop {
            let mut heard = false;
            while let Some(output) = self.session.step() {
                heard = true;
                match output {
                    Output::Reply(reply) => self.say(&reply).await?,
                    Output::Event(Event::StartTls) => self.start_tls().await?,
                    Output::Event(Event::Close) => {
                        self.write_replies().await?;
                        return Ok(if self.makes_place { End::ForOthers } else { End::ByUs });
                    }
                    Output::Event(event) => {
                        // These take their time. RFC 2920 §3.2: the replies to EHLO, NOOP and DATA
                        // do not wait so long.
                        if matches!(event, Event::Authenticate(_) | Event::Content { .. }) {
                            self.write_replies().await?;
                        }
                        self.admission.stays();
                        self.ask(event).await;
                    }
                }
            }
            self.write_replies().await?;
            if heard {
                self.deadline = Instant::now() + self.config.deadlines.command;
            }
            if !self.session.is_receiving_content() {
                self.progress = None;
            } else if self.progress.is_none() {
                let max_octets = self.config.max_message_octets;
                self.progress = Some(Progress::begin(&self.config.deadlines, max_octets));
            }
            if !self.session.is_known() {
                self.admission.may_be_ended();
            }
            if self.session.held_octets().is_none() {
                self.room = None;
            }
            if !self.listen().await? {
                return Ok(End::ByClient);
            }
        }
    }

    /// Asks the handler, and passes its answer on.
    async fn ask(&mut self, event: Event) {
        let handler = match &mut self.handler {
            Some(handler) => handler,
            none => {
                let (peer, listener) = (self.peer, self.config.name.clone());
                none.insert(self.service.open(&Client { peer, listener, tls: self.session.is_tls() }))
            }
        };
        let reply = match event {
            Event::Mail { reverse_path, parameters } => handler.mail(reverse_path, parameters).await,
            Event::Rcpt { forward_path, parameters } => handler.rcpt(forward_path, parameters).await,
            Event::Content { content, greeting } => {
                self.progress = None;
                let reply = handler.content(content, &greeting).await;
                self.room = None;
                reply
            }
            Event::Authenticate(credentials) => {
                let began = Instant::now();
                let reply = handler.authenticate(credentials).await;
                self.login_deadline += began.elapsed();
                if !reply.is_positive() {
                    event::login_refused(&self.config.name, self.peer, &reply);
                }
                reply
            }
            Event::Reset => {
                self.progress = None;
                return handler.reset().await;
            }
            Event::StartTls | Event::Close => return,
        };
        self.session.answer(reply);
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        self.write_replies().await?;
        // RFC 3207 §4.2: nothing that was said in clear counts under TLS.
        if let Some(mut handler) = self.handler.take() {
            handler.close().await;
        }
        self.handshake().await?;
        self.session.tls_started();
        Ok(())
    }

    /// A client that speaks first and not TLS, or waits for us to greet it, is at the wrong port.
    async fn begins_with_tls(&mut self) -> io::Result<bool> {
        let first = timeout(self.config.deadlines.handshake, self.wire.begins_with_tls());
        tokio::select! {
            biased;
            () = shut_down(&mut self.shutdown) => Err(io::ErrorKind::ConnectionAborted.into()),
            () = self.admission.told_to_go() => Err(io::ErrorKind::ConnectionAborted.into()),
            first = first => first.unwrap_or(Ok(false)),
        }
    }

    async fn handshake(&mut self) -> io::Result<()> {
        let config = match &self.config.tls {
            TlsMode::Implicit(config) | TlsMode::StartTls(config) => Arc::clone(config),
            TlsMode::None => return Err(io::ErrorKind::Unsupported.into()),
        };
        let handshake = timeout(self.config.deadlines.handshake, self.wire.start_tls(config));
        let outcome = tokio::select! {
            biased;
            () = shut_down(&mut self.shutdown) => Err(io::ErrorKind::ConnectionAborted.into()),
            () = self.admission.told_to_go() => Err(io::ErrorKind::ConnectionAborted.into()),
            outcome = handshake => outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        outcome.inspect_err(|error| event::no_handshake(&self.config.name, self.peer, error))
    }

    /// Backpressure: what does not fit into the budget of octets is not taken in. The client waits
    /// a while with us; then its content is let go, so that two half messages that wait for
    /// one another's room both come to an end.
    async fn make_room(&mut self, octets: usize) {
        while let Some(held) = self.session.held_octets() {
            let reserved = self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            if held + octets <= reserved {
                return;
            }
            let began = Instant::now();
            let more = self.config.limits.reserve(READ_OCTETS, self.config.deadlines.room).await;
            if let Some(progress) = &mut self.progress {
                progress.pause(began.elapsed());
            }
            match (more, &mut self.room) {
                (Some(more), Some(room)) => room.merge(more),
                (Some(more), none) => *none = Some(more),
                (None, _) => {
                    event::no_room(&self.config.name, self.peer);
                    self.session.give_up_content();
                }
            }
        }
    }

    /// Reads once, or says why it will not. False when the client has closed.
    async fn listen(&mut self) -> io::Result<bool> {
        loop {
            if self.grace_ends.is_none() && *self.shutdown.borrow() {
                self.grace_ends = Some(Instant::now() + self.config.deadlines.grace);
            }
            if self.grace_ends.is_some() && !self.session.is_receiving_content() {
                self.session.hang_up(shutting_down());
                return Ok(true);
            }
            if let Some(progress) = &mut self.progress {
                progress.hurry(
                    &self.config.deadlines,
                    self.room.is_some() && *self.waiting.borrow_and_update() > 0,
                );
            }
            let (until, late) = self.read_until();
            self.fit_buffer();
            tokio::select! {
                biased;
                () = shut_down(&mut self.shutdown), if self.grace_ends.is_none() => {}
                () = self.admission.told_to_go(), if !self.session.is_known() => {
                    self.makes_place = true;
                    self.session.hang_up(others_wait());
                    return Ok(true);
                }
                // Somebody waits for room, or nobody any more.
                Ok(()) = self.waiting.changed(), if self.room.is_some() => {}
                read = timeout_at(until, self.wire.read(&mut self.buffer)) => match read {
                    Ok(Ok(0)) => return Ok(false),
                    Ok(Ok(n)) => {
                        if let Some(progress) = &mut self.progress {
                            progress.received(&self.config.deadlines, n);
                        }
                        self.make_room(n).await;
                        self.session.receive(&self.buffer[..n]);
                        return Ok(true);
                    }
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {
                        self.session.hang_up(late);
                        return Ok(true);
                    }
                },
            }
        }
    }

    fn fit_buffer(&mut self) {
        let octets = if self.session.is_receiving_content() { READ_OCTETS } else { COMMAND_READ_OCTETS };
        if self.buffer.len() != octets {
            self.buffer = vec![0; octets];
        }
    }

    /// How long we listen, and what we say then. One octet now and then does not buy more time: it is counted
    /// for a whole command, for the whole login, or for a good piece of content.
    fn read_until(&self) -> (Instant, Reply) {
        let until = self.progress.as_ref().map_or(self.deadline, Progress::deadline);
        let mut first = (until, Reply::of(421, "4.4.2", "You took too long, closing"));
        let owes_login = self.config.auth == AuthPolicy::Required && !self.session.is_known();
        if owes_login && self.login_deadline < first.0 {
            first = (self.login_deadline, Reply::of(421, "4.4.2", "You took too long to log in, closing"));
        }
        match self.grace_ends {
            Some(grace_ends) if grace_ends <= first.0 => (grace_ends, shutting_down()),
            _ => first,
        }
    }

    async fn say(&mut self, reply: &Reply) -> io::Result<()> {
        match reply.severity() {
            Some(_) if reply.code().get() == 421 => event::hung_up(&self.config.name, self.peer, reply),
            Some(_) => event::refused(&self.config.name, self.peer, reply),
            None => {}
        }
        self.replies.extend_from_slice(&reply.to_bytes());
        if self.replies.len() > MAX_WAITING_REPLY_OCTETS { self.write_replies().await } else { Ok(()) }
    }

    async fn write_replies(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let write = async {
            self.wire.write_all(&self.replies).await?;
            self.wire.flush().await
        };
        tokio::select! {
            biased;
            written = timeout(self.config.deadlines.write, write) => written??,
            // Who does not even take its replies has nothing to be told.
            () = self.admission.told_to_go(), if !self.session.is_known() => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        self.replies = Vec::new();
        Ok(())
    }

    /// To close with octets unread would make the kernel throw our last word away, so we
    /// listen on for a moment.
    async fn linger(&mut self) {
        self.fit_buffer();
        let deaf = async {
            self.wire.shutdown().await?;
            let mut heard = 0;
            while heard < MAX_LINGER_OCTETS {
                match self.wire.read(&mut self.buffer).await? {
                    0 => break,
                    n => heard += n,
                }
            }
            io::Result::Ok(())
        };
        // Whether the client goes, or breaks off, or stays: the connection is over.
        let _ = timeout(LINGER, deaf).await;
    }
}

fn wrong_port() -> Reply {
    Reply::of(421, "4.7.0", "This port begins with TLS; for STARTTLS use 587")
}

fn others_wait() -> Reply {
    Reply::of(421, "4.3.2", "All connections are in use and you have not logged in, closing")
}

fn shutting_down() -> Reply {
    Reply::of(421, "4.3.2", "This server is shutting down, try again in a minute")
}

/// Resolves when shutdown begins; never when nobody is left to begin it.
pub(crate) async fn shut_down(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|begun| *begun).await.is_err() {
        pending::<()>().await;
    }
}
