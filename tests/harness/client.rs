//! A mail program that can also misbehave: raw SMTP on a blocking socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects and hears the greeting.
    pub fn connect(relay: SocketAddr) -> Self {
        let stream = TcpStream::connect(relay).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self { stream: BufReader::new(stream) };
        assert!(client.reply().starts_with("220 "));
        client
    }

    /// The same after EHLO.
    pub fn greeted(relay: SocketAddr) -> Self {
        let mut client = Self::connect(relay);
        assert!(client.say("EHLO client.test").starts_with("250"));
        client
    }

    /// Sends a line and hears the reply, all lines of it.
    pub fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).unwrap();
    }

    /// False when the other side is gone.
    pub fn try_send(&mut self, octets: &[u8]) -> bool {
        self.stream.get_mut().write_all(octets).is_ok()
    }

    /// Nothing more comes from here.
    pub fn end_of_sending(&mut self) {
        let _ = self.stream.get_mut().shutdown(std::net::Shutdown::Write);
    }

    /// The next reply, if it begins within that time.
    pub fn reply_within(&mut self, time: std::time::Duration) -> Option<String> {
        self.stream.get_mut().set_read_timeout(Some(time)).unwrap();
        let begins = self.stream.fill_buf().is_ok();
        self.stream.get_mut().set_read_timeout(Some(PATIENCE)).unwrap();
        begins.then(|| self.reply())
    }

    /// The next reply; empty at the end of the connection.
    pub fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap_or(0) == 0 {
                return reply;
            }
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// One whole message; the reply to its content.
    pub fn mail(&mut self, to: &[&str], content: &[u8]) -> String {
        let reply = self.say("MAIL FROM:<ana@example.com> BODY=8BITMIME");
        if !reply.starts_with('2') {
            return reply;
        }
        for recipient in to {
            let reply = self.say(&format!("RCPT TO:<{recipient}>"));
            if !reply.starts_with('2') && to.len() == 1 {
                return reply;
            }
        }
        let reply = self.say("DATA");
        if !reply.starts_with("354") {
            return reply;
        }
        self.send(&stuffed(content));
        self.send(b".\r\n");
        self.reply()
    }

    /// Hears everything until the other side closes.
    pub fn rest(&mut self) -> String {
        let mut text = Vec::new();
        let _ = self.stream.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// RFC 5321 §4.5.2. Content must end in CRLF.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}
