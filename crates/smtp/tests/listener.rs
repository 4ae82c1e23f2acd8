//! The listener on real sockets: TLS in every way, deadlines, limits, shutdown, and what goes wrong.

mod door;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use door::{Client, Door, MANY_OCTETS, Mode, Paper};
use tokio::net::TcpStream;
use waxseal_smtp::{AuthPolicy, Limits, ListenerConfig};

/// A deadline that a test waits for.
const SHORT: Duration = Duration::from_millis(150);
/// What a handler hears at the end of a message in clear, without a login.
const A_CONTENT: &str = "content from client.example esmtp=true tls=false authenticated=false";
const LOGIN: &str = "AUTH PLAIN AGFuYUBhLmV4YW1wbGUAaHVudGVyMg==";

fn login_required(config: &mut ListenerConfig) {
    config.auth = AuthPolicy::Required;
}

#[tokio::test]
async fn implicit_tls() {
    let door = Door::open(Mode::Implicit, login_required).await;
    let mut client = door.client().await.handshake().await;
    client.expect("220 relay.example").await;
    let offer = client.ask("EHLO client.example", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN") && !offer.contains("STARTTLS"), "{offer}");
    client.ask("MAIL FROM:<ana@a.example>", "530 5.7.0").await;
    client.ask(LOGIN, "235").await;
    client.send_mail("Subject: x\r\n\r\n..hidden\r\n", "250 2.0.0 Taken").await;
    client.ask("QUIT", "221").await;
    client.expect_closed().await;
    assert_eq!(door.contents(), [b"Subject: x\r\n\r\n.hidden\r\n"]);
    assert_eq!(
        door.heard("close").await,
        [
            "open front from here tls=true",
            "auth ana@a.example",
            "mail <ana@a.example>",
            "rcpt <bob@b.example>",
            "content from client.example esmtp=true tls=true authenticated=true",
            "close",
        ]
    );
}

#[tokio::test]
async fn starttls() {
    let door = Door::open(Mode::StartTls, login_required).await;
    let mut client = door.greeted().await;
    client.ask(LOGIN, "530 5.7.0 Must issue a STARTTLS").await;
    client.ask("MAIL FROM:<ana@a.example>", "530 5.7.0 Must issue a STARTTLS").await;
    client.ask("STARTTLS", "220").await;
    let mut client = client.handshake().await;
    client.ask("MAIL FROM:<ana@a.example>", "503").await;
    let offer = client.ask("EHLO client.example", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN") && !offer.contains("STARTTLS"), "{offer}");
    client.ask("AUTH LOGIN", "334").await;
    client.ask("YW5hQGEuZXhhbXBsZQ==", "334").await;
    client.ask("aHVudGVyMg==", "235").await;
    client.send_mail("hi\r\n", "250").await;
    assert_eq!(door.contents(), [b"hi\r\n"]);
    // Nobody was asked anything before TLS.
    assert_eq!(door.heard("auth ana@a.example").await[0], "open front from here tls=true");
}

#[tokio::test]
async fn a_handler_from_before_starttls_is_not_the_one_behind_it() {
    let door = Door::open(Mode::StartTls, |_| {}).await;
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    client.ask("RSET", "250").await;
    client.ask("STARTTLS", "220").await;
    let mut client = client.handshake().await;
    client.ask("EHLO client.example", "250").await;
    client.ask("MAIL FROM:<eve@a.example>", "250").await;
    assert_eq!(
        door.heard("mail <eve@a.example>").await,
        [
            "open front from here tls=false",
            "mail <ana@a.example>",
            "reset",
            "close",
            "open front from here tls=true",
            "mail <eve@a.example>",
        ]
    );
}

#[tokio::test]
async fn nothing_injected_behind_starttls_is_heard() {
    let door = Door::open(Mode::StartTls, |_| {}).await;
    let mut client = door.greeted().await;
    client.send(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<eve@a.example>\r\n").await;
    client.expect("220").await;
    client.expect_closed().await;
    door.connections(0).await;
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    assert_eq!(door.heard("mail <ana@a.example>").await.len(), 2);
}

#[tokio::test]
async fn plain_on_loopback() {
    let door = Door::open(Mode::Clear, login_required).await;
    let mut client = door.client().await;
    client.expect("220").await;
    let offer = client.ask("EHLO client.example", "250").await;
    assert!(!offer.contains("AUTH") && !offer.contains("STARTTLS"), "{offer}");
    client.ask(LOGIN, "538").await;

    let door = Door::open(Mode::Clear, |config| {
        login_required(config);
        config.allow_plain_auth = true;
    })
    .await;
    let mut client = door.client().await;
    client.expect("220").await;
    let offer = client.ask("EHLO client.example", "250").await;
    assert!(offer.contains("AUTH PLAIN LOGIN"), "{offer}");
    client.ask(LOGIN, "235").await;
    client.send_mail("hi\r\n", "250").await;
}

#[tokio::test]
async fn whoever_is_at_the_wrong_port_is_told_in_a_sentence() {
    let tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let http = b"GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n";
    let smtp = b"EHLO client.example\r\n";
    let endless = "x".repeat(100_000);
    let deadline = |config: &mut ListenerConfig| config.deadlines.handshake = SHORT;
    for (mode, octets, sentence) in [
        (
            Mode::StartTls,
            &tls_hello[..],
            "421 4.7.0 This port wants STARTTLS; for TLS from the start use 465",
        ),
        (Mode::Clear, tls_hello, "421 4.7.0 This port speaks no TLS"),
        (Mode::StartTls, http, "421 4.7.0 This is a mail server, not a web server"),
        (Mode::Clear, http, "421 4.7.0 This is a mail server, not a web server"),
        (
            Mode::Clear,
            b"POST /x HTTP/1.1\r\n\r\nEHLO a\r\nMAIL FROM:<ana@a.example>\r\n",
            "421 4.7.0 This is a mail",
        ),
        (Mode::Clear, b"\xff\xfe\x00garbage\r\nEHLO a\r\n", "500 5.5.2"),
        (Mode::StartTls, endless.as_bytes(), "421 4.7.0 A line without end"),
        (Mode::Implicit, &[0; 1_000], "421 4.7.0 This port begins with TLS"),
        (Mode::Implicit, http, "421 4.7.0 This port begins with TLS; for STARTTLS use 587"),
        (Mode::Implicit, smtp, "421 4.7.0 This port begins with TLS; for STARTTLS use 587"),
        // Waits for us to greet.
        (Mode::Implicit, b"", "421 4.7.0 This port begins with TLS; for STARTTLS use 587"),
    ] {
        let door = Door::open(mode, deadline).await;
        let mut client = door.client().await;
        client.send(octets).await;
        if !matches!(mode, Mode::Implicit) {
            client.expect("220").await;
        }
        client.expect(sentence).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn a_conversation_in_one_piece() {
    let door = Door::open(Mode::Clear, |_| {}).await;
    let mut client = door.client().await;
    let transaction = "MAIL FROM:<ana@a.example>\r\nRCPT TO:<nobody@b.example>\r\n\
        RCPT TO:<bob@b.example>\r\nDATA\r\nhi\r\n.\r\n";
    let all = format!("EHLO client.example\r\n{}QUIT\r\n", transaction.repeat(100));
    client.send(all.as_bytes()).await;
    client.expect("220").await;
    client.expect("250").await;
    for _ in 0..100 {
        for code in ["250 2.1.0", "550 5.1.1", "250 2.1.5", "354", "250 2.0.0"] {
            client.expect(code).await;
        }
    }
    client.expect("221").await;
    client.expect_closed().await;
    assert_eq!(door.contents(), vec![b"hi\r\n".to_vec(); 100]);
}

#[tokio::test]
async fn replies_do_not_wait_for_a_slow_handler_behind_them() {
    let door = Door::open(Mode::Clear, |_| {}).await;
    let mut client = door.client().await;
    client
        .send(b"EHLO a\r\nMAIL FROM:<ana@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\nHold\r\n.\r\n")
        .await;
    for code in ["220", "250", "250", "250", "354"] {
        client.expect(code).await;
    }
    door.release_content();
    client.expect("250 2.0.0 Taken").await;
}

#[tokio::test]
async fn a_large_message_comes_out_as_it_was() {
    for mode in [Mode::Clear, Mode::Implicit] {
        let door = Door::open(mode, |_| {}).await;
        let mut client = door.client().await;
        if let Mode::Implicit = mode {
            client = client.handshake().await;
        }
        client.expect("220").await;
        client.ask("EHLO client.example", "250").await;
        let text = |number: usize| match number % 7 {
            0 => ".\r\n".to_owned(),
            _ => format!("{number} {}\r\n", "some text ".repeat(number % 12)),
        };
        let content: String = (0..20_000).map(text).collect();
        let wire: String = (0..20_000).map(text).map(|line| line.replace(".\r\n", "..\r\n")).collect();
        assert!(content.len() > 1_000_000);
        client.send_mail(&wire, "250").await;
        assert!(door.contents() == [content.into_bytes()], "the content is another");
        assert_eq!(door.limits.free_octets(), MANY_OCTETS);
    }
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.command = SHORT).await;
    let mut client = door.client().await;
    client.expect("220").await;
    client.expect("421 4.4.2").await;
    client.expect_closed().await;
    drop(client);
    door.connections(0).await;
}

#[tokio::test]
async fn one_octet_now_and_then_buys_no_time_for_a_command() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.command = SHORT).await;
    let mut client = door.client().await;
    client.expect("220").await;
    let reply = client.dribble(b"x").await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
}

#[tokio::test]
async fn a_client_that_stalls_within_a_content_is_let_go() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.content_read = SHORT).await;
    let mut client = door.at_data().await;
    client.send(b"half\r\n").await;
    client.expect("421 4.4.2").await;
    client.expect_closed().await;
    assert_eq!(door.heard("close").await.last().map(String::as_str), Some("close"));
    assert!(door.contents().is_empty());
}

