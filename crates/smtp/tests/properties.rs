//! What holds for every input, however it arrives.
#![allow(clippy::unwrap_used)] // These are tests.

use envelope::Reply;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use waxseal_smtp::{AuthPolicy, Event, Output, Session, SessionConfig, TlsOffer};

/// What a client may say, whole and in pieces that make odd wholes.
const FRAGMENTS: &[&[u8]] = &[
    b"EHLO client.example\r\n",
    b"HELO client.example\r\n",
    b"AUTH PLAIN AGFuYQBodW50ZXIy\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN\r\n",
    b"AGFuYQBodW50ZXIy\r\n",
    b"YW5h\r\n",
    b"*\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8\r\n",
    b"MAIL FROM:<a@b.example> SIZE=9999\r\n",
    b"RCPT TO:<c@d.example>\r\n",
    b"RCPT TO:<postmaster>\r\n",
    b"RCPT TO:<\xc3\xbc@d.example>\r\n",
    b"DATA\r\n",
    b"DATA\r\nSubject: x\r\n\r\n..text\r\n.\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"\n.\r\n",
    b"\r.\r",
    b"BDAT 4\r\nab\r\n",
    b"BDAT 3 LAST\r\n.\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 30\r\n",
    b"BDAT 5\r\nabcd\r",
    b"\nBDAT 99999999999999999999\r\n",
    b"MAIL FROM:<a@b.example> RET=HDRS ENVID=x REQUIRETLS\r\n",
    b"RCPT TO:<c@d.example> NOTIFY=NEVER ORCPT=rfc822;c@d.example\r\n",
    b"AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHgBAQ==\r\n",
    b"AUTH OAUTHBEARER\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY a\r\n",
    b"STARTTLS\r\n",
    b"QUIT\r\n",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"NOOP\n",
    b"NOOP\r",
    b"\xff\xfe\r\n",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];
/// How a client gets to where it becomes interesting.
const BEGINNINGS: &[&str] = &[
    "",
    "EHLO a\r\n",
    "EHLO a\r\nAUTH LOGIN\r\n",
    "EHLO a\r\nAUTH PLAIN AGFuYQBodW50ZXIy\r\nMAIL FROM:<a@b.example>\r\n",
    "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
    "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 10\r\n",
    "HELO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    "EHLO a\r\nSTARTTLS\r\n",
];
/// Replies that fit, and replies that do not.
const ANSWERS: &[u16] = &[250, 250, 250, 235, 235, 354, 421, 451, 535, 550];

fn input() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        8 => select(FRAGMENTS).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(select(&b"\r\n.\0 aA<>@:\"\\"[..]), 0..40),
    ];
    let beginning = select(BEGINNINGS).prop_map(|beginning| beginning.as_bytes().to_vec());
    (beginning, vec(fragment, 0..30)).prop_map(|(beginning, rest)| [beginning, rest.concat()].concat())
}

fn config() -> impl Strategy<Value = SessionConfig> {
    let tls = select(&[TlsOffer::None, TlsOffer::StartTls, TlsOffer::Active][..]);
    let auth = select(&[AuthPolicy::None, AuthPolicy::Required][..]);
    (tls, auth, any::<bool>(), 0_u64..200, 40_usize..200, 1_u32..30).prop_map(
        |(tls, auth, auth_without_tls, max_message_octets, max_line_octets, max_bad_commands)| {
            SessionConfig {
                tls,
                auth,
                auth_without_tls,
                max_message_octets,
                max_line_octets,
                max_auth_line_octets: max_line_octets * 2,
                max_recipients: 2,
                max_bad_commands,
                oauth: max_line_octets % 2 == 0,
                require_tls: max_line_octets % 3 == 0,
                ..SessionConfig::new("relay.example")
            }
        },
    )
}

