//! A relay as a sender meets it: both kinds of TLS, and a login.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::certificates::Authority;
use super::{Relay, binary, free_address, plain_upstream, run_to_end};

pub const LOGIN: &str = "ana@example.com";
pub const PASSWORD: &str = "correct horse";

pub struct LoginRelay {
    pub relay: Relay,
    pub implicit: u16,
    pub starttls: u16,
}

impl LoginRelay {
    /// The messages of the collection come from all sorts of people, so From is not held to the login here.
    ///
    /// A relay with both kinds of TLS and a local sender, in front of whoever listens at `provider`.
    pub fn before(provider: SocketAddr) -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (implicit, starttls, tracking) = (free_address(), free_address(), free_address());
        let (certificate, key) = authority.issue("localhost");
        std::fs::write(folder.path().join("cert.pem"), certificate).unwrap();
        std::fs::write(folder.path().join("key.pem"), key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let config = format!(
            "[[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[[smtp]]\nlisten = \"{starttls}\"\ntls = \"starttls\"\n\
             [tls]\nmode = \"files\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
             [tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\nsticky = \"off\"\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}from_must_match = false\n",
            plain_upstream(provider)
        );
        std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
        let relay = Relay::start_in(folder, starttls, tracking);
        let mut add = binary();
        add.args(["sender", "add", "-c", "waxseal.toml", LOGIN]).current_dir(relay.folder.path());
        let added = run_to_end(add, format!("{PASSWORD}\n").as_bytes());
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        Self { relay, implicit: implicit.port(), starttls: starttls.port() }
    }

    pub fn ca(&self) -> PathBuf {
        self.relay.path("ca.pem")
    }
}