#[tokio::test]
async fn one_octet_now_and_then_buys_no_time_for_a_content() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.content_read = SHORT).await;
    let mut client = door.at_data().await;
    let reply = client.dribble(b"text\r\n").await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
    door.heard("close").await;
    assert!(door.contents().is_empty());
}

#[tokio::test]
async fn a_handshake_must_end() {
    let deadline = |config: &mut ListenerConfig| config.deadlines.handshake = SHORT;
    let door = Door::open(Mode::Implicit, deadline).await;
    let mut client = door.client().await;
    client.send(b"\x16\x03\x01").await;
    client.expect_closed().await;
    door.connections(0).await;

    let door = Door::open(Mode::StartTls, deadline).await;
    let mut client = door.greeted().await;
    client.ask("STARTTLS", "220").await;
    client.expect_closed().await;
    door.connections(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_replies_is_let_go() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.write = SHORT).await;
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    let flood = b"HELP\r\n".repeat(1_000_000);
    let sending = tokio::spawn(async move {
        client.send(&flood).await;
        client
    });
    door.heard("close").await;
    // What it could not send any more is an error on its side; that it had to stop is ours to see.
    sending.abort();
    door.connections(0).await;
}

#[tokio::test]
async fn too_many_connections_from_one_address() {
    let door = Door::open(Mode::StartTls, |config| config.limits = Limits::new(100, 2, MANY_OCTETS)).await;
    let _one = door.greeted().await;
    let two = door.greeted().await;
    let mut three = door.client().await;
    three.expect("421 4.7.0").await;
    three.expect_closed().await;
    drop(two);
    door.connections(1).await;
    door.greeted().await;
}

