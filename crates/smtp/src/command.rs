use std::borrow::Cow;

use envelope::{ForwardPath, MailParameters, RcptParameters, ReversePath, Secret};

use crate::parameters::{mail_parameters, rcpt_parameters};
use crate::path::{forward_path, reverse_path};
use crate::syntax_error::SyntaxError;

/// A command line, understood (RFC 5321 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// EHLO or HELO.
    Hello(Helo),
    Mail {
        reverse_path: ReversePath,
        parameters: MailParameters,
    },
    Rcpt {
        forward_path: ForwardPath,
        parameters: RcptParameters,
    },
    Data,
    /// One chunk of a content (RFC 3030 §2).
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy,
    Help,
    Quit,
    StartTls,
    Auth {
        mechanism: Mechanism,
        initial_response: Option<Secret>,
    },
    /// A request line of HTTP: somebody's browser or script was pointed at us.
    Http,
}

/// How the client introduced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Helo {
    /// What it calls itself: printable ASCII, `?` for what was not, cut to 255 octets.
    pub(crate) name: String,
    /// EHLO, not HELO.
    pub(crate) esmtp: bool,
}

/// The SASL mechanisms we know (RFC 4616, RFC 7628; LOGIN and XOAUTH2 have no RFC).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Login,
    XOAuth2,
    OAuthBearer,
}

const MAX_HELO_OCTETS: usize = 255;

impl Command {
    /// Parses one line without its CRLF.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, SyntaxError> {
        if line.contains(&b'\r') || line.contains(&b'\n') {
            return Err(SyntaxError::BareLineEnd);
        }
        if line.iter().any(|&octet| (octet < b' ' && octet != b'\t') || octet == 0x7f) {
            return Err(SyntaxError::Octets);
        }
        let line = text(line)?;
        // RFC 5321 §4.1.1: white space before the line end is tolerated.
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let argument = argument.trim_start_matches(' ');
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => helo(argument, true),
            "HELO" => helo(argument, false),
            "MAIL" => mail(argument),
            "RCPT" => rcpt(argument),
            "DATA" => alone(argument, Self::Data),
            "RSET" => alone(argument, Self::Rset),
            "QUIT" => alone(argument, Self::Quit),
            "STARTTLS" => alone(argument, Self::StartTls),
            "AUTH" => auth(argument),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" if argument.is_empty() => Err(SyntaxError::Argument("VRFY needs an address")),
            "VRFY" => Ok(Self::Vrfy),
            "EXPN" => Err(SyntaxError::NotOffered("EXPN")),
            "BDAT" => bdat(argument),
            "TURN" | "ETRN" | "ATRN" | "SEND" | "SOML" | "SAML" | "BURL" => {
                Err(SyntaxError::NotOffered("This command"))
            }
            "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" | "DELETE" | "PATCH" | "TRACE"
            | "PRI" => Ok(Self::Http),
            _ => Err(SyntaxError::Unrecognised),
        }
    }
}

fn alone(argument: &str, command: Command) -> Result<Command, SyntaxError> {
    if argument.is_empty() {
        Ok(command)
    } else {
        Err(SyntaxError::Argument("This command takes no argument"))
    }
}

/// Commands are UTF-8 (RFC 6531 §3.7.1). The name of a machine need not be: some clients send
/// it in whatever its system uses, and their people would never find out why nothing works.
fn text(line: &[u8]) -> Result<Cow<'_, str>, SyntaxError> {
    match line.get(..5) {
        Some(verb) if verb.eq_ignore_ascii_case(b"EHLO ") || verb.eq_ignore_ascii_case(b"HELO ") => {
            Ok(String::from_utf8_lossy(line))
        }
        _ => std::str::from_utf8(line).map(Cow::Borrowed).map_err(|_| SyntaxError::Octets),
    }
}

/// Takes any name: RFC 5321 §4.1.4 forbids refusing a client for one that does not resolve, and
/// machines are called `my_pc`, `Ana's PC` and `pc-jörg`.
fn helo(argument: &str, esmtp: bool) -> Result<Command, SyntaxError> {
    if argument.is_empty() {
        return Err(SyntaxError::Argument("EHLO and HELO need a name"));
    }
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let name = argument.chars().take(MAX_HELO_OCTETS).map(printable).collect();
    Ok(Command::Hello(Helo { name, esmtp }))
}

fn mail(argument: &str) -> Result<Command, SyntaxError> {
    let path = after_keyword(argument, "FROM:")
        .ok_or(SyntaxError::Argument("The command is MAIL FROM:<address>"))?;
    let (reverse_path, parameters) = reverse_path(path)?;
    Ok(Command::Mail { reverse_path, parameters: mail_parameters(parameters)? })
}

fn rcpt(argument: &str) -> Result<Command, SyntaxError> {
    let path =
        after_keyword(argument, "TO:").ok_or(SyntaxError::Argument("The command is RCPT TO:<address>"))?;
    let (forward_path, parameters) = forward_path(path)?;
    Ok(Command::Rcpt { forward_path, parameters: rcpt_parameters(parameters)? })
}

