//! A relay whose certificates come from an ACME authority.

use std::net::SocketAddr;

use super::{Relay, free_address, plain_upstream};

/// The names it has: for mail programs, and for recipients.
pub const MAIL: &str = "relay.test.example";
pub const WEB: &str = "t.test.example";

/// Its doors, before it is started.
pub struct Plan {
    pub folder: tempfile::TempDir,
    pub implicit: SocketAddr,
    pub starttls: SocketAddr,
    pub tracking: SocketAddr,
    pub plain: SocketAddr,
}

impl Plan {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            implicit: free_address(),
            starttls: free_address(),
            tracking: free_address(),
            plain: free_address(),
        }
    }

    /// `ca` is who vouches for the directory, in PEM.
    pub fn write(&self, directory: &str, ca: &str, challenge: &str) {
        let Self { folder, implicit, starttls, tracking, plain } = self;
        std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
        let config = format!(
            "[server]\nhostname = \"{MAIL}\"\n\
             [[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[[smtp]]\nlisten = \"{starttls}\"\ntls = \"starttls\"\n\
             [tls]\nmode = \"acme\"\nemail = \"ops@example.com\"\ndirectory = \"{directory}\"\ndirectory_ca_file = \"ca.pem\"\nchallenge = \"{challenge}\"\n\
             [tracking]\nbase_url = \"https://{WEB}\"\nlisten = \"{tracking}\"\nplain_http_listen = \"{plain}\"\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}",
            plain_upstream(free_address())
        );
        std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    }

    pub fn start(self) -> CertifiedRelay {
        let Self { folder, implicit, starttls, tracking, plain } = self;
        CertifiedRelay {
            relay: Relay::start_in(folder, starttls, tracking),
            implicit,
            starttls,
            tracking,
            plain,
        }
    }
}

pub struct CertifiedRelay {
    pub relay: Relay,
    pub implicit: SocketAddr,
    pub starttls: SocketAddr,
    pub tracking: SocketAddr,
    pub plain: SocketAddr,
}

impl CertifiedRelay {
    /// Stopped; to be started again.
    pub fn stopped(self) -> Plan {
        let Self { relay, implicit, starttls, tracking, plain } = self;
        relay.signal("TERM");
        let (status, folder) = relay.ended_in();
        assert_eq!(status, 0);
        Plan { folder, implicit, starttls, tracking, plain }
    }

    /// What `waxseal check` says.
    pub fn check(&self) -> String {
        let output = self.relay.command(&["check"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.relay.path("tls").join(name)).unwrap_or_default()
    }
}
