//! A relay as a sender meets it: both kinds of TLS, and a login.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::certificates::Authority;
use super::{Relay, binary, free_address, plain_upstream, run_to_end};

pub const LOGIN: &str = "ana@example.com";
pub const PASSWORD: &str = "correct horse";

/// A relay with a 465 and a 587 of its own, whose certificate is from `authority`. `tracking_keys` go into the
/// table of that name, `rest` behind all.
pub fn with_both_doors(authority: &Authority, tracking_keys: &str, rest: &str) -> (Relay, u16, u16) {
    let folder = tempfile::tempdir().unwrap();
    let (implicit, starttls, tracking) = (free_address(), free_address(), free_address());
    let (certificate, key) = authority.issue("localhost");
    std::fs::write(folder.path().join("cert.pem"), certificate).unwrap();
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let config = format!(
        "[[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[[smtp]]\nlisten = \"{starttls}\"\ntls = \"starttls\"\n\
         [tls]\nmode = \"files\"\ncert_file = \"cert.pem\"\nkey_file = \"key.pem\"\n\
         [limits]\ntracking_per_ip = {{ requests = 1000000, per = \"1m\" }}\n\
         [tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n{tracking_keys}\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{rest}"
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    (Relay::start_in(folder, starttls, tracking), implicit.port(), starttls.port())
}

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
        let rest = format!("{}from_must_match = false\n", plain_upstream(provider));
        let (relay, implicit, starttls) = with_both_doors(&Authority::new(), "sticky = \"off\"\n", &rest);
        let mut add = binary();
        add.args(["sender", "add", "-c", "waxseal.toml", LOGIN]).current_dir(relay.folder.path());
        let added = run_to_end(add, format!("{PASSWORD}\n").as_bytes());
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        Self { relay, implicit, starttls }
    }

    pub fn ca(&self) -> PathBuf {
        self.relay.path("ca.pem")
    }
}
