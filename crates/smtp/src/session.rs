use std::collections::VecDeque;
use std::mem;

use envelope::{Credentials, ForwardPath, MailParameters, Mailbox, Reply, ReversePath, Secret};

use crate::auth::{Exchange, Step};
use crate::command::{Command, Helo, Mechanism};
use crate::content::{ContentReceiver, too_large};
use crate::handler::Greeting;
use crate::line::{Line, LineBuffer};
use crate::session_config::{AuthPolicy, SessionConfig, TlsOffer};
use crate::syntax_error::SyntaxError;

/// The server's half of one SMTP session (RFC 5321 §3), without any I/O.
///
/// Give it the client's octets with [`Session::receive`], however they are split; take what
/// is to be done with [`Session::step`] until that is `None`; answer the events that ask for
/// it with [`Session::answer`]. What comes out does not depend on how the octets came in.
///
/// It holds one unfinished line, what one `receive` brought, and the content of one message.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    lines: LineBuffer,
    outputs: VecDeque<Output>,
    awaiting: Option<Question>,
    tls: bool,
    authenticated: bool,
    failed_logins: u32,
    bad_commands: u32,
}

/// What the session wants done next, in order.
#[derive(Debug)]
pub enum Output {
    /// Say this to the client.
    Reply(Reply),
    /// Do this.
    Event(Event),
}

/// What the client brought about. The first four want an [`Session::answer`].
#[derive(Debug)]
pub enum Event {
    /// A login is to be checked; 235 lets the client in.
    Authenticate(Credentials),
    /// A transaction begins.
    Mail {
        /// Who hears of failures.
        reverse_path: ReversePath,
        /// What MAIL said besides.
        parameters: MailParameters,
    },
    /// A recipient.
    Rcpt {
        /// Whom the message is for.
        forward_path: ForwardPath,
    },
    /// A whole message.
    Content {
        /// Its octets: the client's dots taken off, all lines ended by CRLF.
        content: Vec<u8>,
        /// What the client said of itself.
        greeting: Greeting,
    },
    /// The open transaction is over, nothing was taken over.
    Reset,
    /// After the replies so far comes a TLS handshake, then [`Session::tls_started`].
    StartTls,
    /// After the replies so far close the connection. Nothing comes after this.
    Close,
}

/// RFC 5321 §4.1.4. A command finds out here whether its turn has come.
#[derive(Debug)]
enum State {
    Connected,
    Greeted {
        client: Helo,
    },
    /// Within AUTH: the next line is a response, not a command.
    Auth {
        client: Helo,
        exchange: Exchange,
    },
    Mail {
        client: Helo,
        smtputf8: bool,
        /// All recipients so far were refused, and there were some.
        refused: bool,
    },
    /// Only here is there something to send DATA for.
    Rcpt {
        client: Helo,
        smtputf8: bool,
        recipients: usize,
    },
    Data {
        client: Helo,
        receiver: ContentReceiver,
    },
    /// STARTTLS was answered; the client has nothing to say until TLS is there.
    StartTls {
        announced: bool,
    },
    Closed,
}

/// What an event asked, and what is needed to go on with the answer.
#[derive(Clone, Copy, Debug)]
enum Question {
    Authenticate,
    Mail { smtputf8: bool },
    Rcpt,
    Content,
}

impl Session {
    /// Begins with our greeting (RFC 5321 §3.1).
    pub fn new(config: SessionConfig) -> Self {
        let greeting = Reply::of(220, "", format!("{} ESMTP", config.hostname));
        Self {
            tls: config.tls == TlsOffer::Active,
            config,
            state: State::Connected,
            lines: LineBuffer::default(),
            outputs: VecDeque::from([Output::Reply(greeting)]),
            awaiting: None,
            authenticated: false,
            failed_logins: 0,
            bad_commands: 0,
        }
    }

