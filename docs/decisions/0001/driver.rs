//! Drives mailin-embedded 0.8.3 over raw sockets and smtp-proto 0.2.5's receivers, and writes down what they
//! do: the evidence for decision 0001. Not part of the build.
//!
//! To repeat it, put this file into an empty directory as `src/main.rs` beside this `Cargo.toml`, and
//! say `cargo run --release -- OUTPUT-DIRECTORY`:
//!
//! ```toml
//! [package]
//! name = "d0001"
//! version = "0.0.0"
//! edition = "2024"
//!
//! [dependencies]
//! mailin-embedded = "=0.8.3"
//! smtp-proto = "=0.2.5"
//! rcgen = { version = "0.14", default-features = false, features = ["aws_lc_rs", "pem"] }
//! rustls = { version = "0.23", default-features = false, features = ["aws_lc_rs", "std", "tls12"] }
//! ```
//!
//! In the transcripts `C:` is the client, `S:` the server, `H:` what the server's handler was given,
//! `--` a remark of the driver. Octets that do not print are written `\r`, `\n`, `\xff`.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use mailin_embedded::{AuthMechanism, Handler, Response, Server, SslConfig, response};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use smtp_proto::request::receiver::{DataReceiver, RequestReceiver};
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{EhloResponse, Request};

/// How long silence must last to be called silence.
const SILENCE: Duration = Duration::from_secs(2);

fn main() {
    if env::args().nth(1).as_deref() == Some(SERVE_AND_PANIC) {
        serve_and_panic();
    }
    let out = PathBuf::from(env::args().nth(1).expect("where to write the transcripts"));
    fs::create_dir_all(&out).unwrap();
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    let certificate = Certificate::make();
    let cases: [(&str, &str, fn(&mut Talk)); 12] = [
        ("a_null_reverse_path", "a. MAIL FROM:<>", null_reverse_path),
        ("b_rset_when_authenticated", "b. MAIL after RSET and after a second EHLO, once authenticated", rset),
        ("c_refusal_after_content", "c. The handler refuses at the end of data", refusal_after_content),
        ("d_end_of_data", "d. What is taken as the end of data", end_of_data),
        ("e_unbounded_line", "e. 64 MiB without a line end, before TLS and AUTH", unbounded_line),
        ("f_extensions", "f. Extensions and parameters", extensions),
        ("g_blocked_by_idle_clients", "g. Four silent clients", blocked),
        ("h_auth", "Also: AUTH", auth),
        ("i_commands", "Also: commands and paths", commands),
        ("j_cross_protocol", "Also: an HTTP POST carrying an SMTP dialogue", cross_protocol),
        ("k_many_recipients", "Also: 100,000 recipients", many_recipients),
        ("l_starttls", "Also: STARTTLS", starttls),
    ];
    for (file, title, case) in cases {
        let mut talk = Talk::new(title, &certificate);
        case(&mut talk);
        fs::write(out.join(format!("mailin_{file}.txt")), &talk.text).unwrap();
        println!("{}", talk.text);
    }
    let mut talk = Talk::new("Also (not in the field notes): a handler that panics", &certificate);
    panicking_handler(&mut talk);
    fs::write(out.join("mailin_m_panic.txt"), &talk.text).unwrap();
    println!("{}", talk.text);
    let text = smtp_proto();
    fs::write(out.join("smtp_proto.txt"), &text).unwrap();
    println!("{text}");
    fs::remove_dir_all(certificate.directory).unwrap();
    // mailin-embedded has no way to stop.
    process::exit(0);
}

// ---- mailin-embedded --------------------------------------------------------------------------

fn null_reverse_path(t: &mut Talk) {
    t.connect(&server(&[], false));
    t.greet();
    t.say("MAIL FROM:<>");
    t.say("MAIL FROM:<ann@example.org>");
}

fn rset(t: &mut Talk) {
    let addr = server(&[AuthMechanism::Plain], true);
    t.authenticated(&addr);
    t.remark("Two mails in a row work:");
    for _ in 0..2 {
        t.say("MAIL FROM:<ann@example.org>");
        t.say("RCPT TO:<bob@example.net>");
        t.say("DATA");
        t.send(b"x\r\n.\r\n");
        t.listen();
    }
    t.remark("After RSET there is no MAIL until AUTH is done again:");
    t.say("RSET");
    t.say("MAIL FROM:<ann@example.org>");
    t.say(AUTH);
    t.say("MAIL FROM:<ann@example.org>");
    t.remark("Nor after a second EHLO:");
    t.say("EHLO client.example");
    t.say("MAIL FROM:<ann@example.org>");
    t.say(AUTH);
    t.say("MAIL FROM:<ann@example.org>");
    t.log(&addr);
}

