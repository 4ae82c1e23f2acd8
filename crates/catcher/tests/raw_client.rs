//! The catcher over a real socket, spoken to by hand.
#![allow(clippy::unwrap_used)] // A test may; the client below is part of the tests.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use waxseal_catcher::{Catcher, CatcherConfig, CatcherError, Refusal, Script, Step};

struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(catcher: &Catcher) -> Self {
        let stream = TcpStream::connect(catcher.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert_eq!(client.reply(), "220 catcher.localhost ESMTP");
        client
    }

    fn greeted(catcher: &Catcher) -> Self {
        let mut client = Self::connect(catcher);
        assert_eq!(client.say("EHLO client.example"), "250 8BITMIME");
        client
    }

    fn write(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).unwrap();
    }

    /// The last line of the reply; empty when the connection has ended.
    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn say(&mut self, command: &str) -> String {
        self.write(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    fn send(&mut self, from: &str, to: &[&str], content_on_the_wire: &[u8]) -> String {
        assert_eq!(self.say(&format!("MAIL FROM:<{from}>")), "250 OK");
        for to in to {
            self.say(&format!("RCPT TO:<{to}>"));
        }
        assert!(self.say("DATA").starts_with("354"));
        self.write(content_on_the_wire);
        self.write(b".\r\n");
        self.reply()
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[test]
fn content_is_kept_octet_by_octet() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let mut client = Client::greeted(&catcher);
    let long_line = [b"x".repeat(998).as_slice(), b"\r\n"].concat();
    let cases: Vec<(&str, Vec<u8>, Vec<u8>)> = vec![
        ("empty", b"".to_vec(), b"".to_vec()),
        ("one line", b"a\r\n".to_vec(), b"a\r\n".to_vec()),
        ("empty lines at the end", b"a\r\n\r\n\r\n".to_vec(), b"a\r\n\r\n\r\n".to_vec()),
        ("stuffed first line", b"..\r\na\r\n".to_vec(), b".\r\na\r\n".to_vec()),
        ("stuffed twice", b"a\r\n...x\r\n..\r\n".to_vec(), b"a\r\n..x\r\n.\r\n".to_vec()),
        ("dot in mid-line", b"a.\r\nb .c\r\n".to_vec(), b"a.\r\nb .c\r\n".to_vec()),
        ("a line of 998", long_line.clone(), long_line),
        ("every octet but CR and LF", every_octet(), every_octet()),
    ];
    for (number, (name, sent, kept)) in (1..).zip(cases) {
        let reply = client.send("ann@example.org", &["bob@example.net", "cy@example.net"], &sent);
        assert_eq!(reply, format!("250 2.0.0 Caught as number {number}"), "{name}");
        let mail = catcher.mail(number).unwrap();
        assert_eq!(mail.content, kept, "{name}");
        assert_eq!(mail.reverse_path, "ann@example.org");
        assert_eq!(mail.recipients, ["bob@example.net", "cy@example.net"]);
        assert_eq!(mail.number, number);
    }
    assert_eq!(catcher.caught().len(), 8);
    assert_eq!(*catcher.arrivals().borrow(), 8);
}

fn every_octet() -> Vec<u8> {
    let mut octets: Vec<u8> = (0..=255).filter(|octet| !matches!(octet, b'\r' | b'\n')).collect();
    octets.extend_from_slice(b"\r\n");
    octets
}

#[test]
fn content_in_many_pieces_is_the_same_content() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let mut client = Client::greeted(&catcher);
    client.stream.get_ref().set_nodelay(true).unwrap();
    client.say("MAIL FROM:<ann@example.org> BODY=8BITMIME");
    client.say("RCPT TO:<bob@example.net>");
    client.say("DATA");
    for octet in b"..a\r\n.\r\r\n\xc3\xa9\r\n.\r\n" {
        client.write(&[*octet]);
    }
    assert_eq!(client.reply(), "250 2.0.0 Caught as number 1");
    assert_eq!(catcher.mail(1).unwrap().content, b".a\r\n\r\r\n\xc3\xa9\r\n");
}

#[test]
fn refuses_by_name_and_goes_on() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let mut client = Client::greeted(&catcher);
    assert_eq!(client.say("MAIL FROM:<refuse-553@example.org>"), "553 5.0.0 No, as asked");
    assert_eq!(client.say("MAIL FROM:<ann@example.org>"), "250 OK");
    assert_eq!(client.say("RCPT TO:<refuse-550@example.net>"), "550 5.0.0 No, as asked");
    assert_eq!(client.say("RCPT TO:<later-450@example.net>"), "450 4.0.0 Not now, as asked");
    assert_eq!(client.say("RCPT TO:<bob@example.net>"), "250 OK");
    assert_eq!(client.say("DATA"), "354 Start mail input; end with <CRLF>.<CRLF>");
    client.write(b"Subject: one\r\n\r\n.\r\n");
    assert_eq!(client.reply(), "250 2.0.0 Caught as number 1");
    assert_eq!(catcher.mail(1).unwrap().recipients, ["bob@example.net"]);

    assert_eq!(client.say("MAIL FROM:<ann@example.org>"), "250 OK");
    assert_eq!(client.say("RCPT TO:<later-data-452@example.net>"), "250 OK");
    assert_eq!(client.say("DATA"), "452 4.0.0 Not now, as asked");
    assert_eq!(client.say("RSET"), "250 OK");

    // The library alone would swallow what follows as content: decision 0001, case c.
    let subject = b"Subject: refuse-content-554\r\n\r\n";
    assert_eq!(client.send("ann@example.org", &["bob@example.net"], subject), "554 5.0.0 No, as asked");
    assert_eq!(client.say("RSET"), "250 OK");
    let to = ["later-content-451@example.net"];
    assert_eq!(client.send("ann@example.org", &to, b"x\r\n"), "451 4.0.0 Not now, as asked");
    assert_eq!(
        client.send("ann@example.org", &["bob@example.net"], b"x\r\n"),
        "250 2.0.0 Caught as number 2"
    );
    assert_eq!(client.say("QUIT"), "221 Goodbye");
    assert_eq!(client.reply(), "");
    assert_eq!(catcher.caught().len(), 2);
}