#[tokio::test]
async fn too_many_connections_in_all() {
    let door = Door::open(Mode::Clear, |config| config.limits = Limits::new(1, 100, MANY_OCTETS)).await;
    // Not a stranger any more, whose place could be taken.
    let one = door.at_data().await;
    let mut two = door.client().await;
    two.expect("421 4.3.2").await;
    two.expect_closed().await;
    drop(one);
    door.connections(0).await;
    door.greeted().await;
}

#[tokio::test]
async fn too_many_connections_cost_no_handshake() {
    let door = Door::open(Mode::Implicit, |config| config.limits = Limits::new(9, 1, MANY_OCTETS)).await;
    let mut one = door.client().await.handshake().await;
    one.expect("220").await;
    door.client().await.expect_closed().await;
    one.ask("EHLO client.example", "250").await;
}

#[tokio::test]
async fn an_address_that_may_not_connect() {
    let nobody = |config: &mut ListenerConfig| config.allow_from = Some(Arc::new(|_: IpAddr| false));
    let door = Door::open(Mode::Clear, nobody).await;
    let mut client = door.client().await;
    client.expect("554 5.7.1").await;
    client.expect_closed().await;

    let here = |config: &mut ListenerConfig| {
        config.allow_from = Some(Arc::new(|address: IpAddr| address.is_loopback()));
    };
    Door::open(Mode::Clear, here).await.greeted().await;
}