fn refusal_after_content(t: &mut Talk) {
    let addr = server(&[], false);
    t.connect(&addr);
    t.greet();
    t.say("MAIL FROM:<refused@example.org>");
    t.say("RCPT TO:<bob@example.net>");
    t.say("DATA");
    t.send(b"Subject: one\r\n.\r\n");
    t.listen();
    t.say("RSET");
    t.say("QUIT");
    t.say(".");
    t.log(&addr);
}

fn end_of_data(t: &mut Talk) {
    for end in ["\n.\r\n", "\n.\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r\r\n", "\r\n.\r\n"] {
        let addr = server(&[], false);
        t.connect(&addr);
        t.quietly(&[
            "EHLO client.example",
            "MAIL FROM:<ann@example.org>",
            "RCPT TO:<bob@example.net>",
            "DATA",
        ]);
        t.send(format!("one\rtwo\nthree{end}").as_bytes());
        t.listen();
        t.log(&addr);
        t.rule();
    }
    t.remark("A whole second envelope behind LF . CRLF:");
    let addr = server(&[], false);
    t.connect(&addr);
    t.quietly(&["EHLO client.example", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@example.net>", "DATA"]);
    t.send(
        b"one\n.\r\nMAIL FROM:<boss@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nsmuggled\r\n.\r\n",
    );
    for _ in 0..5 {
        t.listen();
    }
    t.log(&addr);
    t.rule();
    t.remark("An empty message, and stuffed dots:");
    let addr = server(&[], false);
    t.connect(&addr);
    t.quietly(&["EHLO client.example", "MAIL FROM:<ann@example.org>", "RCPT TO:<bob@example.net>", "DATA"]);
    t.send(b".\r\n");
    t.listen();
    t.quietly(&["MAIL FROM:<ann@example.org>", "RCPT TO:<bob@example.net>", "DATA"]);
    t.send(b"..x\r\n...\r\n.y\r\n.\r\n");
    t.listen();
    t.log(&addr);
}

fn unbounded_line(t: &mut Talk) {
    t.connect(&server(&[AuthMechanism::Plain], true));
    let before = resident_mib();
    let chunk = [b'x'; 65_536];
    for _ in 0..1_024 {
        t.stream().write_all(&chunk).unwrap();
    }
    t.note("C: x, 67,108,864 times, and no line end");
    thread::sleep(Duration::from_millis(500));
    t.listen();
    let grown = resident_mib() - before;
    t.remark(&format!("resident memory of the process has grown by {grown} MiB"));
    t.send(b"\r\n");
    t.listen();
    t.say("NOOP");
}

fn extensions(t: &mut Talk) {
    let addr = server(&[AuthMechanism::Plain, AuthMechanism::Login], true);
    t.tls(&addr);
    t.say("EHLO client.example");
    t.say(AUTH);
    for parameters in
        [" SIZE=1000", " SMTPUTF8", " AUTH=<>", " RET=HDRS", " BODY=BINARYMIME", " BODY=8BITMIME"]
    {
        t.say(&format!("MAIL FROM:<ann@example.org>{parameters}"));
    }
    t.say("RCPT TO:<bob@example.net> NOTIFY=NEVER");
    t.remark("Pipelining works, but is not offered:");
    t.send(b"RCPT TO:<bob@example.net>\r\nRCPT TO:<cy@example.net>\r\nDATA\r\n");
    for _ in 0..3 {
        t.listen();
    }
    t.rule();
    t.remark("No implicit TLS: a client that begins with a TLS handshake is greeted in clear. Its ClientHello is read as a line:");
    t.connect(&addr);
    t.send(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n");
    t.listen();
}

fn blocked(t: &mut Talk) {
    let addr = server(&[], false);
    let idle: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(addr.addr).unwrap()).collect();
    t.note("-- four clients connect and say nothing");
    thread::sleep(Duration::from_millis(200));
    t.connect(&addr);
    t.remark("one of the four goes");
    drop(idle.into_iter().next().unwrap());
    t.listen();
}

fn auth(t: &mut Talk) {
    let addr = server(&[AuthMechanism::Plain, AuthMechanism::Login], true);
    t.remark("Before TLS:");
    t.connect(&addr);
    t.greet();
    t.say(AUTH);
    t.say("MAIL FROM:<ann@example.org>");
    t.say("HELO client.example");
    t.rule();
    t.remark("Under TLS:");
    t.tls(&addr);
    t.say("EHLO client.example");
    t.say("MAIL FROM:<ann@example.org>");
    t.say("HELO client.example");
    t.remark("AUTH cannot be cancelled, and the next command is the password:");
    t.say("AUTH PLAIN");
    t.say("*");
    t.say("NOOP");
    let began = Instant::now();
    let mut replies = Vec::new();
    for _ in 0..1_000 {
        t.stream().write_all(b"AUTH PLAIN AGFubgB3cm9uZw==\r\n").unwrap();
        replies.push(t.read().unwrap_or_default());
    }
    let all = replies.iter().all(|reply| reply.starts_with("535"));
    t.remark(&format!(
        "a wrong password a thousand times on one connection: {} x 535, in {} s",
        if all { "1000" } else { "not 1000" },
        began.elapsed().as_secs()
    ));
    t.say(AUTH);
}

fn commands(t: &mut Talk) {
    let addr = server(&[], false);
    t.connect(&addr);
    t.greet();
    for line in ["NOOP", "NOOP text", "HELP", "VRFY bob", "noop ", "EXPN list", "AUTH PLAIN AGFubgBzZWNyZXQ="]
    {
        t.say(line);
    }
    t.say("MAIL FROM:<ann@example.org>");
    for line in [
        "RCPT TO:<postmaster>",
        "RCPT TO:<>",
        "RCPT TO:<\"a b\"@example.net>",
        "RCPT TO:<\"ab\"@example.net>",
        "RCPT TO:<b@[127.0.0.1]>",
        "RCPT TO:<b\u{fc}@example.net>",
        "RCPT TO: <bob@example.net>",
        "RCPT TO:<bob@example.net> ",
    ] {
        t.say(line);
    }
    t.remark("A bare LF ends a line for its reader, and the parser then refuses:");
    t.send(b"NOOP\n");
    t.listen();
    t.say("QUIT");
    t.listen();
}

fn cross_protocol(t: &mut Talk) {
    let addr = server(&[], false);
    t.connect(&addr);
    t.send(
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1:25\r\n\r\nEHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nby a browser\r\n.\r\n",
    );
    for _ in 0..8 {
        t.listen();
    }
    t.log(&addr);
}

fn many_recipients(t: &mut Talk) {
    t.connect(&server(&[], false));
    t.quietly(&["EHLO client.example", "MAIL FROM:<ann@example.org>"]);
    let mut accepted = 0;
    for batch in 0..1_000 {
        let lines: String = (0..100).map(|n| format!("RCPT TO:<r{batch}.{n}@example.net>\r\n")).collect();
        t.stream().write_all(lines.as_bytes()).unwrap();
        for _ in 0..100 {
            accepted += usize::from(t.read().is_some_and(|reply| reply.starts_with("250")));
        }
    }
    t.remark(&format!("{accepted} of 100000 RCPT were answered 250 OK"));
    t.say("DATA");
}

fn starttls(t: &mut Talk) {
    let addr = server(&[AuthMechanism::Plain], true);
    t.remark("What is sent in clear behind STARTTLS does not count under TLS:");
    t.connect(&addr);
    t.say("EHLO client.example");
    t.send(b"STARTTLS\r\nNOOP\r\nEHLO injected.example\r\n");
    t.listen();
    t.upgrade();
    t.remark("handshake done");
    t.listen();
    t.say("NOOP");
    t.rule();
    t.remark("STARTTLS under TLS:");
    t.tls(&addr);
    t.say("EHLO client.example");
    t.say("STARTTLS");
    t.listen();
}

/// In a process of its own, for the driver wants to see what follows.
fn panicking_handler(t: &mut Talk) {
    let mut child = process::Command::new(env::current_exe().unwrap())
        .arg(SERVE_AND_PANIC)
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let running = Running { addr: line.trim().parse().unwrap(), log: Arc::default() };
    for _ in 0..4 {
        t.connect(&running);
        t.quietly(&["EHLO client.example", "MAIL FROM:<ann@example.org>"]);
        t.say("RCPT TO:<panic@example.net>");
        t.remark(&format!("the server's process: {}", process_state(&mut child)));
    }
    t.remark("each panic took a thread of the pool with it. One more client:");
    t.connect(&running);
    t.remark(&format!("the server's process: {}", process_state(&mut child)));
    let _ = child.kill();
}

const SERVE_AND_PANIC: &str = "--serve-and-panic";

fn serve_and_panic() -> ! {
    println!("{}", server(&[], false).addr);
    loop {
        thread::park();
    }
}

fn process_state(child: &mut process::Child) -> String {
    thread::sleep(Duration::from_millis(300));
    child.try_wait().unwrap().map_or_else(|| "running".to_owned(), |status| status.to_string())
}

const AUTH: &str = "AUTH PLAIN AGFubgBzZWNyZXQ="; // ann, secret

/// A mailin-embedded server with its defaults: four threads.
struct Running {
    addr: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

fn server(auth: &[AuthMechanism], tls: bool) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut server =
        Server::new(Recorder { log: Arc::clone(&log), content: Vec::new(), from: String::new() });
    server.with_name("mx.example").with_tcp_listener(listener);
    let path = |name: &str| directory().join(name).to_string_lossy().into_owned();
    let ssl = if tls {
        SslConfig::SelfSigned { cert_path: path("cert.pem"), key_path: path("key.pem") }
    } else {
        SslConfig::None
    };
    server.with_ssl(ssl).unwrap();
    for mechanism in auth {
        server.with_auth(mechanism.clone());
    }
    thread::spawn(move || server.serve().unwrap());
    Running { addr, log }
}

#[derive(Clone)]
struct Recorder {
    log: Arc<Mutex<Vec<String>>>,
    content: Vec<u8>,
    from: String,
}

impl Handler for Recorder {
    fn mail(&mut self, _: IpAddr, _: &str, from: &str) -> Response {
        self.from = from.to_owned();
        response::OK
    }
    fn rcpt(&mut self, to: &str) -> Response {
        assert!(!to.starts_with("panic@"));
        response::OK
    }
    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        self.content.clear();
        response::OK
    }
    fn data(&mut self, line: &[u8]) -> std::io::Result<()> {
        self.content.extend_from_slice(line);
        Ok(())
    }
    fn data_end(&mut self) -> Response {
        let line = format!("H: from {}, content \"{}\"", self.from, escaped(&self.content));
        self.log.lock().unwrap().push(line);
        if self.from.starts_with("refused") {
            Response::custom(550, "Refused by the handler".into())
        } else {
            response::OK
        }
    }
    fn auth_plain(&mut self, _: &str, login: &str, password: &str) -> Response {
        if (login, password) == ("ann", "secret") { response::AUTH_OK } else { response::INVALID_CREDENTIALS }
    }
}

/// A conversation and its transcript.
struct Talk {
    text: String,
    tcp: Option<TcpStream>,
    tls: Option<StreamOwned<ClientConnection, TcpStream>>,
    heard: Vec<u8>,
    client: Arc<ClientConfig>,
}

impl Talk {
    fn new(title: &str, certificate: &Certificate) -> Self {
        let text = format!("mailin-embedded 0.8.3 (mailin 0.6.5)\n{title}\n\n");
        Self { text, tcp: None, tls: None, heard: Vec::new(), client: Arc::clone(&certificate.client) }
    }

    fn connect(&mut self, running: &Running) {
        let stream = TcpStream::connect(running.addr).unwrap();
        stream.set_nodelay(true).unwrap();
        self.tls = None;
        self.tcp = Some(stream);
        self.heard.clear();
        self.note("-- connected");
        self.listen();
    }

    fn greet(&mut self) {
        self.say("EHLO client.example");
    }

    fn upgrade(&mut self) {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(Arc::clone(&self.client), name).unwrap();
        let mut stream = StreamOwned::new(session, self.tcp.take().unwrap());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        self.tls = Some(stream);
    }

    fn tls(&mut self, running: &Running) {
        self.connect(running);
        self.quietly(&["EHLO client.example", "STARTTLS"]);
        self.upgrade();
        self.remark("handshake done");
    }

    fn authenticated(&mut self, running: &Running) {
        self.tls(running);
        self.say("EHLO client.example");
        self.say(AUTH);
    }

    fn stream(&mut self) -> &mut dyn ReadWrite {
        match (&mut self.tls, &mut self.tcp) {
            (Some(tls), _) => tls,
            (None, Some(tcp)) => tcp,
            (None, None) => panic!("not connected"),
        }
    }

    fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n").as_bytes());
        self.listen();
    }

    fn send(&mut self, octets: &[u8]) {
        // A line each where lines end as they should, and all else spelt out.
        let text = escaped(octets).replace("\\r\\n", "\\r\\n\u{1}");
        for line in text.split('\u{1}').filter(|line| !line.is_empty()) {
            let shown = line.strip_suffix("\\r\\n").filter(|line| !line.contains('\\')).unwrap_or(line);
            writeln!(self.text, "C: {shown}").unwrap();
        }
        if let Err(error) = self.stream().write_all(octets) {
            self.remark(&format!("cannot send: {:?}", error.kind()));
        }
    }

    /// Says these and hears the answers, which the transcript shows in short.
    fn quietly(&mut self, lines: &[&str]) {
        for line in lines {
            self.stream().write_all(format!("{line}\r\n").as_bytes()).unwrap();
            let reply = self.read().unwrap_or_default();
            writeln!(self.text, "C: {line}    S: {}", reply.split('\n').next_back().unwrap_or_default())
                .unwrap();
        }
    }

    fn listen(&mut self) {
        match self.read() {
            Some(reply) if reply.is_empty() => self.note("S: (the connection ends)"),
            Some(reply) => {
                for line in reply.split('\n') {
                    writeln!(self.text, "S: {line}").unwrap();
                }
            }
            None => self.note("S: (nothing within 2 s)"),
        }
    }

    /// One reply, its lines joined by LF; empty at the end; none if there is silence.
    fn read(&mut self) -> Option<String> {
        let until = Instant::now() + SILENCE;
        let mut reply = Vec::new();
        loop {
            while let Some(at) = self.heard.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=at).collect();
                reply.push(escaped(line.strip_suffix(b"\r\n").unwrap_or(&line)));
                if line.get(3) != Some(&b'-') {
                    return Some(reply.join("\n"));
                }
            }
            let left = until.checked_duration_since(Instant::now())?;
            let tcp = self.tls.as_ref().map(|tls| &tls.sock).or(self.tcp.as_ref()).unwrap();
            tcp.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            let mut buffer = [0; 4_096];
            match self.stream().read(&mut buffer) {
                Ok(0) => return Some(String::new()),
                Ok(n) => self.heard.extend_from_slice(&buffer[..n]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(_) => return Some(String::new()),
            }
        }
    }

    fn log(&mut self, running: &Running) {
        for line in running.log.lock().unwrap().iter() {
            writeln!(self.text, "{line}").unwrap();
        }
    }

    fn note(&mut self, line: &str) {
        writeln!(self.text, "{line}").unwrap();
    }

    fn remark(&mut self, text: &str) {
        self.note(&format!("-- {text}"));
    }

    fn rule(&mut self) {
        self.text.push('\n');
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

struct Certificate {
    client: Arc<ClientConfig>,
    directory: PathBuf,
}

impl Certificate {
    fn make() -> Self {
        let directory = directory();
        fs::create_dir_all(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { client: Arc::new(client), directory }
    }
}

fn directory() -> PathBuf {
    env::temp_dir().join(format!("d0001-{}", process::id()))
}

fn resident_mib() -> usize {
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1_024
}

fn escaped(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        match octet {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b' '..=b'~' => text.push(char::from(*octet)),
            other => write!(text, "\\x{other:02x}").unwrap(),
        }
        text
    })
}

