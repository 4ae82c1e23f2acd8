use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::latencies::{Latencies, median};
use crate::sink::Sink;
use crate::{load, message};

const SIZES: [usize; 3] = [2_000, 20_000, 100_000];
const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// One place of the table, over all rounds.
#[derive(Default)]
struct Figures {
    straight: Vec<f64>,
    through: Vec<f64>,
    ratio: Vec<f64>,
    p50: Vec<[Duration; 2]>,
    p99: Vec<[Duration; 2]>,
}

/// Messages a second, p50 and p99 of the final reply, resident memory.
pub(crate) async fn measure(binary: &Path, messages: usize, rounds: usize) -> anyhow::Result<()> {
    println!(
        "\nHTML mail, quoted-printable, a link a kilobyte: pixel and links added, message recorded (synced) before the handoff."
    );
    println!(
        "The same load straight to the same sink and through the relay to it, in turn; medians of {rounds} rounds.\n"
    );
    println!(
        "| size | connections | straight/s | through/s | ratio | straight p50 / p99 ms | through p50 / p99 ms | relay RSS MB |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for size in SIZES {
        for connections in CONNECTIONS {
            let count = messages.div_ceil(if connections == 1 { 4 } else { 1 }).div_ceil(if size > 50_000 {
                2
            } else {
                1
            });
            let mail = Arc::new(message::html_mail(size));
            let sink = Sink::start().await?.address;
            let relay = Relay::start(binary, sink, "")?;
            load::send(relay.smtp, mail.clone(), count / 10 + 1, connections).await?;
            let mut figures = Figures::default();
            for _ in 0..rounds {
                let mut straight = load::send(sink, mail.clone(), count, connections).await?;
                let mut through = load::send(relay.smtp, mail.clone(), count, connections).await?;
                figures.add(&mut straight, &mut through);
            }
            figures.print(size, connections, relay.resident_octets()?);
        }
    }
    Ok(())
}

impl Figures {
    fn add(&mut self, straight: &mut Latencies, through: &mut Latencies) {
        self.straight.push(straight.per_second());
        self.through.push(through.per_second());
        self.ratio.push(through.per_second() / straight.per_second());
        self.p50.push([straight.quantile(0.5), through.quantile(0.5)]);
        self.p99.push([straight.quantile(0.99), through.quantile(0.99)]);
    }

    fn print(mut self, size: usize, connections: usize, resident: u64) {
        let millis = |pairs: &[[Duration; 2]], at: usize| {
            let mut values: Vec<f64> = pairs.iter().map(|pair| pair[at].as_secs_f64() * 1e3).collect();
            median(&mut values).unwrap_or_default()
        };
        println!(
            "| {size} | {connections} | {:.0} | {:.0} | {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {} |",
            median(&mut self.straight).unwrap_or_default(),
            median(&mut self.through).unwrap_or_default(),
            median(&mut self.ratio).unwrap_or_default(),
            millis(&self.p50, 0),
            millis(&self.p99, 0),
            millis(&self.p50, 1),
            millis(&self.p99, 1),
            resident / 1_000_000
        );
    }
}

/// `waxseal run` in a folder of its own; ended with the value.
pub(crate) struct Relay {
    pub(crate) smtp: SocketAddr,
    pub(crate) tls: SocketAddr,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Relay {
    /// `upstream` goes into `[upstream.sink]`.
    pub(crate) fn start(binary: &Path, sink: SocketAddr, upstream: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (smtp, tls, tracking) = (free_address()?, free_address()?, free_address()?);
        let config = format!(
            "[[smtp]]\nlisten = \"{smtp}\"\ntls = \"none\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\nas = \"ana@example.com\"\n\
             [[smtp]]\nlisten = \"{tls}\"\ntls = \"implicit\"\nauth = \"none\"\nallow_from = [\"127.0.0.0/8\"]\nas = \"ana@example.com\"\n\
             [tls]\nmode = \"self-signed\"\n\
             [tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
             [upstream.sink]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nauth = \"none\"\n{upstream}\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n\
             [limits]\nconnections = 10000\nconnections_per_address = 10000\n",
            sink.port()
        );
        fs::write(folder.path().join("waxseal.toml"), config)?;
        let binary = fs::canonicalize(binary)
            .with_context(|| format!("no binary at {}: cargo build --release first", binary.display()))?;
        let mut child = Command::new(binary)
            .args(["run", "-c", "waxseal.toml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log"))?)
            .spawn()?;
        let began = Instant::now();
        while !fs::read_to_string(folder.path().join("log"))?.contains("ready") {
            if let Some(status) = child.try_wait()? {
                bail!("the relay ended with {status}: {}", fs::read_to_string(folder.path().join("log"))?);
            }
            ensure!(began.elapsed() < Duration::from_secs(10), "the relay is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { smtp, tls, child, _folder: folder })
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Of the process now, as the kernel counts it.
    pub(crate) fn resident_octets(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.split_whitespace().nth(1).context("no VmRSS")?.parse()?;
        Ok(kilobytes * 1024)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