#[tokio::test]
async fn who_does_not_log_in_is_let_go() {
    for mode in [Mode::Clear, Mode::StartTls, Mode::Implicit] {
        let door = Door::open(mode, |config| {
            login_required(config);
            config.deadlines.login = SHORT * 2;
        })
        .await;
        let mut silent = door.client().await;
        if let Mode::Implicit = mode {
            silent = silent.handshake().await;
        }
        silent.expect("220").await;
        silent.expect("421 4.4.2 You took too long to log in").await;
        silent.expect_closed().await;
        // Nor does a conversation about nothing help.
        let mut busy = door.client().await;
        if let Mode::Implicit = mode {
            busy = busy.handshake().await;
        }
        busy.expect("220").await;
        let reply = busy.dribble(b"NOOP\r\n").await;
        assert!(reply.starts_with("250") || reply.starts_with("421"), "{reply}");
        drop((silent, busy));
        door.connections(0).await;
    }
}

#[tokio::test]
async fn who_has_logged_in_has_the_time_of_the_standard() {
    let door = Door::open(Mode::Implicit, |config| {
        login_required(config);
        config.deadlines.login = SHORT * 4;
    })
    .await;
    let mut client = door.client().await.handshake().await;
    client.expect("220").await;
    client.ask("EHLO client.example", "250").await;
    client.ask(LOGIN, "235").await;
    tokio::time::sleep(SHORT * 5).await;
    client.send_mail("hi\r\n", "250").await;
}

#[tokio::test]
async fn one_octet_now_and_then_buys_no_time_for_a_login_or_a_handshake() {
    let door = Door::open(Mode::Implicit, |config| {
        login_required(config);
        config.deadlines.login = SHORT * 2;
    })
    .await;
    let mut client = door.client().await.handshake().await;
    client.expect("220").await;
    client.ask("EHLO client.example", "250").await;
    client.ask("AUTH LOGIN", "334").await;
    let reply = client.dribble(b"YW5h").await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");

    let door = Door::open(Mode::Implicit, |config| config.deadlines.handshake = SHORT).await;
    let mut client = door.client().await;
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
    let reply = client.dribble(b"\x01").await;
    assert_eq!(reply, "");
    door.connections(0).await;
}

#[tokio::test]
async fn a_chunk_that_is_held_back_is_let_go() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.content_read = SHORT).await;
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    client.ask("RCPT TO:<bob@b.example>", "250").await;
    client.send(b"BDAT 1000000\r\n").await;
    let reply = client.dribble(b"x").await;
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
    // One small chunk after another is no progress either.
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    client.ask("RCPT TO:<bob@b.example>", "250").await;
    let mut reply = String::new();
    for _ in 0..100 {
        client.send(b"BDAT 1\r\nx").await;
        reply = client.reply().await;
        if reply.starts_with("421") {
            break;
        }
        tokio::time::sleep(SHORT / 20).await;
    }
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
    assert!(door.contents().is_empty());
}

#[tokio::test]
async fn a_message_in_chunks() {
    let door = Door::open(Mode::StartTls, |_| {}).await;
    let mut client = door.greeted().await;
    client.ask("STARTTLS", "220").await;
    let mut client = client.handshake().await;
    client.ask("EHLO client.example", "250").await;
    let text = lines(400_000);
    let mut all = String::from("MAIL FROM:<ana@a.example>\r\nRCPT TO:<bob@b.example>\r\n");
    for piece in 0..4 {
        all.push_str(&format!("BDAT 100000\r\n{}", &text[piece * 100_000..(piece + 1) * 100_000]));
    }
    all.push_str("BDAT 0 LAST\r\nQUIT\r\n");
    client.send(all.as_bytes()).await;
    for code in ["250 2.1.0", "250 2.1.5", "250", "250", "250", "250", "250 2.0.0 Taken", "221"] {
        client.expect(code).await;
    }
    assert!(door.contents() == [text.into_bytes()], "the content is another");
    assert_eq!(door.limits.free_octets(), MANY_OCTETS);
}