/// `BDAT chunk-size [LAST]` (RFC 3030 §2). A size that is none, or more than 64 bits can count, is an error: to
/// begin again from 0 would have the rest of the chunk be read as commands.
fn bdat(argument: &str) -> Result<Command, SyntaxError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next().filter(|size| size.bytes().all(|octet| octet.is_ascii_digit()));
    let octets = size.and_then(|size| size.parse().ok()).ok_or(SyntaxError::Chunk)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(SyntaxError::Chunk),
    };
    if words.next().is_some() { Err(SyntaxError::Chunk) } else { Ok(Command::Bdat { octets, last }) }
}

/// Strips `FROM:` or `TO:` in any case, and the blank that some clients put behind it.
fn after_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| rest.trim_start_matches(' '))
}

/// `AUTH mechanism [initial-response]` (RFC 4954 §4).
fn auth(argument: &str) -> Result<Command, SyntaxError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let name = words.next().ok_or(SyntaxError::Argument("AUTH needs a mechanism"))?;
    let initial_response = words.next().map(Secret::new);
    if words.next().is_some() {
        return Err(SyntaxError::Argument("AUTH takes a mechanism and one response"));
    }
    let mechanism = match name.to_ascii_uppercase().as_str() {
        "PLAIN" => Mechanism::Plain,
        "LOGIN" => Mechanism::Login,
        "XOAUTH2" => Mechanism::XOAuth2,
        "OAUTHBEARER" => Mechanism::OAuthBearer,
        _ => return Err(SyntaxError::Mechanism),
    };
    Ok(Command::Auth { mechanism, initial_response })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_means() {
        let hello = |name: &str, esmtp| Ok(Command::Hello(Helo { name: name.into(), esmtp }));
        let argument_error =
            |line: &str| matches!(Command::parse(line.as_bytes()), Err(SyntaxError::Argument(_)));
        for (line, expected) in [
            ("EHLO client.example", hello("client.example", true)),
            ("ehlo [IPv6:::1]  ", hello("[IPv6:::1]", true)),
            ("HELO my_pc", hello("my_pc", false)),
            ("EHLO Ana's PC", hello("Ana's?PC", true)),
            ("EHLO pc-jörg", hello("pc-j?rg", true)),
            ("rset \t", Ok(Command::Rset)),
            ("NOOP any words at all", Ok(Command::Noop)),
            ("GET / HTTP/1.1", Ok(Command::Http)),
            ("bdat 10  last", Ok(Command::Bdat { octets: 10, last: true })),
            ("BDAT 0", Ok(Command::Bdat { octets: 0, last: false })),
            ("BDAT 18446744073709551615", Ok(Command::Bdat { octets: u64::MAX, last: false })),
            ("BDAT 18446744073709551616", Err(SyntaxError::Chunk)),
            ("BDAT", Err(SyntaxError::Chunk)),
            ("BDAT -1", Err(SyntaxError::Chunk)),
            ("BDAT +1", Err(SyntaxError::Chunk)),
            ("BDAT LAST", Err(SyntaxError::Chunk)),
            ("BDAT 1 LAST 2", Err(SyntaxError::Chunk)),
            ("BDAT 1 FIRST", Err(SyntaxError::Chunk)),
            ("", Err(SyntaxError::Unrecognised)),
            (" EHLO x", Err(SyntaxError::Unrecognised)),
            ("EHLOX", Err(SyntaxError::Unrecognised)),
            ("NO\0OP", Err(SyntaxError::Octets)),
            ("NOOP a\rb", Err(SyntaxError::BareLineEnd)),
            ("AUTH CRAM-MD5", Err(SyntaxError::Mechanism)),
            ("MAIL FROM:a@b.example", Err(SyntaxError::NoReversePath)),
            ("RCPT TO:<a@b.example> X-ODD=1", Err(SyntaxError::UnknownParameter)),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), expected, "{line:?}");
        }
        for line in ["EHLO", "HELO ", "DATA now", "MAIL", "MAIL TO:<>", "MAIL FR", "AUTH", "VRFY"] {
            assert!(argument_error(line), "{line:?}");
        }
        assert_eq!(Command::parse(b"NOOP \xff"), Err(SyntaxError::Octets));
        assert_eq!(Command::parse(b"helo pc-j\xf6rg"), hello("pc-j?rg", false));
    }

    #[test]
    fn a_blank_behind_the_colon_is_tolerated() {
        let strict = Command::parse(b"MAIL FROM:<a@b.example> SIZE=1");
        assert!(strict.is_ok());
        assert_eq!(Command::parse(b"mail  from: <a@b.example>  size=1"), strict);
    }

    #[test]
    fn the_response_does_not_show_in_debug() {
        let command = Command::parse(b"AUTH PLAIN AGFuYQBodW50ZXIy").unwrap();
        assert!(!format!("{command:?}").contains("AGFuYQ"));
    }
}