#[test]
fn refuses_what_a_test_says() {
    let script = Script::new(|step| match step {
        Step::Content { content, .. } if content.starts_with(b"close") => {
            Some(Refusal::new(421, "4.3.2 Bye"))
        }
        Step::Rcpt { forward_path } => {
            assert_ne!(forward_path, "panic@example.net", "asked to panic");
            None
        }
        _ => None,
    });
    let config =
        CatcherConfig { script, max_content_octets: 12, max_connections: 1, ..CatcherConfig::default() };
    let catcher = Catcher::start_with(anywhere(), config).unwrap();
    let mut client = Client::greeted(&catcher);
    assert_eq!(client.say("MAIL FROM:<ann@example.org>"), "250 OK");
    assert!(client.say("RCPT TO:<panic@example.net>").starts_with("554 5.3.0"), "its one thread lives");
    assert_eq!(client.say("RSET"), "250 OK");
    let to = ["refuse-550@example.net"];
    let reply = client.send("ann@example.org", &to, b"0123456789\r\n");
    assert_eq!(reply, "250 2.0.0 Caught as number 1", "twelve octets, and no refusal by name");
    let reply = client.send("ann@example.org", &to, b"0123456789\r\nx\r\n");
    assert_eq!(reply, "552 5.3.4 More than this mailbox takes at once");
    assert_eq!(client.send("ann@example.org", &to, b"close\r\n"), "421 4.3.2 Bye");
    assert_eq!(client.reply(), "", "closed");
    assert_eq!(catcher.caught().len(), 1);
}

#[test]
fn only_loopback() {
    for text in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0", "[2001:db8::1]:0", "[::ffff:192.0.2.1]:0"] {
        let bind = text.parse().unwrap();
        let error = Catcher::start(bind).unwrap_err();
        assert!(matches!(error, CatcherError::NotLoopback(addr) if addr == bind), "{text}: {error}");
    }
    let catcher = Catcher::start(anywhere()).unwrap();
    let taken = Catcher::start(catcher.addr()).unwrap_err();
    assert!(matches!(taken, CatcherError::NotBound { .. }), "{taken}");
}

#[test]
fn many_idle_clients_leave_room_for_one_more() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let idle: Vec<Client> = (0..100).map(|_| Client::connect(&catcher)).collect();
    let mut client = Client::greeted(&catcher);
    assert_eq!(
        client.send("ann@example.org", &["bob@example.net"], b"x\r\n"),
        "250 2.0.0 Caught as number 1"
    );
    drop(idle);
}

#[tokio::test]
async fn arrivals_wake_those_who_wait() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let mut arrivals = catcher.arrivals();
    let addr = catcher.addr();
    let sending = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        // Pipelined: it does not say so, but it can.
        stream
            .write_all(b"EHLO c\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n")
            .unwrap();
        let mut replies = String::new();
        std::io::Read::read_to_string(&mut stream, &mut replies).unwrap();
    });
    let waited = tokio::time::timeout(Duration::from_secs(10), arrivals.wait_for(|number| *number == 1));
    waited.await.expect("in time").unwrap();
    assert_eq!(catcher.mail(1).unwrap().content, b"hello\r\n");
    sending.join().unwrap();
}

#[test]
fn a_dropped_catcher_answers_421() {
    let catcher = Catcher::start(anywhere()).unwrap();
    let mut client = Client::connect(&catcher);
    let arrivals = catcher.arrivals();
    drop(catcher);
    let began = Instant::now();
    assert!(client.say("EHLO client.example").starts_with("421 "));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(*arrivals.borrow(), 0);
}
