use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envelope::{
    Body, Credentials, ForwardPath, MailParameters, Notify, RcptParameters, Reply, Ret, ReversePath,
};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Quit, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;

use crate::content::{has_only_crlf, header_section};
use crate::dot_stuffing::DotStuffed;
use crate::error::{HandoffError, Step, closes};
use crate::extensions::{Extensions, SizeLimit};
use crate::opening;
use crate::raw_reply::RawReply;
use crate::sighting::Sighting;
use crate::upstream::Upstream;
use crate::wire::{FINAL_DOT, Fault, Heard, lock};

/// A session with a provider: lettre's connection over our wire.
///
/// `Ok` holds the provider's own code and words, also for 4yz and 5yz. After `Err` ask
/// [`Connection::is_usable`]: it stays usable where we refused something ourselves and sent
/// nothing. A call whose future is dropped before its end makes the connection unusable, since
/// nobody would know what the next reply answers.
pub struct Connection {
    lettre: AsyncSmtpConnection,
    heard: Arc<Mutex<Heard>>,
    host: String,
    timeout: Duration,
    extensions: Extensions,
    usable: bool,
    encrypted: bool,
    in_transaction: bool,
    messages: u32,
    /// What MAIL said of SMTPUTF8.
    utf8: Utf8,
    /// Commands that were sent with MAIL and whose replies are still to be read (RFC 2920).
    ahead: VecDeque<Step>,
}

/// Whether this transaction may carry UTF-8 in addresses and header fields (RFC 6531 §3.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Utf8 {
    /// The client did not ask.
    NotAsked,
    /// The client asked and the server does not offer it: fine as long as nothing needs it.
    NotOffered,
    /// SMTPUTF8 was sent with MAIL.
    Sent,
}

/// RFC 5321 §4.5.3.2: ten minutes for the reply to the content, two to five for others.
const PATIENCE_AFTER_CONTENT: u32 = 5;
/// Commands that go out together fit into any socket's buffer: a server that answers before it has read all must not
/// be what we wait for (RFC 2920 §3.1).
const MOST_AHEAD_OCTETS: usize = 4096;
const QUIT_LIMIT: Duration = Duration::from_secs(5);

impl Connection {
    /// Connects, agrees on TLS, says EHLO and logs in. When this returns, the server waits for MAIL.
    ///
    /// # Errors
    /// All kinds but those of MAIL, RCPT and content; a refused login is
    /// [`HandoffError::LoginRefused`].
    pub async fn open(upstream: &Upstream, login: Option<&Credentials>) -> Result<Self, HandoffError> {
        Self::open_watched(upstream, login, &mut |_| {}).await
    }