    /// Takes octets of the client. To keep memory bounded, call it only when
    /// [`Session::step`] has given `None` and no answer is owed.
    pub fn receive(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Closed) {
            self.lines.push(octets);
        }
    }

    /// The next thing to do; `None` when it is the turn of [`Session::answer`] or of the client.
    pub fn step(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if self.awaiting.is_some() || !self.advance() {
                return None;
            }
        }
    }

    /// The answer to the event that asked last. Without one it does nothing.
    pub fn answer(&mut self, reply: Reply) {
        let Some(question) = self.awaiting.take() else { return };
        let reply = fitting(question, reply);
        let positive = reply.is_positive();
        let leaves = reply.code().get() == 421;
        match question {
            Question::Authenticate => self.authentication_answered(reply),
            Question::Mail { smtputf8 } => {
                self.reply(reply);
                if positive {
                    self.change(|client| State::Mail { client, smtputf8, refused: false });
                }
            }
            Question::Rcpt => {
                self.reply(reply);
                self.recipient_answered(positive);
            }
            Question::Content => {
                self.reply(reply);
                if positive {
                    self.bad_commands = 0;
                } else {
                    self.event(Event::Reset);
                }
            }
        }
        if leaves {
            self.close();
        }
    }

    /// The handshake is done: everything the client said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        if let State::StartTls { .. } = self.state {
            self.tls = true;
            self.state = State::Connected;
        }
    }

    /// Says a last word and closes: for deadlines and shutdown.
    pub fn hang_up(&mut self, reply: Reply) {
        if !matches!(self.state, State::Closed) {
            self.reply(reply);
            self.close();
        }
    }

    /// Between DATA's 354 and the final dot?
    pub fn is_receiving_content(&self) -> bool {
        matches!(self.state, State::Data { .. })
    }

    /// How many octets of content it holds; `None` when it keeps none, because no content is
    /// under way or because the answer is settled and it only reads on to the final dot.
    pub fn held_octets(&self) -> Option<usize> {
        match &self.state {
            State::Data { receiver, .. } => receiver.held_octets(),
            _ => None,
        }
    }

    /// There is no room for the content under way: lets go of it, and answers 452 at its end.
    pub fn give_up_content(&mut self) {
        if let State::Data { receiver, .. } = &mut self.state {
            receiver.give_up();
        }
    }

    /// Is the connection under TLS?
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Takes one thing from what the client sent. False when there is nothing whole to take.
    fn advance(&mut self) -> bool {
        match &self.state {
            State::Closed => false,
            State::StartTls { announced } => self.wait_for_tls(*announced),
            State::Data { .. } => self.receive_content(),
            State::Auth { .. } => self.receive_line(self.config.max_auth_line_octets),
            _ if self.lines.next_line_begins_with(TLS_HANDSHAKE_RECORD) => {
                self.hang_up(Reply::of(421, "4.7.0", "This port does not begin with TLS"));
                true
            }
            _ => self.receive_line(self.max_command_octets()),
        }
    }

    /// Whatever the client sent behind STARTTLS it sent in clear, or somebody else did. To take
    /// it for something said under TLS would let him inject commands (CVE-2011-0411).
    fn wait_for_tls(&mut self, announced: bool) -> bool {
        if !self.lines.waiting().is_empty() {
            self.close();
            return true;
        }
        if !announced {
            self.state = State::StartTls { announced: true };
            self.event(Event::StartTls);
        }
        !announced
    }

    fn receive_content(&mut self) -> bool {
        let State::Data { receiver, .. } = &mut self.state else { return false };
        let waiting = self.lines.waiting();
        let Some(taken) = receiver.push(waiting) else {
            let taken = waiting.len();
            self.lines.consume(taken);
            return false;
        };
        self.lines.consume(taken);
        if let State::Data { client, receiver } = mem::replace(&mut self.state, State::Closed) {
            let greeting = self.greeting(&client);
            self.state = State::Greeted { client };
            match receiver.finish() {
                Ok(content) => self.ask(Question::Content, Event::Content { content, greeting }),
                Err(refusal) => {
                    self.event(Event::Reset);
                    self.reply(refusal);
                }
            }
        }
        true
    }

    fn max_command_octets(&self) -> usize {
        let is_auth = self.lines.waiting().get(..5).is_some_and(|head| head.eq_ignore_ascii_case(b"AUTH "));
        if is_auth { self.config.max_auth_line_octets } else { self.config.max_line_octets }
    }

    fn receive_line(&mut self, max_octets: usize) -> bool {
        let Some(line) = self.lines.next_line(max_octets) else { return false };
        match line {
            Line::Complete(line) if matches!(self.state, State::Auth { .. }) => self.auth_response(&line),
            Line::Complete(line) => match Command::parse(&line) {
                Ok(command) => self.command(command),
                Err(error) => self.refuse(error.reply()),
            },
            Line::BareLineFeed => self.refuse_line(&SyntaxError::BareLineEnd),
            Line::TooLong => self.refuse_line(&SyntaxError::LineTooLong(max_octets)),
            Line::Skipped => {}
            Line::Endless => self.hang_up(Reply::of(421, "4.7.0", "A line without end, closing")),
        }
        true
    }

    /// Also the end of an AUTH exchange, if the line was a response: the next one is a command.
    fn refuse_line(&mut self, error: &SyntaxError) {
        if let State::Auth { .. } = self.state {
            self.change(|client| State::Greeted { client });
        }
        self.refuse(error.reply());
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Hello(client) => self.hello(client),
            Command::Mail { reverse_path, parameters } => self.mail(reverse_path, parameters),
            Command::Rcpt { forward_path } => self.rcpt(forward_path),
            Command::Data => self.data(),
            Command::Rset => self.rset(),
            Command::Auth { mechanism, initial_response } => self.auth(mechanism, initial_response.as_ref()),
            Command::StartTls => self.start_tls(),
            Command::Noop => self.reply(Reply::of(250, "2.0.0", "Ok")),
            // RFC 5321 §3.5.3: saying who is here and who is not would help only those who guess.
            Command::Vrfy => self.reply(Reply::of(252, "2.0.0", "Cannot verify, send and see")),
            Command::Help => self.reply(Reply::of(214, "2.0.0", HELP)),
            Command::Quit => self.hang_up(Reply::of(221, "2.0.0", "Bye")),
            Command::Http => self.hang_up(Reply::of(421, "4.7.0", "This is a mail server, not a web server")),
        }
    }

    fn hello(&mut self, client: Helo) {
        self.end_transaction();
        // RFC 2034 §4 excepts this reply from enhanced status codes.
        let mut text = format!("{} greets {}", self.config.hostname, client.name);
        if client.esmtp {
            let size = format!("\nPIPELINING\nSIZE {}", self.config.max_message_octets);
            text.push_str(&size);
            text.push_str("\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES");
            if self.config.tls == TlsOffer::StartTls && !self.tls {
                text.push_str("\nSTARTTLS");
            }
            if self.auth_offered() {
                text.push_str("\nAUTH PLAIN LOGIN");
            }
        }
        self.state = State::Greeted { client };
        self.reply(Reply::of(250, "", text));
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
        match self.state {
            State::Greeted { .. } => {}
            State::Connected => return self.refuse(say_ehlo_first()),
            _ => return self.refuse(bad_sequence("A transaction is open already, end it with RSET or DATA")),
        }
        if self.config.auth == AuthPolicy::Required && !self.authenticated {
            return self.refuse(if self.config.tls == TlsOffer::StartTls && !self.tls {
                starttls_first()
            } else {
                Reply::of(530, "5.7.0", "Log in first: this server sends mail for its own users only")
            });
        }
        if let Some(octets) = parameters.size.filter(|&octets| octets > self.config.max_message_octets) {
            return self.reply(too_large(octets, self.config.max_message_octets));
        }
        let smtputf8 = parameters.smtputf8;
        if !smtputf8 && !reverse_path.mailbox().is_none_or(Mailbox::is_ascii) {
            return self.refuse(needs_smtputf8("sender"));
        }
        self.ask(Question::Mail { smtputf8 }, Event::Mail { reverse_path, parameters });
    }

    fn rcpt(&mut self, forward_path: ForwardPath) {
        let (smtputf8, recipients) = match self.state {
            State::Mail { smtputf8, .. } => (smtputf8, 0),
            State::Rcpt { smtputf8, recipients, .. } => (smtputf8, recipients),
            State::Connected => return self.refuse(say_ehlo_first()),
            _ => return self.refuse(bad_sequence("MAIL comes before RCPT")),
        };
        if recipients >= self.config.max_recipients {
            // RFC 5321 §4.5.3.1.10: transient, for the rest can go in another transaction.
            let text = format!("Too many recipients, the limit is {}", self.config.max_recipients);
            return self.reply(Reply::of(452, "4.5.3", text));
        }
        if !smtputf8 && !forward_path.mailbox().is_none_or(Mailbox::is_ascii) {
            return self.refuse(needs_smtputf8("recipient"));
        }
        self.ask(Question::Rcpt, Event::Rcpt { forward_path });
    }

    fn recipient_answered(&mut self, positive: bool) {
        match &mut self.state {
            State::Mail { refused, .. } if !positive => *refused = true,
            State::Mail { smtputf8, .. } => {
                let smtputf8 = *smtputf8;
                self.change(|client| State::Rcpt { client, smtputf8, recipients: 1 });
            }
            State::Rcpt { recipients, .. } if positive => *recipients += 1,
            _ => {}
        }
    }

    fn data(&mut self) {
        match self.state {
            State::Rcpt { .. } => {
                let receiver = ContentReceiver::new(self.config.max_message_octets);
                self.change(|client| State::Data { client, receiver });
                self.reply(Reply::of(354, "", "Send the message, end it with a dot on a line of its own"));
            }
            // RFC 2920 §3.1: a pipelining client cannot know yet that they were all refused.
            State::Mail { refused: true, .. } => {
                self.refuse(Reply::of(554, "5.5.1", "No recipient was accepted"));
            }
            State::Mail { .. } => self.refuse(bad_sequence("RCPT comes before DATA")),
            State::Connected => self.refuse(say_ehlo_first()),
            _ => self.refuse(bad_sequence("MAIL and RCPT come before DATA")),
        }
    }

    fn rset(&mut self) {
        self.end_transaction();
        self.reply(Reply::of(250, "2.0.0", "Ok"));
    }

    fn auth(&mut self, mechanism: Mechanism, initial_response: Option<&Secret>) {
        match &self.state {
            State::Connected => return self.refuse(say_ehlo_first()),
            State::Greeted { client } if client.esmtp => {}
            State::Greeted { .. } => return self.refuse(bad_sequence("AUTH needs EHLO, not HELO")),
            _ => return self.refuse(bad_sequence("AUTH is not allowed within a transaction")),
        }
        if self.authenticated {
            return self.refuse(bad_sequence("You have logged in already"));
        }
        if !self.auth_offered() {
            return self.refuse(match (self.config.auth, self.config.tls) {
                (AuthPolicy::None, _) => SyntaxError::NotOffered("AUTH").reply(),
                (_, TlsOffer::StartTls) => starttls_first(),
                _ => Reply::of(538, "5.7.11", "A password is not taken without TLS"),
            });
        }
        let step = Exchange::begin(mechanism, initial_response);
        self.auth_step(step);
    }

    fn auth_response(&mut self, line: &[u8]) {
        let State::Auth { client, exchange } = mem::replace(&mut self.state, State::Closed) else { return };
        self.state = State::Greeted { client };
        self.auth_step(exchange.respond(line));
    }

    fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(exchange, challenge) => {
                self.change(|client| State::Auth { client, exchange });
                self.reply(challenge);
            }
            Step::Credentials(credentials) => {
                self.ask(Question::Authenticate, Event::Authenticate(credentials));
            }
            Step::Malformed(reply) => self.refuse(reply),
            Step::Denied(reply) => self.authentication_answered(reply),
        }
    }

    fn authentication_answered(&mut self, reply: Reply) {
        self.authenticated = reply.is_positive();
        // A provider that is away (4yz) says nothing about the password.
        let wrong = reply.code().get() >= 500;
        self.reply(reply);
        if wrong {
            self.failed_logins += 1;
            if self.failed_logins >= self.config.max_failed_logins {
                self.hang_up(Reply::of(421, "4.7.0", "Too many failed logins, closing"));
            }
        }
    }

    fn start_tls(&mut self) {
        let refusal = match self.state {
            _ if self.tls => bad_sequence("TLS is on already"),
            _ if self.config.tls != TlsOffer::StartTls => SyntaxError::NotOffered("STARTTLS").reply(),
            State::Connected => say_ehlo_first(),
            State::Greeted { .. } if self.authenticated => bad_sequence("STARTTLS comes before AUTH"),
            State::Greeted { .. } => {
                self.state = State::StartTls { announced: false };
                return self.reply(Reply::of(220, "2.0.0", "Go ahead with TLS"));
            }
            _ => bad_sequence("STARTTLS is not allowed within a transaction"),
        };
        self.refuse(refusal);
    }

    /// RFC 4954 §4: a password goes over TLS, or it does not leave the machine.
    fn auth_offered(&self) -> bool {
        self.config.auth == AuthPolicy::Required && (self.tls || self.config.auth_without_tls)
    }

    fn greeting(&self, client: &Helo) -> Greeting {
        Greeting {
            helo: client.name.clone(),
            esmtp: client.esmtp,
            tls: self.tls,
            authenticated: self.authenticated,
        }
    }

    /// RSET or EHLO: back to where MAIL is in turn. Logins and TLS stay.
    fn end_transaction(&mut self) {
        if let State::Mail { .. } | State::Rcpt { .. } = self.state {
            self.change(|client| State::Greeted { client });
            self.event(Event::Reset);
        }
    }

    /// Goes to the state `next` makes, with the client's name. Where there is none yet, or no
    /// longer, the state stays.
    fn change(&mut self, next: impl FnOnce(Helo) -> State) {
        self.state = match mem::replace(&mut self.state, State::Closed) {
            State::Greeted { client }
            | State::Auth { client, .. }
            | State::Mail { client, .. }
            | State::Rcpt { client, .. }
            | State::Data { client, .. } => next(client),
            nameless => nameless,
        };
    }

    fn ask(&mut self, question: Question, event: Event) {
        self.awaiting = Some(question);
        self.event(event);
    }

    /// A reply to a command that is wrong in itself. Who sends nothing else is no mail client.
    fn refuse(&mut self, reply: Reply) {
        self.reply(reply);
        self.bad_commands += 1;
        if self.bad_commands >= self.config.max_bad_commands {
            self.hang_up(Reply::of(421, "4.7.0", "Too many wrong commands, closing"));
        }
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.awaiting = None;
        self.lines = LineBuffer::default();
        self.event(Event::Close);
    }

    fn reply(&mut self, reply: Reply) {
        self.outputs.push_back(Output::Reply(reply));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// The first octet of a TLS `ClientHello` (RFC 8446 §5.1); no command begins with a control character.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

const HELP: &str = "EHLO HELO AUTH STARTTLS MAIL RCPT DATA RSET NOOP VRFY HELP QUIT";

fn bad_sequence(text: &str) -> Reply {
    Reply::of(503, "5.5.1", text)
}

fn say_ehlo_first() -> Reply {
    bad_sequence("Say EHLO first")
}

fn starttls_first() -> Reply {
    Reply::of(530, "5.7.0", "Must issue a STARTTLS command first")
}

fn needs_smtputf8(whose: &str) -> Reply {
    Reply::of(553, "5.6.7", format!("The {whose}'s address is not ASCII: it needs SMTPUTF8"))
}

/// Replaces an answer that would tell the client something else than what we go on with.
fn fitting(question: Question, reply: Reply) -> Reply {
    let fits = match question {
        Question::Authenticate => reply.code().get() == 235 || reply.severity().is_some(),
        _ => reply.is_positive() || reply.severity().is_some(),
    };
    if fits {
        reply
    } else {
        Reply::of(451, "4.3.0", "That could not be done now; your program will try again")
    }
}
