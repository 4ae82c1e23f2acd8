//! Pebble, the ACME server that the protocol's authors test clients with, and its DNS: every name is this machine.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::certificates::Authority;
use super::certified_relay::Plan;
use super::{eventually, free_address, run_to_end};

pub struct Pebble {
    pub directory: String,
    /// Who vouches for the directory, in PEM.
    pub ca: String,
    folder: tempfile::TempDir,
    management: SocketAddr,
    dns_management: SocketAddr,
    programs: Vec<Child>,
}

impl Pebble {
    /// One that looks at the doors of `plan`.
    pub fn start(plan: &Plan) -> Self {
        for program in ["pebble", "pebble-challtestsrv", "curl", "openssl"] {
            let found = Command::new("which").arg(program).stdout(Stdio::null()).status().unwrap();
            assert!(found.success(), "this test needs {program}: apt-get install pebble curl openssl");
        }
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = authority.issue("localhost");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("cert.pem", &certificate);
        write("key.pem", &key);
        write("ca.pem", authority.pem());
        let (listen, management) = (free_address(), free_address());
        let (dns, dns_management) = (free_address(), free_address());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": listen.to_string(), "managementListenAddress": management.to_string(),
            "certificate": "cert.pem", "privateKey": "key.pem",
            "httpPort": plan.plain.port(), "tlsPort": plan.tracking.port(),
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "retryAfter": { "authz": 1, "order": 1 },
        }});
        write("pebble.json", &config.to_string());
        let log = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        let dns_server = Command::new("pebble-challtestsrv")
            .args(["-dns01", &dns.to_string(), "-management", &dns_management.to_string()])
            .args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv4",
                "127.0.0.1",
                "-defaultIPv6",
                "",
            ])
            .stdout(log("dns.log"))
            .stderr(log("dns.err"))
            .spawn()
            .unwrap();
        // A part of all nonces is refused: that is its default, and stays so.
        let server = Command::new("pebble")
            .args(["-config", "pebble.json", "-dnsserver", &dns.to_string()])
            .current_dir(folder.path())
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(log("pebble.log"))
            .stderr(log("pebble.err"))
            .spawn()
            .unwrap();
        let pebble = Self {
            directory: format!("https://localhost:{}/dir", listen.port()),
            ca: authority.pem().to_owned(),
            folder,
            management,
            dns_management,
            programs: vec![dns_server, server],
        };
        eventually("Pebble listens", || {
            let text = pebble.log();
            text.contains("ACME directory available at").then_some(())
        });
        pebble
    }

    pub fn log(&self) -> String {
        let read = |name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("pebble.log") + &read("pebble.err")
    }

    /// The certificate of the authority that it plays, in PEM.
    pub fn root(&self) -> String {
        curl(&["-k", &format!("https://{}/roots/0", self.management)])
    }

    /// From now on `name` leads there.
    pub fn lead(&self, name: &str, address: &str) {
        let record = format!("{{\"host\":\"{name}\",\"addresses\":[\"{address}\"]}}");
        // It would lead to both.
        curl(&["-d", &record, &format!("http://{}/clear-a", self.dns_management)]);
        curl(&["-d", &record, &format!("http://{}/add-a", self.dns_management)]);
    }

    pub fn orders(&self) -> usize {
        self.log().matches("Added order").count()
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
        if std::thread::panicking() {
            eprintln!("Pebble's log:\n{}", self.log());
        }
    }
}

pub fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail", "--max-time", "20"]).args(arguments);
    let output = run_to_end(command, b"");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