    /// The same, telling of each step that was taken.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn open_watched(
        upstream: &Upstream,
        login: Option<&Credentials>,
        watch: &mut (dyn FnMut(Sighting) + Send),
    ) -> Result<Self, HandoffError> {
        let (wire, extensions) = opening::open(upstream, login, watch).await?;
        let encrypted = wire.is_encrypted();
        let wire = wire.for_lettre();
        let heard = wire.heard();
        // The name goes nowhere: the wire keeps lettre's EHLO to itself.
        let name = ClientId::Domain("waxseal".to_owned());
        let lettre = AsyncSmtpConnection::connect_with_transport(Box::new(wire), &name)
            .await
            .map_err(|_| Fault::Lost(None).at(&upstream.host, Step::Hello))?;
        Ok(Self {
            lettre,
            heard,
            host: upstream.host.clone(),
            timeout: upstream.timeout,
            extensions,
            usable: true,
            encrypted,
            in_transaction: false,
            messages: 0,
            utf8: Utf8::NotAsked,
            ahead: VecDeque::new(),
        })
    }

    /// MAIL FROM, with those of the parameters that the server offers (RFC 5321 §4.1.1.11 forbids
    /// the others). BODY is handed on as the client declared it.
    ///
    /// # Errors
    /// [`HandoffError::TooLarge`], [`HandoffError::Utf8NotOffered`] and
    /// [`HandoffError::TlsNotRequired`] before anything is sent.
    pub async fn mail(
        &mut self,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<Reply, HandoffError> {
        let (command, utf8) = self.mail_command(reverse_path, parameters)?;
        self.begin_transaction(command, utf8, vec![]).await
    }

    /// MAIL as [`Connection::mail`], and with it, unasked for, RCPT for each of `recipients` and DATA, where the
    /// server offers PIPELINING (RFC 2920): one wait instead of several. The replies to those are read by the calls
    /// of [`Connection::rcpt`] for the same recipients in the same order, and of [`Connection::content`] with the same
    /// octets, which must follow as if nothing had been sent yet.
    ///
    /// What cannot go out as it is is not sent ahead; the later call says why.
    ///
    /// # Errors
    /// As [`Connection::mail`].
    pub async fn mail_ahead(
        &mut self,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
        recipients: &[(&ForwardPath, &RcptParameters)],
        content: &[u8],
    ) -> Result<Reply, HandoffError> {
        let (mut commands, utf8) = self.mail_command(reverse_path, parameters)?;
        let before = std::mem::replace(&mut self.utf8, utf8);
        let ahead = self.extensions.pipelining
            && !recipients.is_empty()
            && !self.goes_by_chunk(content)
            && self.check_content(b"", content).is_ok();
        let mail_alone = commands.len();
        let fits = ahead
            && recipients.iter().all(|(forward_path, parameters)| {
                let command = self.rcpt_command(forward_path, parameters);
                command.map(|command| commands += &command).is_ok() && commands.len() <= MOST_AHEAD_OCTETS
            });
        self.utf8 = before;
        let mut steps = vec![];
        if fits {
            commands += "DATA\r\n";
            steps.extend(recipients.iter().map(|_| Step::Rcpt).chain([Step::Data]));
        } else {
            commands.truncate(mail_alone);
        }
        self.begin_transaction(commands, utf8, steps).await
    }

    /// `ahead`: what else is in `commands`, behind MAIL.
    async fn begin_transaction(
        &mut self,
        commands: String,
        utf8: Utf8,
        ahead: Vec<Step>,
    ) -> Result<Reply, HandoffError> {
        self.in_transaction = true;
        let answer = self.command(Step::Mail, commands).await;
        self.ahead.extend(ahead);
        let reply = answer?;
        self.in_transaction = reply.code.is_positive();
        self.utf8 = utf8;
        self.final_reply(Step::Mail, &reply)
    }

    fn mail_command(
        &self,
        reverse_path: &ReversePath,
        parameters: &MailParameters,
    ) -> Result<(String, Utf8), HandoffError> {
        self.check_size(parameters.size)?;
        let is_ascii = reverse_path.mailbox().is_none_or(envelope::Mailbox::is_ascii);
        let utf8 = match (parameters.smtputf8 || !is_ascii, self.extensions.smtputf8) {
            (false, _) => Utf8::NotAsked,
            (true, true) => Utf8::Sent,
            (true, false) if is_ascii => Utf8::NotOffered,
            (true, false) => return Err(self.utf8_not_offered()),
        };
        let mut command = format!("MAIL FROM:{}", reverse_path.to_path());
        if let Some(size) = parameters.size
            && self.extensions.size != SizeLimit::NotOffered
        {
            command += &format!(" SIZE={size}");
        }
        if parameters.body == Some(Body::EightBitMime) && self.extensions.eight_bit_mime {
            command += " BODY=8BITMIME";
        }
        if utf8 == Utf8::Sent {
            command += " SMTPUTF8";
        }
        if parameters.require_tls {
            // RFC 8689 §4.2.1: it must not be dropped on the way, unlike what merely describes the message.
            if !(self.extensions.require_tls && self.encrypted) {
                let (host, encrypted) = (self.host.clone(), self.encrypted);
                return Err(HandoffError::TlsNotRequired { host, encrypted });
            }
            command += " REQUIRETLS";
        }
        if self.extensions.dsn {
            command += &dsn_of_mail(parameters);
        }
        command += "\r\n";
        Ok((command, utf8))
    }

    /// RCPT TO, for one recipient, with what the sender wants to hear of it where the server offers DSN.
    ///
    /// # Errors
    /// [`HandoffError::Utf8NotOffered`] before anything is sent; the others are unharmed.
    pub async fn rcpt(
        &mut self,
        forward_path: &ForwardPath,
        parameters: &RcptParameters,
    ) -> Result<Reply, HandoffError> {
        let command = self.rcpt_command(forward_path, parameters)?;
        let reply = self.command_or_ahead(Step::Rcpt, command).await?;
        self.final_reply(Step::Rcpt, &reply)
    }

    fn rcpt_command(
        &self,
        forward_path: &ForwardPath,
        parameters: &RcptParameters,
    ) -> Result<String, HandoffError> {
        let is_ascii = forward_path.mailbox().is_none_or(envelope::Mailbox::is_ascii);
        if !is_ascii && self.utf8 != Utf8::Sent {
            return Err(self.utf8_not_offered());
        }
        let dsn = if self.extensions.dsn { dsn_of_rcpt(parameters) } else { String::new() };
        Ok(format!("RCPT TO:{}{dsn}\r\n", forward_path.to_path()))
    }

    /// DATA and the content, octet for octet. `content` has CRLF line ends and no dots stuffed;
    /// `trace` goes before it: our own header field (RFC 5321 §4.4), whole lines, may be empty.
    ///
    /// Content that does not end in CRLF goes by BDAT where the server offers CHUNKING (RFC 3030), and nothing
    /// else does: DATA is what the world has tested. Deviation: elsewhere such content arrives with a CRLF
    /// (empty content: as one empty line), since DATA cannot carry it otherwise (RFC 5321 §4.1.1.4).
    ///
    /// `Ok` with 4yz or 5yz is the server's refusal, of DATA or of the content; the connection
    /// stays usable, and after a refusal of DATA the transaction stays open until
    /// [`Connection::reset`].
    ///
    /// # Errors
    /// [`HandoffError::BareLineEnd`], [`HandoffError::EightBitNotOffered`],
    /// [`HandoffError::Utf8NotOffered`] and [`HandoffError::TooLarge`] before DATA is sent.
    /// [`HandoffError::OutcomeUnknown`] when the connection fails between the final dot and its reply.
    pub async fn content(&mut self, trace: &[u8], content: &[u8]) -> Result<Reply, HandoffError> {
        let checked = self.check_content(trace, content);
        if checked.is_err() && !self.ahead.is_empty() {
            // DATA has gone out, for another content than this.
            self.usable = false;
        }
        checked?;
        if self.goes_by_chunk(content) && self.ahead.is_empty() {
            return self.chunk([trace, content].concat()).await;
        }
        let go_on = self.command_or_ahead(Step::Data, Data).await?;
        if go_on.code.severity().is_some() {
            return Ok(go_on.to_reply());
        }
        if !go_on.code.is_intermediate() {
            self.usable = false;
            return Err(self.nonsense(Step::Data, &go_on));
        }

        self.messages += 1;
        self.in_transaction = false;
        self.begin(Some(self.timeout * PATIENCE_AFTER_CONTENT))?;
        let heard = Arc::clone(&self.heard);
        // Each piece goes out as lettre flushes behind the nothing that it is given to write.
        let pieces = DotStuffed::new(trace, content).map(|piece| {
            let mut heard = lock(&heard);
            heard.chunk = piece.octets;
            heard.end_octets = if piece.is_last { FINAL_DOT.len() } else { 0 };
            b""
        });
        let answer = self.lettre.message_iter(pieces).await;
        self.end_of_content(answer)
    }

    /// DATA cannot carry it as it is.
    fn goes_by_chunk(&self, content: &[u8]) -> bool {
        self.extensions.chunking && !content.ends_with(b"\r\n")
    }

    /// The same by one `BDAT … LAST`.
    async fn chunk(&mut self, octets: Vec<u8>) -> Result<Reply, HandoffError> {
        self.messages += 1;
        self.begin(Some(self.timeout * PATIENCE_AFTER_CONTENT))?;
        let command = format!("BDAT {} LAST\r\n", octets.len());
        // Without octets the command itself is the message.
        let is_empty = octets.is_empty();
        {
            let mut heard = lock(&self.heard);
            (heard.chunk, heard.end_octets, heard.dot_sent) = (octets, 1, is_empty);
        }
        let answer = self.lettre.command(command).await;
        let reply = self.end_of_content(answer)?;
        // RFC 3030 §2: a refused chunk leaves the transaction open until RSET.
        self.in_transaction = !reply.is_positive();
        Ok(reply)
    }

    fn end_of_content(
        &mut self,
        answer: Result<Response, lettre::transport::smtp::Error>,
    ) -> Result<Reply, HandoffError> {
        let dot_sent = lock(&self.heard).dot_sent;
        let outcome = match self.conclude(Step::Content, answer) {
            Ok(reply) => self.final_reply(Step::Content, &reply),
            Err(error) => Err(error),
        };
        match outcome {
            // 421 is an answer too: the server did not take the message.
            Err(error) if dot_sent && !matches!(error, HandoffError::ShutDown { .. }) => {
                Err(HandoffError::OutcomeUnknown { host: self.host.clone(), source: Box::new(error) })
            }
            outcome => outcome,
        }
    }

    /// RSET: forgets the transaction.
    pub async fn reset(&mut self) -> Result<Reply, HandoffError> {
        while let Some(step) = self.ahead.front().copied() {
            let reply = self.ahead_of(step).await?;
            if step == Step::Data && reply.code.severity().is_none() {
                // The server waits for a content, though it may have no recipient, and RSET would be its first line.
                // Nothing ends that without a message but the end of the connection.
                self.usable = false;
            }
        }
        let reply = self.command(Step::Reset, Rset).await?;
        // A server that refuses RSET may still hold recipients of the message before.
        self.usable &= reply.code.is_positive();
        self.in_transaction = false;
        self.utf8 = Utf8::NotAsked;
        self.final_reply(Step::Reset, &reply)
    }

    /// QUIT, and the end of the connection, whatever the server says to it.
    pub async fn quit(mut self) {
        if self.ahead.is_empty() && self.begin(None).is_ok() {
            let _ = tokio::time::timeout(QUIT_LIMIT, self.lettre.command(Quit)).await;
        }
    }

    /// Can another command be sent?
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// May the server hold something of a message that was not finished?
    pub fn is_in_transaction(&self) -> bool {
        self.in_transaction || !self.ahead.is_empty()
    }

    /// How many messages it has carried, refused ones included.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// What the server offers.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The reply to a command that has gone out already, or else sends it.
    async fn command_or_ahead(
        &mut self,
        step: Step,
        command: impl Display,
    ) -> Result<RawReply, HandoffError> {
        match self.ahead.front() {
            None => self.command(step, command).await,
            Some(ahead) if *ahead == step => self.ahead_of(step).await,
            // Another call than was announced: nobody would know what the next reply answers.
            Some(_) => {
                self.usable = false;
                Err(HandoffError::Unusable { host: self.host.clone() })
            }
        }
    }

    /// The next reply to what was sent ahead.
    async fn ahead_of(&mut self, step: Step) -> Result<RawReply, HandoffError> {
        self.begin(None)?;
        let answer = self.lettre.read_response().await;
        self.ahead.pop_front();
        self.conclude(step, answer)
    }

    async fn command(&mut self, step: Step, command: impl Display) -> Result<RawReply, HandoffError> {
        if !self.ahead.is_empty() {
            // The next reply would be taken for the answer to this.
            self.usable = false;
        }
        self.begin(None)?;
        let answer = self.lettre.command(command).await;
        self.conclude(step, answer)
    }

    /// From here to [`Connection::conclude`] the connection is not usable: a caller that
    /// goes away in between must not leave it to the next.
    fn begin(&mut self, patience: Option<Duration>) -> Result<(), HandoffError> {
        if !std::mem::replace(&mut self.usable, false) {
            return Err(HandoffError::Unusable { host: self.host.clone() });
        }
        *lock(&self.heard) = Heard { patience, ..Heard::default() };
        Ok(())
    }

    /// What the wire heard, as long as lettre understood the same.
    fn conclude(
        &mut self,
        step: Step,
        answer: Result<Response, lettre::transport::smtp::Error>,
    ) -> Result<RawReply, HandoffError> {
        let heard = std::mem::take(&mut *lock(&self.heard));
        if let Some(fault) = heard.fault {
            return Err(fault.at(&self.host, step));
        }
        let Some(reply) = heard.reply else {
            return Err(Fault::Lost(None).at(&self.host, step));
        };
        if closes(reply.code) {
            return Err(HandoffError::ShutDown { host: self.host.clone(), step, reply: reply.to_reply() });
        }
        let agrees = match answer {
            Ok(_) => reply.code.severity().is_none(),
            Err(error) => error.status().is_some() && reply.code.severity().is_some(),
        };
        if !agrees && !heard.early {
            return Err(self.nonsense(step, &reply));
        }
        self.usable = !heard.early;
        Ok(reply)
    }

    /// A reply that ends a command: 3yz does not.
    fn final_reply(&mut self, step: Step, reply: &RawReply) -> Result<Reply, HandoffError> {
        if reply.code.is_intermediate() {
            self.usable = false;
            return Err(self.nonsense(step, reply));
        }
        Ok(reply.to_reply())
    }

    fn nonsense(&self, step: Step, reply: &RawReply) -> HandoffError {
        Fault::Nonsense(reply.to_reply().to_string().chars().take(80).collect()).at(&self.host, step)
    }

    fn check_size(&self, size: Option<u64>) -> Result<(), HandoffError> {
        match (size, self.extensions.size) {
            (Some(octets), SizeLimit::Octets(limit)) if octets > limit => {
                Err(HandoffError::TooLarge { host: self.host.clone(), octets, limit })
            }
            _ => Ok(()),
        }
    }

    fn check_content(&self, trace: &[u8], content: &[u8]) -> Result<(), HandoffError> {
        let host = || self.host.clone();
        if !has_only_crlf(content) || !has_only_crlf(trace) || !(trace.is_empty() || trace.ends_with(b"\n")) {
            return Err(HandoffError::BareLineEnd { host: host() });
        }
        self.check_size(u64::try_from(trace.len() + content.len()).ok())?;
        if self.utf8 == Utf8::NotOffered && !header_section(content).is_ascii() {
            return Err(self.utf8_not_offered());
        }
        if !self.extensions.eight_bit_mime && !content.is_ascii() {
            return Err(HandoffError::EightBitNotOffered { host: host() });
        }
        Ok(())
    }

    fn utf8_not_offered(&self) -> HandoffError {
        HandoffError::Utf8NotOffered { host: self.host.clone() }
    }
}