// ---- smtp-proto -------------------------------------------------------------------------------

fn smtp_proto() -> String {
    let mut text = String::from(
        "smtp-proto 0.2.5\n\nDataReceiver: octets after the 354, in one piece and octet by octet\n",
    );
    for (name, octets) in [
        ("empty message", ".\r\n"),
        ("stuffed first line", "..x\r\n.\r\n"),
        ("stuffed first line, alone on it", "..\r\n.\r\n"),
        ("stuffed later line", "a\r\n..x\r\n.\r\n"),
        ("CRLF . CR CR LF", "a\r\n.\r\r\nMAIL\r\n.\r\n"),
        ("CRLF . CR x CR LF", "a\r\n.\rx\r\nMAIL\r\n.\r\n"),
        ("CRLF . LF", "a\r\n.\nMAIL\r\n.\r\n"),
        ("LF . CRLF", "a\n.\r\nMAIL\r\n.\r\n"),
        ("LF . LF", "a\n.\nMAIL\r\n.\r\n"),
        ("CR . CRLF", "a\r.\r\nMAIL\r\n.\r\n"),
        ("CR . CR", "a\r.\rMAIL\r\n.\r\n"),
        ("bare CR and LF", "a\rb\nc\r\n.\r\n"),
    ] {
        let whole = data(octets.as_bytes(), octets.len());
        let split = data(octets.as_bytes(), 1);
        writeln!(text, "  {name}: \"{}\"\n    {whole}", escaped(octets.as_bytes())).unwrap();
        if split != whole {
            writeln!(text, "    octet by octet: {split}").unwrap();
        }
    }
    text.push_str("\nRequest::parse\n");
    for line in [
        "BDAT 99999999999999999999999999\r\n",
        "BDAT 18446744073709551616\r\n",
        "MAIL FROM:<a@b.c> SIZE=99999999999999999999999999\r\n",
        "MAIL FROM:<\"x> SIZE=1 <y\"@c.d>\r\n",
        "MAIL FROM:<\"a b\"@c.d>\r\n",
        "MAIL FROM:<>\r\n",
        "RCPT TO:<>\r\n",
        "RCPT TO:<postmaster>\r\n",
        "RCPT TO:<postmaster@c.d>\r\n",
        "RCPT TO:<a@[127.0.0.1]>\r\n",
        "RCPT TO:<a@b.c> ORCPT=utf-8;a@b.c\r\n",
        "RCPT TO:<a@b.c> ORCPT=rfc822;a@b.c\r\n",
        "MAIL FROM:<a@b.c> XYZ=1\r\n",
        "MAIL FROM:<\u{fc}@b.c> SMTPUTF8\r\n",
        "NOOP\n",
        "EHLO [127.0.0.1]\r\n",
    ] {
        writeln!(text, "  {}\n    {}", escaped(line.as_bytes()), request(line.as_bytes())).unwrap();
    }
    let latin = b"MAIL FROM:<\xfc@b.c>\r\n";
    writeln!(text, "  {}\n    {}", escaped(latin), request(latin)).unwrap();

    text.push_str("\nRequestReceiver: a line without end\n");
    let mut receiver = RequestReceiver::default();
    let mut taken = 0;
    let outcome = loop {
        let chunk = [b'x'; 1_024];
        match receiver.ingest(&mut chunk.iter()) {
            Err(smtp_proto::Error::NeedsMoreData { .. }) if taken < 1_048_576 => taken += chunk.len(),
            other => break format!("{other:?}"),
        }
    };
    writeln!(text, "  after {taken} octets: {outcome}").unwrap();

    text.push_str("\nEhloResponse::write\n");
    let mut written = Vec::new();
    EhloResponse::new("mx.example").write(&mut written).unwrap();
    writeln!(text, "  {}", escaped(&written)).unwrap();

    text.push_str("\nResponseReceiver\n");
    for reply in [
        &b"250\r\n"[..],
        b"250 OK\n",
        b"550 5.1.1 \xfcnknown\r\n",
        b"250-one\r\n250 two\r\n",
        b"250-one\r\n550 two\r\n",
        b"699 odd\r\n",
    ] {
        let outcome = match ResponseReceiver::default().parse(&mut reply.iter()) {
            Ok(response) => format!(
                "code {}, enhanced {:?}, \"{}\"",
                response.code,
                response.esc,
                response.message.escape_debug()
            ),
            Err(error) => format!("{error:?}"),
        };
        writeln!(text, "  {}\n    {outcome}", escaped(reply)).unwrap();
    }
    text
}

fn data(octets: &[u8], piece: usize) -> String {
    let mut receiver = DataReceiver::new();
    let mut content = Vec::new();
    let mut taken = 0;
    for piece in octets.chunks(piece) {
        let mut rest = piece.iter();
        let ended = receiver.ingest(&mut rest, &mut content);
        taken += piece.len() - rest.as_slice().len();
        if ended {
            let left = escaped(&octets[taken..]);
            return format!(
                "ends after {taken} of {} octets; content \"{}\"; left for the parser \"{left}\"",
                octets.len(),
                escaped(&content)
            );
        }
    }
    format!("NO END SEEN; content so far \"{}\"", escaped(&content))
}

fn request(line: &[u8]) -> String {
    match Request::parse(&mut line.iter()) {
        Ok(Request::Mail { from }) => format!("MAIL, address {:?}, size {}", from.address, from.size),
        Ok(Request::Rcpt { to }) => format!("RCPT, address {:?}, orcpt {:?}", to.address, to.orcpt),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("refused: {error:?}"),
    }
}
