use std::collections::VecDeque;

use envelope::Reply;
use waxseal_smtp::{AuthPolicy, Event, Output, Session, SessionConfig, TlsOffer};

/// Whatever a client says, and however the network cuts it: the same comes of it; replies are replies; contents
/// are whole lines; nothing comes after the end; nobody sends without the login that is asked for.
///
/// `data` is one octet of settings, one that chooses the handler's answers, and what the client says.
pub fn session(data: &[u8]) {
    let &[settings, answers, ref said @ ..] = data else { return };
    let config = config(settings);
    let whole = outcome(&config, answers, [said].into_iter());
    lawful(&config, &whole, said.len());
    for step in [1, 7] {
        let cut = outcome(&config, answers, said.chunks(step));
        assert_eq!(whole, cut, "cut at every {step}");
    }
}

const MAX_MESSAGE_OCTETS: u64 = 300;

fn config(settings: u8) -> SessionConfig {
    let bit = |number: u8| settings >> number & 1 == 1;
    SessionConfig {
        tls: [TlsOffer::None, TlsOffer::StartTls, TlsOffer::Active, TlsOffer::Active]
            [usize::from(settings & 3)],
        auth: if bit(2) { AuthPolicy::Required } else { AuthPolicy::None },
        auth_without_tls: bit(3),
        oauth: bit(4),
        require_tls: bit(5),
        max_message_octets: if bit(6) { MAX_MESSAGE_OCTETS } else { 35_000_000 },
        max_bad_commands: if bit(7) { u32::MAX } else { 20 },
        max_recipients: 3,
        ..SessionConfig::new("relay.example")
    }
}

/// What came out, in words. A question is answered by the handler's next answer.
#[derive(Debug, PartialEq)]
enum Said {
    Reply(Vec<u8>),
    Login,
    Mail,
    Content(Vec<u8>),
    Other(String),
    Close,
}

fn outcome<'a>(config: &SessionConfig, answers: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Said> {
    let mut session = Session::new(config.clone());
    let mut codes = answering(answers);
    let mut said = vec![];
    let mut pieces = pieces.filter(|piece| !piece.is_empty()).peekable();
    loop {
        while let Some(output) = session.step() {
            let event = match output {
                Output::Reply(reply) => {
                    said.push(Said::Reply(reply.to_bytes()));
                    continue;
                }
                Output::Event(event) => event,
            };
            // What is behind STARTTLS goes to the TLS library, which can only hang up.
            if matches!(event, Event::StartTls) && pieces.peek().is_some() {
                said.push(Said::Close);
                return said;
            }
            said.push(match event {
                Event::Authenticate(_) => Said::Login,
                Event::Mail { .. } => Said::Mail,
                Event::Content { content, .. } => Said::Content(content),
                Event::Close => Said::Close,
                other => Said::Other(format!("{other:?}")),
            });
            let code = codes.pop_front().unwrap_or(250);
            codes.push_back(code);
            session.answer(Reply::of(code, "", "answer"));
        }
        let Some(piece) = pieces.next() else { return said };
        session.receive(piece);
    }
}

/// Mostly yes.
fn answering(answers: u8) -> VecDeque<u16> {
    let odd = [250, 235, 421, 451, 535, 550, 354, 454][usize::from(answers & 7)];
    let mut codes = VecDeque::from([235, 250, 250, 250]);
    codes.insert(usize::from(answers >> 3 & 3), odd);
    codes
}

fn lawful(config: &SessionConfig, said: &[Said], octets: usize) {
    // A command of four letters and CRLF is the shortest that is answered twice, with an event before and after.
    assert!(said.len() <= 2 + 4 * (octets / 2 + 1), "{} outputs for {octets} octets", said.len());
    let close = said.iter().position(|said| *said == Said::Close);
    assert!(close.is_none_or(|at| at + 1 == said.len()), "something after the end");
    let mut logged_in = config.auth == AuthPolicy::None;
    for (at, one) in said.iter().enumerate() {
        match one {
            Said::Reply(wire) => {
                well_formed(wire);
                let answers_login = at > 0 && said[at - 1] == Said::Login;
                logged_in |= answers_login && wire.starts_with(b"235");
            }
            Said::Mail => assert!(logged_in, "MAIL without a login"),
            Said::Login => {
                assert!(config.tls != TlsOffer::None || config.auth_without_tls, "a login in clear");
            }
            Said::Content(content) => {
                assert!(content.len() as u64 <= config.max_message_octets + 2, "too large");
                assert!(content.is_empty() || content.ends_with(b"\r\n"), "a line without its end");
                let text = String::from_utf8_lossy(content).replace("\r\n", "");
                assert!(!text.contains(['\r', '\n', '\0']), "an odd octet");
            }
            Said::Other(_) | Said::Close => {}
        }
    }
}

fn well_formed(wire: &[u8]) {
    let text = std::str::from_utf8(wire).expect("ASCII");
    let lines: Vec<&str> = text.strip_suffix("\r\n").expect("a line end").split("\r\n").collect();
    for (number, line) in lines.iter().enumerate() {
        assert!(line.len() <= 510 && line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{line:?}");
        assert!(
            line[..3].bytes().all(|octet| octet.is_ascii_digit()) && line[..3] == lines[0][..3],
            "{line:?}"
        );
        let more = number + 1 < lines.len();
        assert_eq!(&line[3..4], if more { "-" } else { " " }, "{line:?}");
    }
}
