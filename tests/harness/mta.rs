//! Mail servers nobody here wrote, as Waxseal's clients and providers: Debian's Postfix and Exim, each an
//! instance of its own in a scratch folder. Both must be root to become who they want to be.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::eventually;

/// Also the benchmark's.
const MASTER_CF: &str = include_str!("master.cf");

/// A running Postfix. Ended with the test.
pub struct Postfix {
    folder: tempfile::TempDir,
}

impl Postfix {
    /// `rest`, given the folder, goes behind the common part of main.cf, `services` behind that of master.cf.
    pub fn start(rest: impl FnOnce(&Path) -> String, services: &str) -> Self {
        let folder = folder_for_all();
        let at = |name: &str| folder.path().join(name);
        for name in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        own(&at("data"), "postfix");
        own(&at("mail"), "nobody");
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\nmaillog_file = {0}/log\n\
             maillog_file_prefixes = {0}\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = postfix.test\n\
             mydestination =\nlocal_recipient_maps =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nsmtp_dns_support_level = disabled\nsmtpd_peername_lookup = no\n{1}",
            folder.path().display(),
            rest(folder.path())
        );
        std::fs::write(at("etc/main.cf"), main).unwrap();
        std::fs::write(at("etc/master.cf"), format!("{MASTER_CF}{services}")).unwrap();
        let postfix = Self { folder };
        let started = postfix.command("postfix").arg("start").output();
        let started = started.unwrap_or_else(|error| panic!("{error}: this test needs Postfix"));
        assert!(started.status.success(), "{}{}", text(&started.stderr), postfix.log());
        eventually("Postfix runs", || postfix.log().contains("daemon started").then_some(()));
        postfix
    }

    /// A satellite: everything goes to `relay` (`[host]:port`), logged in, under TLS that is verified.
    pub fn satellite(relay: &str, ca: &Path, login: &str, password: &str) -> Self {
        Self::start(
            |folder| {
                let map = folder.join("etc/sasl");
                std::fs::write(&map, format!("{relay} {login}:{password}\n")).unwrap();
                format!(
                    "relayhost = {relay}\nsmtp_tls_security_level = secure\nsmtp_tls_CAfile = {}\nsmtp_tls_secure_cert_match = hostname\n\
                     smtp_host_lookup = native\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = texthash:{}\n\
                     smtp_sasl_security_options = noanonymous\nsmtp_connection_cache_destinations = {relay}\n",
                    ca.display(),
                    map.display()
                )
            },
            "",
        )
    }

    /// A provider that puts what it gets for `example.net` into files.
    pub fn provider(address: SocketAddr) -> Self {
        let nobody = id_of("nobody");
        Self::start(
            |folder| {
                format!(
                    "virtual_mailbox_domains = example.net\nvirtual_mailbox_base = {}\nvirtual_mailbox_maps = static:inbox/\n\
                     virtual_uid_maps = static:{nobody}\nvirtual_gid_maps = static:{nobody}\nvirtual_minimum_uid = 100\n\
                     message_size_limit = 50000000\nsmtputf8_enable = yes\n",
                    folder.join("mail").display()
                )
            },
            &format!("{address} inet n - n - - smtpd\n"),
        )
    }

    /// `sendmail` of this instance, for one message on standard input.
    pub fn sendmail(&self) -> Command {
        let mut command = Command::new("/usr/sbin/sendmail");
        command.arg("-C").arg(self.folder.path().join("etc"));
        command
    }

    /// Messages that were delivered into files so far.
    pub fn delivered(&self) -> Vec<Vec<u8>> {
        let folder = self.folder.path().join("mail/inbox/new");
        let files = std::fs::read_dir(folder).into_iter().flatten();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Tries everything in its queue now.
    pub fn flush(&self) {
        let flushed = self.command("postqueue").arg("-f").output().unwrap();
        assert!(flushed.status.success(), "{}", text(&flushed.stderr));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(Path::new("/usr/sbin").join(program));
        command.arg("-c").arg(self.folder.path().join("etc"));
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", self.log());
        }
        let _ = self.command("postfix").arg("abort").output();
    }
}

/// Exim as a client of a smarthost: one message each time it is run.
pub struct Exim {
    folder: tempfile::TempDir,
}

impl Exim {
    /// Everything goes to `localhost` at `port`, STARTTLS verified, logged in.
    pub fn satellite(port: u16, ca: &Path, login: &str, password: &str) -> Self {
        let folder = folder_for_all();
        for name in ["spool", "log"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
            own(&folder.path().join(name), "Debian-exim");
        }
        let config = format!(
            "primary_hostname = exim.test\nexim_path = {exim}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log/%slog\n\
             never_users =\nkeep_environment =\nlocal_from_check = false\nuntrusted_set_sender = *\ndisable_ipv6\n\
             begin routers\n\
             smarthost:\n  driver = manualroute\n  transport = out\n  route_list = * localhost byname\n  self = send\n\
             begin transports\n\
             out:\n  driver = smtp\n  port = {port}\n  hosts_require_tls = *\n  hosts_require_auth = *\n  tls_verify_certificates = {ca}\n\
             \x20 tls_verify_hosts = *\n  tls_try_verify_hosts =\n\
             begin retry\n* * F,1m,1s\n\
             begin authenticators\n\
             plain:\n  driver = plaintext\n  public_name = PLAIN\n  client_send = ^{login}^{password}\n",
            exim = Self::program().display(),
            folder = folder.path().display(),
            ca = ca.display()
        );
        std::fs::write(folder.path().join("exim.conf"), config).unwrap();
        Self { folder }
    }

    /// Debian's two packages cannot be installed side by side, so `.ci/run` unpacks this one.
    fn program() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/debian/exim/usr/sbin/exim4")
    }

    /// For one message on standard input; returns when it was delivered, or not.
    pub fn command(&self) -> Command {
        let mut command = Command::new(Self::program());
        command.arg("-C").arg(self.folder.path().join("exim.conf")).arg("-odf");
        command
    }

    /// Tries everything in its queue now; returns when it has.
    pub fn flush(&self) {
        let mut flush = Command::new(Self::program());
        flush.arg("-C").arg(self.folder.path().join("exim.conf")).arg("-qff");
        assert!(flush.output().unwrap().status.success(), "{}", self.log());
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log/mainlog")).unwrap_or_default()
    }
}

/// Servers give up root, and then have to get into it.
fn folder_for_all() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn own(path: &Path, user: &str) {
    let status = Command::new("chown").arg(user).arg(path).status().unwrap();
    assert!(status.success(), "this test must be root, and needs the user {user}");
}

fn id_of(user: &str) -> String {
    text(&Command::new("id").args(["-u", user]).output().unwrap().stdout).trim().to_owned()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
