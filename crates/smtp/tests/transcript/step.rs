use envelope::{
    Body, CredentialKind, EnhancedStatusCode, MailParameters, Notify, RcptParameters, Reply, ReplyCode, Ret,
};
use waxseal_smtp::Event;

use super::octets::{matches, octets};

/// One line of a transcript, or the lines of one reply.
pub enum Step {
    /// The client says this.
    Client(Vec<u8>),
    /// We say this: a pattern for the whole reply, or one for each of its lines.
    Reply(Vec<String>),
    /// The handler hears this and answers, if it was asked something.
    Handler { heard: Vec<u8>, answer: Reply },
    /// We close.
    Closed,
    /// TLS begins.
    Handshake,
    /// The listener gives the content up.
    NoRoom,
    /// The listener ends the session.
    HangUp(Reply),
}

impl Step {
    /// `reply_lines` holds what came so far of a reply that has more lines.
    pub fn parse(line: &str, reply_lines: &mut Vec<String>) -> Result<Option<Self>, String> {
        let (kind, text) = line.split_at_checked(2).ok_or("too short")?;
        let text = text.strip_prefix(' ').unwrap_or(text);
        if !reply_lines.is_empty() && kind != "S:" {
            return Err("a reply without its last line".into());
        }
        Ok(Some(match kind {
            "C:" => Self::Client([octets(text)?, b"\r\n".to_vec()].concat()),
            "R:" => Self::Client(octets(text)?),
            "S:" => {
                reply_lines.push(text.to_owned());
                if text.as_bytes().get(3) == Some(&b'-') {
                    return Ok(None);
                }
                Self::Reply(std::mem::take(reply_lines))
            }
            "H:" => {
                let (heard, answer) = match text.rsplit_once(" -> ") {
                    Some((heard, answer)) => (heard, reply(answer)?),
                    None if text.starts_with("auth ") => (text, Reply::of(235, "2.7.0", "Welcome")),
                    None => (text, Reply::of(250, "2.0.0", "Ok")),
                };
                Self::Handler { heard: octets(heard)?, answer }
            }
            "E:" if text == "closed" => Self::Closed,
            "T:" if text == "handshake" => Self::Handshake,
            "T:" if text == "no room" => Self::NoRoom,
            "T:" => Self::HangUp(reply(text.strip_prefix("hang up ").ok_or("no such turn")?)?),
            _ => return Err(format!("what is {kind:?}?")),
        }))
    }
}

fn reply(text: &str) -> Result<Reply, String> {
    let (code, text) = text.split_once(' ').unwrap_or((text, ""));
    let code = code.parse().ok().and_then(ReplyCode::new).ok_or("no reply code")?;
    let text = text.replace("\\n", "\n");
    let (enhanced, rest) = text.split_once(' ').unwrap_or((&text, ""));
    Ok(match EnhancedStatusCode::parse(enhanced) {
        Some(enhanced) => Reply::new(code, Some(enhanced), rest),
        None => Reply::new(code, None, text),
    })
}

/// One pattern stands for the whole reply, more stand for its lines on the wire.
pub fn reply_matches(patterns: &[String], reply: &Reply) -> bool {
    if let [pattern] = patterns {
        return matches(pattern.trim_end(), reply.to_string().trim_end());
    }
    let wire = String::from_utf8(reply.to_bytes()).unwrap();
    let lines: Vec<&str> = wire.split_terminator("\r\n").collect();
    lines.len() == patterns.len() && lines.iter().zip(patterns).all(|(line, pattern)| matches(pattern, line))
}

/// What the handler hears, as a transcript writes it.
pub fn heard(event: &Event) -> Vec<u8> {
    match event {
        Event::Authenticate(credentials) => {
            let kind = match credentials.kind {
                CredentialKind::Password => "auth",
                CredentialKind::AccessToken => "auth token",
            };
            format!("{kind} {} {}", credentials.login, credentials.password.expose()).into()
        }
        Event::Mail { reverse_path, parameters } => {
            format!("mail {}{}", reverse_path.to_path(), of_mail(parameters)).into()
        }
        Event::Rcpt { forward_path, parameters } => {
            format!("rcpt {}{}", forward_path.to_path(), of_rcpt(parameters)).into()
        }
        Event::Content { content, .. } => [b"content ", content.as_slice()].concat(),
        Event::Reset => b"reset".to_vec(),
        Event::StartTls | Event::Close => Vec::new(),
    }
}

fn of_mail(parameters: &MailParameters) -> String {
    let size = parameters.size.map_or(String::new(), |size| format!(" size={size}"));
    let body = match parameters.body {
        None => "",
        Some(Body::SevenBit) => " body=7bit",
        Some(Body::EightBitMime) => " body=8bitmime",
    };
    let smtputf8 = if parameters.smtputf8 { " smtputf8" } else { "" };
    let ret = match parameters.ret {
        None => "",
        Some(Ret::Full) => " ret=full",
        Some(Ret::Headers) => " ret=hdrs",
    };
    let envid = parameters.envid.as_ref().map_or(String::new(), |envid| format!(" envid={envid}"));
    let require_tls = if parameters.require_tls { " requiretls" } else { "" };
    format!("{size}{body}{smtputf8}{ret}{envid}{require_tls}")
}

fn of_rcpt(parameters: &RcptParameters) -> String {
    let notify = match parameters.notify {
        None => String::new(),
        Some(Notify::Never) => " notify=never".into(),
        Some(Notify::On { success, failure, delay }) => {
            let words = [(success, "success"), (failure, "failure"), (delay, "delay")];
            let words: Vec<&str> = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
            format!(" notify={}", words.join(","))
        }
    };
    let orcpt = parameters.orcpt.as_ref().map_or(String::new(), |orcpt| format!(" orcpt={orcpt}"));
    format!("{notify}{orcpt}")
}
