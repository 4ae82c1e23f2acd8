//! Replies that more than one command gives. Mail programs show them to a person.

use envelope::Reply;

use super::state::Question;
use crate::session_config::TlsOffer;

pub(crate) const HELP: &str = "EHLO HELO AUTH STARTTLS MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT";

pub(crate) fn bad_sequence(text: &str) -> Reply {
    Reply::of(503, "5.5.1", text)
}

pub(crate) fn say_ehlo_first() -> Reply {
    bad_sequence("Say EHLO first")
}

/// RFC 2920 §3.1: a pipelining client cannot know yet that they were all refused.
pub(crate) fn nobody_accepted() -> Reply {
    Reply::of(554, "5.5.1", "No recipient was accepted")
}

pub(crate) fn starttls_first() -> Reply {
    Reply::of(530, "5.7.0", "Must issue a STARTTLS command first")
}

pub(crate) fn needs_smtputf8(whose: &str) -> Reply {
    Reply::of(553, "5.6.7", format!("The {whose}'s address is not ASCII: it needs SMTPUTF8"))
}

/// To a TLS hello where a command should be. Few TLS clients show it; a capture or a log does.
pub(crate) fn unexpected_tls(tls: TlsOffer) -> Reply {
    let text = match tls {
        TlsOffer::StartTls => "This port wants STARTTLS; for TLS from the start use 465",
        TlsOffer::None => "This port speaks no TLS",
        TlsOffer::Active => "TLS is on already",
    };
    Reply::of(421, "4.7.0", text)
}

/// Replaces an answer that would tell the client something else than what we go on with.
pub(crate) fn fitting(question: Question, reply: Reply) -> Reply {
    let fits = match question {
        Question::Authenticate { .. } => reply.code().get() == 235 || reply.severity().is_some(),
        _ => reply.is_positive() || reply.severity().is_some(),
    };
    if fits {
        reply
    } else {
        Reply::of(451, "4.3.0", "That could not be done now; your program will try again")
    }
}
