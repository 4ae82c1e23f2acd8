use std::mem;

use envelope::{CredentialKind, Reply, Secret, Severity};

use crate::auth::{Exchange, Step};
use crate::command::Mechanism;
use crate::session_config::{AuthPolicy, TlsOffer};
use crate::syntax_error::SyntaxError;

use super::Session;
use super::output::Event;
use super::sentences::{bad_sequence, say_ehlo_first, starttls_first};
use super::state::{Question, State};

/// AUTH (RFC 4954): when it may be said, and what its end means for the session.
impl Session {
    /// RFC 4954 §4: a password goes over TLS, or it does not leave the machine.
    pub(super) fn auth_offered(&self) -> bool {
        self.config.auth == AuthPolicy::Required && (self.tls || self.config.auth_without_tls)
    }

    pub(super) fn auth(&mut self, mechanism: Mechanism, initial_response: Option<&Secret>) {
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
        if matches!(mechanism, Mechanism::XOAuth2 | Mechanism::OAuthBearer) && !self.config.oauth {
            return self.refuse(SyntaxError::Mechanism.reply());
        }
        let step = Exchange::begin(mechanism, initial_response);
        self.auth_step(step);
    }

    pub(super) fn auth_response(&mut self, line: &[u8]) {
        let State::Auth { client, exchange } = mem::replace(&mut self.state, State::Closed) else { return };
        self.state = State::Greeted { client };
        self.auth_step(exchange.respond(line));
    }

    fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(exchange, challenge) => {
                self.state.change(|client| State::Auth { client, exchange });
                self.reply(challenge);
            }
            Step::Credentials(credentials) => {
                let kind = credentials.kind;
                self.ask(Question::Authenticate { kind }, Event::Authenticate(credentials));
            }
            Step::Malformed(reply) => self.refuse(reply),
            Step::Denied(reply) | Step::Over(reply) => self.login_answered(reply),
        }
    }

    pub(super) fn authentication_answered(&mut self, kind: CredentialKind, reply: Reply) {
        match Exchange::after_refusal(kind, &reply) {
            Some((exchange, challenge)) => self.auth_step(Step::Challenge(exchange, challenge)),
            None => self.login_answered(reply),
        }
    }

    fn login_answered(&mut self, reply: Reply) {
        self.authenticated = reply.is_positive();
        // A provider that is away (4yz) says nothing about the password.
        let wrong = reply.code().get() >= 500;
        if reply.severity() == Some(Severity::Transient) {
            // Nor does it go on for ever: who guesses too much hears it too.
            return self.refuse(reply);
        }
        self.reply(reply);
        if wrong {
            self.failed_logins += 1;
            if self.failed_logins >= self.config.max_failed_logins {
                self.hang_up(Reply::of(421, "4.7.0", "Too many failed logins, closing"));
            }
        }
    }
}