#[tokio::test]
async fn a_thousand_that_only_sit_there_keep_nobody_out() {
    let door = Door::open(Mode::Clear, |config| {
        login_required(config);
        config.allow_plain_auth = true;
        config.limits = Limits::new(30, 1_000, MANY_OCTETS);
    })
    .await;
    let mut logged_in = door.greeted().await;
    logged_in.ask(LOGIN, "235").await;
    let mut silent = std::collections::VecDeque::new();
    for number in 0..1_000 {
        silent.push_back(door.client().await);
        if silent.len() > 100 {
            let mut first = silent.pop_front().unwrap();
            first.expect("220").await;
            first.expect("421 4.3.2 All connections are in use").await;
            first.expect_closed().await;
        }
        if number % 100 == 99 {
            let began = Instant::now();
            let mut good = door.greeted().await;
            good.ask(LOGIN, "235").await;
            good.send_mail("hi\r\n", "250").await;
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        }
        assert!(door.limits.open_connections() <= 30 + 64);
    }
    // Who had logged in still is.
    logged_in.send_mail("hi\r\n", "250").await;
    assert_eq!(door.contents().len(), 11);
}

#[tokio::test]
async fn those_who_never_end_their_handshake_keep_nobody_out() {
    let door = Door::open(Mode::Implicit, |config| config.limits = Limits::new(10, 1_000, MANY_OCTETS)).await;
    let mut silent = Vec::new();
    for number in 0..40 {
        let mut client = door.client().await;
        if number % 2 == 0 {
            client.send(b"\x16\x03\x01").await;
        }
        silent.push(client);
    }
    let mut good = door.client().await.handshake().await;
    good.expect("220").await;
    good.ask("EHLO client.example", "250").await;
    good.send_mail("hi\r\n", "250").await;
    silent[0].expect_closed().await;
}

#[tokio::test]
async fn who_holds_room_and_brings_nothing_makes_room() {
    let door = Door::open(Mode::Clear, |config| {
        config.limits = Limits::new(10, 10, SMALL_BUDGET);
        config.deadlines.content_read_when_full = SHORT;
    })
    .await;
    let (mut stalls, mut good) = (door.at_data().await, door.at_data().await);
    stalls.send(lines(40_000).as_bytes()).await;
    good.send(lines(40_000).as_bytes()).await;
    good.ask(".", "250").await;
    stalls.expect("421 4.4.2").await;
    stalls.expect_closed().await;
    assert_eq!(door.contents(), [lines(40_000).into_bytes()]);
    assert_eq!(door.limits.free_octets(), SMALL_BUDGET);
}

/// 40 KB and 40 KB do not fit into 64 KB.
const SMALL_BUDGET: usize = 65_536;

fn lines(octets: usize) -> String {
    format!("{}\r\n", "x".repeat(78)).repeat(octets / 80)
}

#[tokio::test]
async fn a_content_waits_for_the_room_of_another() {
    let door = Door::open(Mode::Clear, |config| config.limits = Limits::new(10, 10, SMALL_BUDGET)).await;
    let (mut one, mut two) = (door.at_data().await, door.at_data().await);
    one.send(lines(40_000).as_bytes()).await;
    let waiting = async {
        two.send(lines(40_000).as_bytes()).await;
        two.ask(".", "250").await;
    };
    let ending = async {
        one.ask(".", "250").await;
    };
    tokio::join!(waiting, ending);
    assert_eq!(door.contents(), [lines(40_000).into_bytes(), lines(40_000).into_bytes()]);
    assert_eq!(door.limits.free_octets(), SMALL_BUDGET);
}

