use std::mem;

use envelope::{ForwardPath, MailParameters, Mailbox, RcptParameters, Reply, ReversePath};

use crate::command::Helo;
use crate::content::{ContentReceiver, too_large};
use crate::handler::Greeting;
use crate::session_config::{AuthPolicy, TlsOffer};

use crate::syntax_error::SyntaxError;

use super::Session;
use super::output::Event;
use super::sentences::{bad_sequence, needs_smtputf8, nobody_accepted, say_ehlo_first, starttls_first};
use super::state::{Question, State};

/// One message: MAIL, RCPT, DATA or BDAT, and what comes up to the final dot (RFC 5321 §3.3).
impl Session {
    pub(super) fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) {
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
        if parameters.require_tls {
            // RFC 8689 §2: known only where it is offered.
            if !self.config.require_tls {
                return self.refuse(SyntaxError::UnknownParameter.reply());
            }
            if !self.tls {
                return self.refuse(Reply::of(530, "5.7.10", "REQUIRETLS needs TLS on this connection too"));
            }
        }
        let smtputf8 = parameters.smtputf8;
        if !smtputf8 && !reverse_path.mailbox().is_none_or(Mailbox::is_ascii) {
            return self.refuse(needs_smtputf8("sender"));
        }
        self.ask(Question::Mail { smtputf8 }, Event::Mail { reverse_path, parameters });
    }

    pub(super) fn rcpt(&mut self, forward_path: ForwardPath, parameters: RcptParameters) {
        let (smtputf8, recipients) = match self.state {
            State::Mail { smtputf8, refused, .. } => (smtputf8, refused),
            State::Rcpt { smtputf8, recipients, .. } => (smtputf8, recipients),
            State::Connected => return self.refuse(say_ehlo_first()),
            State::BetweenChunks { .. } => return self.refuse(bad_sequence("RCPT comes before BDAT")),
            // Not held against a pipelining client, which did not know yet that MAIL was refused.
            _ => return self.reply(bad_sequence("MAIL comes before RCPT")),
        };
        if recipients >= self.config.max_recipients {
            // RFC 5321 §4.5.3.1.10: transient, for the rest can go in another transaction. Refused
            // ones count: the handler remembers each with its reply.
            let text = format!("Too many recipients, the limit is {}", self.config.max_recipients);
            return self.reply(Reply::of(452, "4.5.3", text));
        }
        if !smtputf8 && !forward_path.mailbox().is_none_or(Mailbox::is_ascii) {
            self.recipient_answered(false);
            return self.refuse(needs_smtputf8("recipient"));
        }
        if !smtputf8 && !parameters.orcpt.as_deref().is_none_or(str::is_ascii) {
            self.recipient_answered(false);
            return self.refuse(SyntaxError::Parameter.reply());
        }
        self.ask(Question::Rcpt, Event::Rcpt { forward_path, parameters });
    }

    pub(super) fn recipient_answered(&mut self, positive: bool) {
        match &mut self.state {
            State::Mail { refused, .. } if !positive => *refused += 1,
            State::Mail { smtputf8, refused, .. } => {
                let (smtputf8, recipients) = (*smtputf8, *refused + 1);
                self.state.change(|client| State::Rcpt { client, smtputf8, recipients });
            }
            State::Rcpt { recipients, .. } => *recipients += 1,
            _ => {}
        }
    }

    pub(super) fn data(&mut self) {
        match self.state {
            State::Rcpt { .. } => {
                let receiver = ContentReceiver::new(self.config.max_message_octets);
                self.state.change(|client| State::Data { client, receiver });
                self.reply(Reply::of(354, "", "Send the message, end it with a dot on a line of its own"));
            }
            State::BetweenChunks { .. } => {
                self.refuse(bad_sequence("BDAT has begun: go on with it, or RSET"));
            }
            State::Mail { refused: 0, .. } => self.refuse(bad_sequence("RCPT comes before DATA")),
            // RFC 2920 §3.1: a pipelining client cannot know yet that they were all refused.
            State::Mail { .. } => self.reply(nobody_accepted()),
            State::Connected => self.refuse(say_ehlo_first()),
            _ => self.reply(bad_sequence("MAIL and RCPT come before DATA")),
        }
    }

    pub(super) fn rset(&mut self) {
        self.end_transaction();
        self.reply(Reply::of(250, "2.0.0", "Ok"));
    }

    pub(super) fn receive_content(&mut self) -> bool {
        let State::Data { receiver, .. } = &mut self.state else { return false };
        let waiting = self.lines.waiting();
        let Some(taken) = receiver.push(waiting) else {
            let taken = waiting.len();
            self.lines.consume(taken);
            return false;
        };
        self.lines.consume(taken);
        self.lines.shrink();
        if let State::Data { client, receiver } = mem::replace(&mut self.state, State::Closed) {
            self.content_ended(client, receiver.finish());
        }
        true
    }

    pub(super) fn content_ended(&mut self, client: Helo, content: Result<Vec<u8>, Reply>) {
        let greeting = self.greeting(&client);
        self.state = State::Greeted { client };
        match content {
            Ok(content) => self.ask(Question::Content, Event::Content { content, greeting }),
            Err(refusal) => {
                self.event(Event::Reset);
                self.reply(refusal);
            }
        }
    }

    /// RSET or EHLO: back to where MAIL is in turn. Logins and TLS stay.
    pub(super) fn end_transaction(&mut self) {
        if let State::Mail { .. } | State::Rcpt { .. } | State::BetweenChunks { .. } = self.state {
            self.state.change(|client| State::Greeted { client });
            self.event(Event::Reset);
        }
    }

    fn greeting(&self, client: &Helo) -> Greeting {
        Greeting {
            helo: client.name.clone(),
            esmtp: client.esmtp,
            tls: self.tls,
            authenticated: self.authenticated,
        }
    }
}
