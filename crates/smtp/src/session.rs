mod chunks;
mod login;
mod output;
mod sentences;
mod state;
mod transaction;

use std::collections::VecDeque;

use envelope::Reply;

use crate::command::{Command, Helo};
use crate::line::{Line, LineBuffer};
use crate::session_config::{SessionConfig, TlsOffer};
use crate::syntax_error::SyntaxError;
use crate::wire::TLS_HANDSHAKE_RECORD;

pub use output::{Event, Output};
use sentences::{HELP, bad_sequence, fitting, say_ehlo_first, unexpected_tls};
use state::{Question, State};

/// The server's half of one SMTP session (RFC 5321 §3), without any I/O.
///
/// Give it the client's octets with [`Session::receive`], however they are split; take what
/// is to be done with [`Session::step`] until that is `None`; answer the events that ask for
/// it with [`Session::answer`]. What comes out does not depend on how the octets came in.
///
/// It holds one unfinished line, what one `receive` brought, and the content of one message (DATA's or BDAT's).
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    lines: LineBuffer,
    outputs: VecDeque<Output>,
    awaiting: Option<Question>,
    tls: bool,
    authenticated: bool,
    has_begun: bool,
    failed_logins: u32,
    bad_commands: u32,
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
            has_begun: false,
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
            Question::Authenticate { kind } if !leaves => self.authentication_answered(kind, reply),
            Question::Authenticate { .. } => self.reply(reply),
            Question::Mail { smtputf8 } => {
                self.reply(reply);
                if positive {
                    self.has_begun = true;
                    self.state.change(|client| State::Mail { client, smtputf8, refused: 0 });
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

    /// Between DATA's 354 and the final dot, or from the first BDAT to the end of its last chunk?
    pub fn is_receiving_content(&self) -> bool {
        matches!(
            self.state,
            State::Data { .. } | State::Chunk { .. } | State::BetweenChunks { .. } | State::Refused { .. }
        )
    }

    /// How many octets of content it holds; `None` when it keeps none, because no content is
    /// under way or because the answer is settled and it only reads on to the end.
    pub fn held_octets(&self) -> Option<usize> {
        match &self.state {
            State::Data { receiver, .. }
            | State::Chunk { receiver, .. }
            | State::BetweenChunks { receiver, .. } => receiver.held_octets(),
            _ => None,
        }
    }

    /// There is no room for the content under way: lets go of it, and answers 452 at its end.
    pub fn give_up_content(&mut self) {
        if let State::Data { receiver, .. }
        | State::Chunk { receiver, .. }
        | State::BetweenChunks { receiver, .. } = &mut self.state
        {
            receiver.give_up();
        }
    }

    /// Has the client logged in, or, where nobody has to, begun a transaction?
    pub fn is_known(&self) -> bool {
        self.authenticated || self.has_begun
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
            State::Chunk { .. } | State::Refused { .. } => self.receive_chunk(),
            State::Auth { .. } => self.receive_line(self.config.max_auth_line_octets),
            _ if self.lines.next_line_begins_with(TLS_HANDSHAKE_RECORD) => {
                self.hang_up(unexpected_tls(if self.tls { TlsOffer::Active } else { self.config.tls }));
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
                Err(error) => self.refuse_line(&error),
            },
            Line::BareLineFeed => self.refuse_line(&SyntaxError::BareLineEnd),
            Line::TooLong(limit) => self.refuse_line(&SyntaxError::LineTooLong(limit)),
            Line::Skipped => {}
            Line::Endless => self.hang_up(Reply::of(421, "4.7.0", "A line without end, closing")),
        }
        true
    }

    fn refuse_line(&mut self, error: &SyntaxError) {
        match self.state {
            // The exchange is over with it: the next line is a command.
            State::Auth { .. } => self.state.change(|client| State::Greeted { client }),
            // No mail client begins so. A web page can make a browser do it, with a long address
            // in a request to this machine, and have a whole mail follow in the request's body.
            State::Connected if !error.may_be_a_mail_client() => return self.hang_up(error.reply()),
            // A chunk follows and nobody knows how far it goes.
            _ if *error == SyntaxError::Chunk => return self.hang_up(error.reply()),
            _ => {}
        }
        self.refuse(error.reply());
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Hello(client) => self.hello(client),
            Command::Mail { reverse_path, parameters } => self.mail(reverse_path, parameters),
            Command::Rcpt { forward_path, parameters } => self.rcpt(forward_path, parameters),
            Command::Data => self.data(),
            Command::Bdat { octets, last } => self.bdat(octets, last),
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
            let (octets, recipients) = (self.config.max_message_octets, self.config.max_recipients);
            let offer = format!(
                "\nPIPELINING\nSIZE {octets}\n8BITMIME\nSMTPUTF8\nDSN\nCHUNKING\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX={recipients}"
            );
            text.push_str(&offer);
            if self.config.tls == TlsOffer::StartTls && !self.tls && !self.authenticated {
                text.push_str("\nSTARTTLS");
            }
            if self.auth_offered() {
                text.push_str("\nAUTH PLAIN LOGIN");
                text.push_str(if self.config.oauth { " XOAUTH2 OAUTHBEARER" } else { "" });
            }
            if self.config.require_tls && self.tls {
                text.push_str("\nREQUIRETLS");
            }
        }
        self.state = State::Greeted { client };
        self.reply(Reply::of(250, "", text));
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::AuthPolicy;

    const MAX_MESSAGE_OCTETS: usize = 5_000;
    const MAX_AUTH_LINE_OCTETS: usize = 600;
    const PIECE_OCTETS: usize = 1_000;

    /// What it holds for the client, in octets.
    fn held(session: &Session) -> usize {
        let content = match &session.state {
            State::Data { receiver, .. }
            | State::Chunk { receiver, .. }
            | State::BetweenChunks { receiver, .. } => receiver.capacity(),
            _ => 0,
        };
        session.lines.capacity() + content
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        /// One unfinished line, one piece and one content, each in a `Vec` that doubles as it grows.
        #[test]
        fn memory_stays_within_bounds(
            starts_content in any::<bool>(),
            pieces in vec((select(&["x", "x\r\n", "\r\n", ".", "..\r\n", "\n", "NOOP\r\n", "AUTH PLAIN ", "DATA\r\n", "BDAT 900\r\n"][..]), 1..PIECE_OCTETS), 1..80),
        ) {
            let mut session = Session::new(SessionConfig {
                auth: AuthPolicy::None,
                max_message_octets: MAX_MESSAGE_OCTETS as u64,
                max_line_octets: MAX_AUTH_LINE_OCTETS / 2,
                max_auth_line_octets: MAX_AUTH_LINE_OCTETS,
                max_bad_commands: u32::MAX,
                ..SessionConfig::new("relay.example")
            });
            let begin = b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
            let pieces = pieces.iter().map(|(what, octets)| what.repeat(octets / what.len()).into_bytes());
            for piece in starts_content.then(|| begin.to_vec()).into_iter().chain(pieces) {
                session.receive(&piece);
                while let Some(output) = session.step() {
                    prop_assert!(session.outputs.len() <= 3);
                    if let Output::Event(_) = output {
                        session.answer(Reply::of(250, "", "ok"));
                    }
                }
                prop_assert!(session.lines.waiting().len() < MAX_AUTH_LINE_OCTETS);
                let bound = 2 * MAX_MESSAGE_OCTETS + 2 * (MAX_AUTH_LINE_OCTETS + PIECE_OCTETS);
                prop_assert!(held(&session) <= bound, "{} octets", held(&session));
            }
        }
    }

    /// Most connections are idle, and there may be many.
    #[test]
    fn what_a_content_needed_is_given_back() {
        let mut session =
            Session::new(SessionConfig { auth: AuthPolicy::None, ..SessionConfig::new("relay.example") });
        let content = "x\r\n".repeat(10_000);
        let begin = "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
        session.receive(format!("{begin}{content}.\r\n").as_bytes());
        let mut contents = 0;
        while let Some(output) = session.step() {
            if let Output::Event(event) = output {
                contents += usize::from(matches!(event, Event::Content { .. }));
                session.answer(Reply::of(250, "", "ok"));
            }
        }
        assert_eq!((contents, held(&session)), (1, 0));
    }

    #[test]
    fn debug_shows_no_password_on_its_way() {
        let mut session = Session::new(SessionConfig { auth_without_tls: true, ..SessionConfig::new("a") });
        session.receive(b"EHLO a\r\nAUTH LOGIN\r\nYW5h\r\naHVudGVyMg==");
        while session.step().is_some() {}
        let text = format!("{session:?}");
        let as_numbers = format!("{:?}", b"aHVudGVyMg==");
        assert!(text.contains("LoginPassword"), "{text}");
        assert!(
            !text.contains("aHVudGVyMg") && !text.contains(as_numbers.trim_matches(['[', ']'])),
            "{text}"
        );
    }
}
