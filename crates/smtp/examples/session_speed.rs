//! How fast the session takes messages, without sockets: what is measured is the protocol alone,
//! fed as the listener feeds it. `cargo run --release -p waxseal-smtp --example session_speed`
#![allow(clippy::cast_precision_loss)] // Figures to read, not to calculate with.

use std::time::{Duration, Instant};

use envelope::Reply;
use waxseal_smtp::{AuthPolicy, Event, Output, Session, SessionConfig};

const READ_OCTETS: usize = 16_384;
const TIME: Duration = Duration::from_secs(2);

fn main() {
    for (message_octets, line_octets) in [(2_048, 76), (20_480, 76), (20_480, 990), (1_048_576, 76)] {
        let line = format!("{}\r\n", "x".repeat(line_octets - 2));
        let content = line.repeat(message_octets / line_octets);
        let (messages, took) = send(&content);
        println!(
            "{message_octets:>9} octets in lines of {line_octets:>3}: {:>7.0} messages/s, {:>5.0} MB/s",
            messages as f64 / took.as_secs_f64(),
            (messages * content.len()) as f64 / took.as_secs_f64() / 1e6,
        );
    }
}

/// Sends the content again and again; says how many were taken, in which time.
fn send(content: &str) -> (usize, Duration) {
    let config = SessionConfig { auth: AuthPolicy::None, ..SessionConfig::new("relay.example") };
    let mut session = Session::new(config);
    session.receive(b"EHLO client.example\r\n");
    let mail = format!("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n{content}.\r\n");
    let (mut messages, began) = (0, Instant::now());
    while began.elapsed() < TIME {
        for piece in mail.as_bytes().chunks(READ_OCTETS) {
            session.receive(piece);
            while let Some(output) = session.step() {
                match output {
                    Output::Reply(reply) => assert!(reply.severity().is_none(), "{reply}"),
                    Output::Event(event) => {
                        messages += usize::from(matches!(event, Event::Content { .. }));
                        session.answer(Reply::of(250, "2.0.0", "Ok"));
                    }
                }
            }
        }
    }
    (messages, began.elapsed())
}
