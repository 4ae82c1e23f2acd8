use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::latencies::median;
use crate::relay::{Relay, free_address};
use crate::sink::Sink;
use crate::{load, message};

const OCTETS: usize = 20_000;
const CONNECTIONS: usize = 16;

/// What was measured of one relay, over all rounds.
struct Figures {
    name: &'static str,
    smtp: SocketAddr,
    sink: Sink,
    accepted: Vec<f64>,
    delivered: Vec<f64>,
    p50: Vec<Duration>,
    p99: Vec<Duration>,
}

/// Messages a second, taken and handed on, through Waxseal and through Postfix to the same kind of sink.
///
/// Waxseal rewrites and records each; Postfix, as Debian configures it, relays them as they are.
pub(crate) async fn measure(binary: &Path, messages: usize, rounds: usize) -> anyhow::Result<()> {
    let mail = Arc::new(message::html_mail(OCTETS));
    let sinks = [Sink::start().await?, Sink::start().await?, Sink::start().await?];
    let postfix = Postfix::start(sinks[0].address)?;
    let direct = Relay::start(binary, sinks[1].address, "")?;
    let queue = Relay::start(binary, sinks[2].address, "delivery = \"queue\"\npool = 20")?;
    let [to_postfix, to_direct, to_queue] = sinks;
    let mut all = [
        Figures::of("Postfix", postfix.smtp, to_postfix),
        Figures::of("Waxseal, direct", direct.smtp, to_direct),
        Figures::of("Waxseal, queue", queue.smtp, to_queue),
    ];
    for one in &mut all {
        one.round(&mail, messages / 10 + 1).await?;
        one.forget();
    }
    for _ in 0..rounds {
        for one in &mut all {
            one.round(&mail, messages).await?;
        }
    }
    println!(
        "\nHTML mail of {OCTETS} octets, {CONNECTIONS} connections; medians of {rounds} rounds of {messages}, in turn."
    );
    println!("Delivered: from the first message sent to the last one at the sink.\n");
    println!("| | delivered/s | x Postfix | accepted/s | p50 / p99 ms of the final reply |");
    println!("|---|---:|---:|---:|---:|");
    let yardstick = median(&mut all[0].delivered.clone()).unwrap_or(1.0);
    for one in &mut all {
        one.print(yardstick);
    }
    Ok(())
}

impl Figures {
    fn of(name: &'static str, smtp: SocketAddr, sink: Sink) -> Self {
        Self { name, smtp, sink, accepted: vec![], delivered: vec![], p50: vec![], p99: vec![] }
    }

    async fn round(&mut self, mail: &Arc<Vec<u8>>, count: usize) -> anyhow::Result<()> {
        let before = self.sink.taken();
        let began = Instant::now();
        let mut sent = load::send(self.smtp, mail.clone(), count, CONNECTIONS).await.context(self.name)?;
        self.sink.wait_for(before + count).await.context(self.name)?;
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let delivered = count as f64 / began.elapsed().as_secs_f64();
        self.accepted.push(sent.per_second());
        self.delivered.push(delivered);
        self.p50.push(sent.quantile(0.5));
        self.p99.push(sent.quantile(0.99));
        Ok(())
    }

    fn forget(&mut self) {
        *self = Self::of(self.name, self.smtp, self.sink.clone());
    }

    fn print(&mut self, yardstick: f64) {
        let millis = |values: &mut Vec<Duration>| median(values).unwrap_or_default().as_secs_f64() * 1e3;
        let delivered = median(&mut self.delivered).unwrap_or_default();
        println!(
            "| {} | {delivered:.0} | {:.2} | {:.0} | {:.1} / {:.1} |",
            self.name,
            delivered / yardstick,
            median(&mut self.accepted).unwrap_or_default(),
            millis(&mut self.p50),
            millis(&mut self.p99)
        );
    }
}

/// Debian's Postfix with what Debian configures, but for where it listens and where everything goes.
struct Postfix {
    smtp: SocketAddr,
    folder: tempfile::TempDir,
}

const MASTER_CF: &str = include_str!("../../tests/harness/master.cf");

impl Postfix {
    fn start(sink: SocketAddr) -> anyhow::Result<Self> {
        let (smtp, folder) = (free_address()?, tempfile::tempdir()?);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for name in ["etc", "queue", "data"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let owned = Command::new("chown").arg("postfix").arg(folder.path().join("data")).status()?;
        ensure!(owned.success(), "this needs root, and Debian's Postfix installed");
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {0}/queue\ndata_directory = {0}/data\nmaillog_file = {0}/log\n\
             maillog_file_prefixes = {0}\nmail_owner = postfix\nsetgid_group = postdrop\nmyhostname = postfix.test\n\
             mydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
             smtp_dns_support_level = disabled\nsmtpd_peername_lookup = no\nrelayhost = [127.0.0.1]:{1}\n",
            folder.path().display(),
            sink.port()
        );
        fs::write(folder.path().join("etc/main.cf"), main)?;
        fs::write(folder.path().join("etc/master.cf"), format!("{MASTER_CF}{smtp} inet n - n - - smtpd\n"))?;
        let postfix = Self { smtp, folder };
        ensure!(postfix.command("start").output()?.status.success(), "Postfix does not start");
        let began = Instant::now();
        while std::net::TcpStream::connect(smtp).is_err() {
            ensure!(began.elapsed() < Duration::from_secs(10), "Postfix does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(postfix)
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.folder.path().join("etc")).arg(what);
        command
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("abort").output();
    }
}