/// All that comes out when `pieces` go in. The n-th question gets the n-th of `answers`, which
/// begin again at their end.
fn outcome<'a>(
    config: &SessionConfig,
    answers: &[u16],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut session = Session::new(config.clone());
    let mut answers = answers.iter().cycle();
    let mut said = Vec::new();
    let mut pieces = pieces.into_iter().peekable();
    loop {
        while let Some(output) = session.step() {
            match output {
                Output::Reply(reply) => said.push(reply.to_string()),
                // What is behind STARTTLS goes to the TLS library, which can only hang up.
                Output::Event(Event::StartTls) if pieces.peek().is_some() => {
                    said.push("Close".into());
                    return said;
                }
                Output::Event(event) => {
                    said.push(format!("{event:?}"));
                    session.answer(Reply::of(*answers.next().unwrap(), "", "answer"));
                }
            }
        }
        let Some(piece) = pieces.next() else { return said };
        session.receive(piece);
    }
}

fn cut<'a>(input: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(input.len() + 1)).collect();
    places.sort_unstable();
    places.push(input.len());
    let mut start = 0;
    let pieces = places.into_iter().map(|end| &input[std::mem::replace(&mut start, end)..end]);
    pieces.filter(|piece| !piece.is_empty()).collect()
}

/// What stands before the end by the words of RFC 5321 §4.1.1.4, or the code that refuses it;
/// `None` without an end.
fn content_of(octets: &[u8]) -> Option<Result<Vec<u8>, u16>> {
    // The content begins where a line begins.
    let behind_crlf = [b"\r\n", octets].concat();
    let end = behind_crlf.windows(5).position(|window| window == b"\r\n.\r\n")?;
    let text = std::str::from_utf8(&octets[..end]).unwrap();
    let odd = text.replace("\r\n", "").contains(['\r', '\n', '\0']);
    let without_dots = text.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line));
    Some(if odd { Err(550) } else { Ok(without_dots.collect::<String>().into_bytes()) })
}

/// One transaction whose content is what `pieces` begin with: what the handler gets or the code
/// that refuses it, and whether the session is still in DATA.
fn content_through(pieces: &[&[u8]]) -> (Vec<Result<Vec<u8>, u16>>, bool) {
    let mut session = Session::new(SessionConfig {
        auth: AuthPolicy::None,
        max_bad_commands: u32::MAX,
        ..SessionConfig::new("relay.example")
    });
    let begin: &[u8] = b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n";
    let mut contents = Vec::new();
    for piece in std::iter::once(&begin).chain(pieces) {
        session.receive(piece);
        while let Some(output) = session.step() {
            match output {
                Output::Reply(reply) if reply.code().get() == 550 => contents.push(Err(550)),
                Output::Reply(_) => {}
                Output::Event(event) => {
                    if let Event::Content { content, .. } = event {
                        contents.push(Ok(content));
                    }
                    session.answer(Reply::of(250, "", "ok"));
                }
            }
        }
    }
    let receiving = session.is_receiving_content();
    (contents, receiving)
}