/// RET and ENVID, each with the blank before it.
fn dsn_of_mail(parameters: &MailParameters) -> String {
    let ret = match parameters.ret {
        Some(Ret::Full) => " RET=FULL",
        Some(Ret::Headers) => " RET=HDRS",
        None => "",
    };
    let envid = parameters.envid.as_deref().filter(|envid| is_parameter_value(envid));
    let envid = envid.map(|envid| format!(" ENVID={envid}"));
    ret.to_owned() + &envid.unwrap_or_default()
}

/// NOTIFY and ORCPT, each with the blank before it.
fn dsn_of_rcpt(parameters: &RcptParameters) -> String {
    let notify = parameters.notify.map(|notify| match notify {
        Notify::Never => " NOTIFY=NEVER".to_owned(),
        Notify::On { success, failure, delay } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            if words.is_empty() { String::new() } else { format!(" NOTIFY={}", words.join(",")) }
        }
    });
    let orcpt = parameters.orcpt.as_deref().filter(|orcpt| is_parameter_value(orcpt));
    let orcpt = orcpt.map(|orcpt| format!(" ORCPT={orcpt}"));
    notify.unwrap_or_default() + &orcpt.unwrap_or_default()
}

/// What cannot end the parameter, let alone the line. A client's xtext is such; a queue file that
/// somebody damaged may hold anything.
fn is_parameter_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Without what passes over it.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("host", &self.host)
            .field("usable", &self.usable)
            .field("extensions", &self.extensions)
            .finish_non_exhaustive()
    }
}