#[tokio::test]
async fn a_content_that_finds_no_room_gets_452_and_may_come_again() {
    let door = Door::open(Mode::Clear, |config| {
        config.limits = Limits::new(10, 10, SMALL_BUDGET);
        config.deadlines.room = SHORT;
    })
    .await;
    let (mut one, mut two) = (door.at_data().await, door.at_data().await);
    // Two half messages that are larger than the budget, each waiting for the other's room.
    one.send(lines(40_000).as_bytes()).await;
    two.send(lines(40_000).as_bytes()).await;
    while door.limits.free_octets() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let end = async |client: &mut Client| {
        client.send(lines(24_000).as_bytes()).await;
        client.send(b".\r\n").await;
        client.reply().await
    };
    let replies = [end(&mut one).await, end(&mut two).await];
    for reply in &replies {
        assert!(reply.starts_with("250 ") || reply.starts_with("452 4.3.1"), "{reply}");
    }
    assert!(replies.iter().any(|reply| reply.starts_with("452")), "{replies:?} in one budget");
    let taken = replies.iter().filter(|reply| reply.starts_with("250")).count();
    assert_eq!(door.contents(), vec![lines(64_000).into_bytes(); taken]);
    assert_eq!(door.limits.free_octets(), SMALL_BUDGET);
    for client in [&mut one, &mut two] {
        client.send_mail(&lines(40_000), "250").await;
    }
}

#[tokio::test]
async fn idle_clients_keep_nobody_waiting() {
    let door = Door::open(Mode::Clear, |_| {}).await;
    let mut idle = Vec::new();
    for number in 0..300 {
        let mut client = if number % 3 == 0 { door.at_data().await } else { door.client().await };
        if number % 3 == 1 {
            client.expect("220").await;
        }
        idle.push(client);
    }
    door.connections(300).await;
    let began = Instant::now();
    let mut good = door.greeted().await;
    good.send_mail("hi\r\n", "250").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(idle.len(), 300);
}

#[tokio::test]
async fn shutdown_ends_the_idle_and_waits_for_those_at_work() {
    let door = Door::open(Mode::Clear, |_| {}).await;
    let mut idle = door.greeted().await;
    let mut sending = door.at_data().await;
    sending.send(b"half\r\n").await;
    let mut waiting = door.at_data().await;
    waiting.send(b"Hold\r\n.\r\n").await;
    door.heard(A_CONTENT).await;

    door.shut_down();
    idle.expect("421 4.3.2").await;
    idle.expect_closed().await;
    sending.send(b"the other half\r\n.\r\n").await;
    sending.expect("250 2.0.0 Taken").await;
    sending.expect("421 4.3.2").await;
    assert!(TcpStream::connect(door.address).await.is_err(), "still listening");
    door.release_content();
    waiting.expect("250 2.0.0 Taken").await;
    waiting.expect("421 4.3.2").await;
    drop((idle, sending, waiting));

    assert_eq!(door.contents(), [&b"Hold\r\n"[..], b"half\r\nthe other half\r\n"]);
    assert_eq!(door.limits.free_octets(), MANY_OCTETS);
    door.closed().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_handshake() {
    let door = Door::open(Mode::Implicit, |config| config.deadlines.grace = Duration::from_mins(1)).await;
    let mut silent = door.client().await;
    let mut half = door.client().await;
    half.send(b"\x16\x03\x01").await;
    door.connections(2).await;
    door.shut_down();
    silent.expect_closed().await;
    half.expect_closed().await;
    door.closed().await;
}

#[tokio::test]
async fn a_content_that_outstays_the_grace_is_not_taken() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.grace = SHORT).await;
    let mut client = door.at_data().await;
    client.send(b"half\r\n").await;
    door.shut_down();
    client.expect("421 4.3.2").await;
    client.expect_closed().await;
    drop(client);
    door.heard("close").await;
    assert!(door.contents().is_empty());
    door.closed().await;
}

#[tokio::test]
async fn a_handler_that_outstays_the_grace_is_dropped() {
    let door = Door::open(Mode::Clear, |config| config.deadlines.grace = SHORT).await;
    let mut client = door.at_data().await;
    client.send(b"Hold\r\n.\r\n").await;
    door.heard(A_CONTENT).await;
    door.shut_down();
    client.expect_closed().await;
    door.closed().await;
}