/// The contents of a transaction that goes on with `pieces`, and the codes of the replies to them.
fn chunks_through(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u16>) {
    let mut session = Session::new(SessionConfig {
        auth: AuthPolicy::None,
        max_bad_commands: u32::MAX,
        ..SessionConfig::new("relay.example")
    });
    let begin: &[u8] = b"EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
    let (mut contents, mut replies) = (Vec::new(), Vec::new());
    for piece in std::iter::once(&begin).chain(pieces) {
        session.receive(piece);
        while let Some(output) = session.step() {
            match output {
                Output::Reply(reply) => replies.push(reply.code().get()),
                Output::Event(event) => {
                    if let Event::Content { content, .. } = event {
                        contents.push(content);
                    }
                    session.answer(Reply::of(250, "", "ok"));
                }
            }
        }
    }
    (contents, replies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// No input and no answer makes it panic, and where the network cuts the input is nobody's business.
    #[test]
    fn what_comes_out_does_not_depend_on_how_it_came_in(
        config in config(),
        answers in vec(select(ANSWERS), 1..12),
        input in input(),
        places in vec(any::<Index>(), 0..20),
    ) {
        let whole = outcome(&config, &answers, cut(&input, &[]));
        prop_assert_eq!(&outcome(&config, &answers, cut(&input, &places)), &whole);
        prop_assert_eq!(&outcome(&config, &answers, input.chunks(1)), &whole);
    }

    /// Nothing comes after the end, and each question has one answer.
    #[test]
    fn the_end_is_the_end(config in config(), answers in vec(select(ANSWERS), 1..12), input in input()) {
        let said = outcome(&config, &answers, cut(&input, &[]));
        let closes = said.iter().filter(|output| *output == "Close").count();
        prop_assert!(closes <= 1);
        if closes == 1 {
            prop_assert_eq!(said.last().map(String::as_str), Some("Close"));
        }
    }

    /// Who must log in does not get to the handler's MAIL before it said 235.
    #[test]
    fn nobody_sends_without_the_login(config in config(), answers in vec(select(ANSWERS), 1..12), input in input()) {
        let config = SessionConfig { auth: AuthPolicy::Required, ..config };
        let said = outcome(&config, &answers, cut(&input, &[]));
        let mail = said.iter().position(|output| output.starts_with("Mail {"));
        let login = said.iter().position(|output| output.starts_with("235 "));
        prop_assert!(mail.is_none() || login.is_some_and(|login| Some(login) < mail));
        if config.tls != TlsOffer::Active && !config.auth_without_tls {
            prop_assert!(!said.iter().any(|output| output.starts_with("Authenticate")));
        }
    }

    /// Content with its dots doubled comes out as it was, octet by octet.
    #[test]
    fn content_comes_out_as_it_was(
        lines in vec(vec(prop_oneof![2 => Just(b'.'), 3 => any::<u8>()], 0..120), 0..60),
        places in vec(any::<Index>(), 0..20),
    ) {
        let mut content = Vec::new();
        for line in &lines {
            content.extend(line.iter().filter(|octet| !b"\r\n\0".contains(octet)));
            content.extend_from_slice(b"\r\n");
        }
        let mut wire = Vec::new();
        for line in content.split_inclusive(|&octet| octet == b'\n') {
            wire.extend((line[0] == b'.').then_some(b'.'));
            wire.extend_from_slice(line);
        }
        wire.extend_from_slice(b".\r\n");
        prop_assert_eq!(content_through(&cut(&wire, &places)), (vec![Ok(content)], false));
    }

    /// Chunks bring what they hold, however the message is cut into them and they are cut on their way; and what
    /// follows the last of them is a command.
    #[test]
    fn chunks_come_out_as_they_were(
        pieces in vec(select(&["\r\n", "\r\n", "\r\n.\r\n", ".", "RSET", "a", "\r", "\n", "\0"][..]), 0..12),
        sizes in vec(any::<Index>(), 0..4),
        places in vec(any::<Index>(), 0..20),
    ) {
        let mut content = pieces.concat().into_bytes();
        let mut wire = Vec::new();
        for chunk in cut(&content, &sizes) {
            wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
        }
        wire.extend_from_slice(b"BDAT 0 LAST\r\nNOOP\r\n");
        let odd = String::from_utf8_lossy(&content).replace("\r\n", "").contains(['\r', '\n', '\0']);
        if !content.is_empty() && !content.ends_with(b"\r\n") {
            content.extend_from_slice(b"\r\n");
        }
        let (contents, replies) = chunks_through(&cut(&wire, &places));
        if odd {
            prop_assert_eq!(contents, Vec::<Vec<u8>>::new());
            prop_assert_eq!(replies.iter().filter(|code| **code == 550).count(), 1);
        } else {
            prop_assert_eq!(contents, vec![content]);
        }
        prop_assert_eq!(replies.last(), Some(&250));
        prop_assert!(!replies.contains(&500));
    }

    /// The end of a content is where the standard says and nowhere else, whatever stands around dots.
    #[test]
    fn content_ends_at_crlf_dot_crlf_and_nowhere_else(
        pieces in vec(select(&["\r\n", "\r\n", "\r\n.", ".", "a", "a", "\r", "\n", "\0"][..]), 0..12),
        end in select(&["", "\r\n.\r\n", "\r\n.\r\n", "\r\n.\r\n"][..]),
        places in vec(any::<Index>(), 0..20),
    ) {
        let octets = (pieces.concat() + end).into_bytes();
        let (contents, receiving) = content_through(&cut(&octets, &places));
        match content_of(&octets) {
            None => prop_assert!(receiving && contents.is_empty()),
            // A second content would need a MAIL, which this alphabet cannot spell.
            Some(content) => {
                prop_assert!(!receiving);
                prop_assert_eq!(contents, vec![content]);
            }
        }
    }
}
