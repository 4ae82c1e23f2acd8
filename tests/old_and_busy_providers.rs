//! A provider that knows little, and one whose connections are shared.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use harness::Relay;
use harness::client::Client;
use harness::provider::{Provider, Script};
use harness::{open_listener, plain_upstream};

#[tokio::test(flavor = "multi_thread")]
async fn eight_bit_text_is_encoded_for_a_provider_of_seven_bits() {
    let provider = Provider::start(Script { extensions: vec!["SIZE"], ..Script::default() }).await;
    let relay = Relay::start(provider.address);
    let mut client = Client::greeted(relay.smtp);
    let mail = "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>Schöne Grüße <a href=\"https://example.org/x\">x</a></p>\r\n";
    let reply = client.mail(&["jo@example.net"], mail.as_bytes());
    assert!(reply.starts_with("250"), "{reply}");
    let received = provider.received().pop().unwrap().content;
    assert!(received.is_ascii());
    let parsed = mail_parser::MessageParser::new().parse(&received).unwrap();
    let html = parsed.body_html(0).unwrap();
    assert!(html.contains("Schöne Grüße") && html.contains("/o/"), "with its pixel: {html}");

    // What a conversion would break stays here, and the next message does not suffer from it.
    let signed = mail.replacen("MIME", "DKIM-Signature: v=1; a=rsa-sha256\r\nMIME", 1);
    let reply = client.mail(&["jo@example.net"], signed.as_bytes());
    assert!(reply.starts_with("554 5.6.3 Your provider 127.0.0.1 takes only 7-bit messages"), "{reply}");
    assert!(client.mail(&["jo@example.net"], b"Subject: x\r\n\r\nx\r\n").starts_with("250"));
    assert_eq!(provider.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_share_the_providers_connections() {
    let provider = Provider::start(Script::default()).await;
    let relay =
        Relay::start_with(|smtp| open_listener(smtp) + &plain_upstream(provider.address) + "pool = 1\n");
    for _ in 0..3 {
        let mut client = Client::greeted(relay.smtp);
        for _ in 0..2 {
            assert!(client.mail(&["jo@example.net"], b"Subject: x\r\n\r\nx\r\n").starts_with("250"));
        }
    }
    assert_eq!(provider.received().len(), 6);
    assert!(provider.received().iter().all(|received| received.connection == 1));

    // One who holds it in a transaction lets the next wait; with RSET it is free again.
    let (mut first, mut second) = (Client::greeted(relay.smtp), Client::greeted(relay.smtp));
    assert!(first.say("MAIL FROM:<ana@example.com>").starts_with("250"));
    second.send(b"MAIL FROM:<ana@example.com>\r\n");
    assert!(first.say("RSET").starts_with("250"));
    assert!(second.reply().starts_with("250"));
    // Also when he vanishes; his connection may go with him.
    drop(second);
    assert!(first.mail(&["jo@example.net"], b"Subject: x\r\n\r\nx\r\n").starts_with("250"));
    assert!(provider.connections() <= 2, "{}", provider.connections());
}
