//! The real binary in a scratch folder, a provider that does as it is told, and a recipient.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, missing_docs, unreachable_pub)]

pub mod acme;
pub mod certificates;
pub mod certified_relay;
pub mod client;
pub mod collection;
pub mod document;
pub mod http;
pub mod identity;
pub mod login_relay;
pub mod mta;
pub mod pebble;
pub mod provider;
pub mod tls;

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything on loopback may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// `waxseal run` in a folder of its own. Ended, at the latest, when the test is over.
pub struct Relay {
    pub folder: tempfile::TempDir,
    pub smtp: SocketAddr,
    pub tracking: SocketAddr,
    child: Child,
    log: mpsc::Receiver<String>,
    said: Vec<String>,
}

/// A port that was free a moment ago.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
    command.env_remove("WAXSEAL_CONFIG").env_remove("WAXSEAL_LOG").env("NO_COLOR", "1").env("TZ", "UTC");
    command
}

/// The part of a configuration that every test needs; `smtp` is a plain listener for ana without login.
pub fn open_listener(smtp: SocketAddr) -> String {
    format!(
        "[[smtp]]\nlisten = \"{smtp}\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\nas = \"ana@example.com\"\n"
    )
}

pub fn plain_upstream(provider: SocketAddr) -> String {
    format!(
        "[upstream.provider]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nauth = \"none\"\ntimeout = \"2s\"\n",
        provider.port()
    )
}

impl Relay {
    /// A relay that tracks everything by default and hands on to `provider` in plain text.
    pub fn start(provider: SocketAddr) -> Self {
        Self::start_with(|smtp| open_listener(smtp) + &plain_upstream(provider))
    }

    /// `rest` gets the mail port and gives all of the file but `[tracking]` and `[store]`.
    pub fn start_with(rest: impl FnOnce(SocketAddr) -> String) -> Self {
        let (folder, smtp, tracking) = Self::prepared(rest);
        Self::start_in(folder, smtp, tracking)
    }

    /// The same, with files made as this umask has it.
    pub fn start_with_umask(umask: &str, rest: impl FnOnce(SocketAddr) -> String) -> Self {
        let (folder, smtp, tracking) = Self::prepared(rest);
        let waxseal = binary();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]).arg(waxseal.get_program());
        for (name, value) in waxseal.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self::start_by(command, folder, smtp, tracking, &[])
    }

    fn prepared(rest: impl FnOnce(SocketAddr) -> String) -> (tempfile::TempDir, SocketAddr, SocketAddr) {
        let folder = tempfile::tempdir().unwrap();
        let (smtp, tracking) = (free_address(), free_address());
        let config = format!(
            "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}",
            rest(smtp)
        );
        std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
        (folder, smtp, tracking)
    }

    pub fn start_in(folder: tempfile::TempDir, smtp: SocketAddr, tracking: SocketAddr) -> Self {
        Self::start_as(folder, smtp, tracking, &[])
    }

    /// `waxseal run ARGS…`.
    pub fn start_as(
        folder: tempfile::TempDir,
        smtp: SocketAddr,
        tracking: SocketAddr,
        args: &[&str],
    ) -> Self {
        Self::start_by(binary(), folder, smtp, tracking, args)
    }

    fn start_by(
        mut command: Command,
        folder: tempfile::TempDir,
        smtp: SocketAddr,
        tracking: SocketAddr,
        args: &[&str],
    ) -> Self {
        let mut child = command
            .args(["run", "-c", "waxseal.toml"])
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut relay = Self { folder, smtp, tracking, child, log, said: vec![] };
        // Not "ready" alone: a trace has "already".
        relay.wait_for_log("ready config=");
        relay
    }

    /// Waits until the log has a line with `text`; gives that line.
    pub fn wait_for_log(&mut self, text: &str) -> String {
        self.wait_for_log_within(text, PATIENCE)
    }

    pub fn wait_for_log_within(&mut self, text: &str, patience: Duration) -> String {
        let began = Instant::now();
        loop {
            while let Ok(line) = self.log.try_recv() {
                self.said.push(line);
            }
            if let Some(line) = self.said.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(100));
                self.said.extend(self.log.try_iter());
                panic!("the relay ended with {status}:\n{}", self.said.join("\n"));
            }
            assert!(began.elapsed() < patience, "no {text:?} in the log:\n{}", self.said.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&mut self) -> String {
        self.said.extend(self.log.try_iter());
        self.said.join("\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.tracking)
    }

    /// `waxseal ARGS… -c waxseal.toml` beside the running relay.
    pub fn command(&self, args: &[&str]) -> Output {
        let output =
            binary().args(args).args(["-c", "waxseal.toml"]).current_dir(self.folder.path()).output();
        output.unwrap()
    }

    /// `waxseal messages --json` or `waxseal events --json`, a value a line.
    pub fn json(&self, what: &str) -> Vec<Value> {
        let output = self.command(&[what, "--json", "--limit", "1000"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// TERM, and the exit status.
    pub fn stop(self) -> i32 {
        self.signal("TERM");
        self.ended()
    }

    /// The exit status, once it has ended.
    pub fn ended(mut self) -> i32 {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(began.elapsed() < PATIENCE, "the relay does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The exit status once it has ended, and its folder.
    pub fn ended_in(mut self) -> (i32, tempfile::TempDir) {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (self.ended(), folder)
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    /// Ends it without a chance to do anything, and keeps its folder.
    pub fn kill(mut self) -> (tempfile::TempDir, SocketAddr, SocketAddr) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        (folder, self.smtp, self.tracking)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.said.extend(self.log.try_iter());
            eprintln!("the relay's log:\n{}", self.said.join("\n"));
        }
    }
}

/// Waits until `ready` gives something.
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its end, within the patience; its whole output.
pub fn run_to_end(mut command: Command, input: &[u8]) -> Output {
    use std::io::Write;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that does not care for its input may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input);
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).unwrap();
        text
    });
    let err = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        text
    });
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > PATIENCE * 3 {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    Output { status, stdout: out.join().unwrap(), stderr: err.join().unwrap() }
}