#[tokio::test]
async fn a_panic_costs_its_own_connection_only() {
    let door = Door::open(Mode::Clear, |_| {}).await;
    let mut other = door.at_data().await;
    let mut client = door.greeted().await;
    client.ask("MAIL FROM:<ana@a.example>", "250").await;
    client.send(b"RCPT TO:<panic@b.example>\r\n").await;
    client.expect_closed().await;
    let mut client = door.at_data().await;
    client.send(b"Panic\r\n.\r\n").await;
    client.expect_closed().await;

    other.send(b"hi\r\n").await;
    other.ask(".", "250").await;
    door.connections(1).await;
    assert_eq!(door.limits.free_octets(), MANY_OCTETS);
    door.greeted().await;
    drop(other);
    door.shut_down();
    door.closed().await;
}

#[tokio::test]
async fn who_vanishes_before_the_final_dot_has_sent_nothing() {
    for mode in [Mode::Clear, Mode::StartTls] {
        let door = Door::open(mode, |_| {}).await;
        for half in ["", "half\r\n", "half\r\n.", "half\r\n.\r"] {
            let mut client = door.client().await;
            client.expect("220").await;
            client.ask("EHLO client.example", "250").await;
            if let Mode::StartTls = mode {
                client.ask("STARTTLS", "220").await;
                client = client.handshake().await;
                client.ask("EHLO client.example", "250").await;
            }
            client.ask("MAIL FROM:<ana@a.example>", "250").await;
            client.ask("RCPT TO:<bob@b.example>", "250").await;
            client.ask("DATA", "354").await;
            client.send(half.as_bytes()).await;
            drop(client);
            door.connections(0).await;
        }
        let closes = door.heard("close").await.iter().filter(|line| *line == "close").count();
        assert_eq!(closes, 4);
        assert!(door.contents().is_empty());
        assert_eq!(door.limits.free_octets(), MANY_OCTETS);
    }
}

#[tokio::test]
async fn a_vanished_sender_of_shutdown_shuts_nothing_down() {
    let mut door = Door::open(Mode::Clear, |_| {}).await;
    let mut client = door.greeted().await;
    door.lose_shutdown();
    client.send_mail("hi\r\n", "250").await;
    door.greeted().await;
}

#[tokio::test]
async fn no_client_writes_a_line_of_its_own_into_the_log() {
    let paper = Paper::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(paper.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let door = Door::open(Mode::Clear, |config| {
        config.auth = AuthPolicy::Required;
        config.allow_plain_auth = true;
    })
    .await;
    // \0ana\r\n INFO forged\0hunter3, with the line end within the base64.
    let login = b"AUTH PLAIN AGFuYQ0KIElORk8gZm9yZ2VkAGh1bnRlcjM=\r\n";
    for hostile in [
        &b"EHLO a\x0d INFO forged\r\n"[..],
        b"EHLO \xe2\x80\xa8\x1b[31m INFO forged\r\nNOOP\n INFO forged\n\r\n",
        b"HELO a\r\n INFO forged\r\n\x1b]0;forged\x07\r\n",
        b"\n INFO forged\n",
        b"\x16\n INFO forged\n",
    ] {
        let mut client = door.client().await;
        client.send(hostile).await;
        client.send(b"EHLO a\r\n").await;
        client.send(login).await;
        client.send(b"MAIL FROM:<\"a\n INFO forged\"@b>\r\nRCPT TO:<x\ry@z>\r\nQUIT\r\n").await;
        while !client.reply().await.is_empty() {}
    }
    door.connections(0).await;
    drop(door);
    let log = paper.text();
    assert!(log.lines().count() > 20, "{log}");
    let levels = ["ERROR ", " WARN ", " INFO ", "DEBUG ", "TRACE "];
    for line in log.lines() {
        assert!(levels.iter().any(|level| line.starts_with(level)), "{line:?}");
        assert!(!line.contains("forged") || !line.starts_with(" INFO forged"), "{line:?}");
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.contains("hunter") && !line.contains("AGFuYQ"), "{line:?}");
    }
}
