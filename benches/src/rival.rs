use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use seal::Keys;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// What answers: we, or a yardstick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rival {
    /// `empty_gif` and `return 302`, its access log unbuffered.
    Nginx,
    /// We, with nothing to record in.
    Keys,
    /// We, the event on disk before the answer.
    Waxseal,
    /// benches/fastify.
    Fastify,
}

impl Rival {
    pub(crate) const ALL: [Self; 4] = [Self::Nginx, Self::Keys, Self::Waxseal, Self::Fastify];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, access log unbuffered, not synced",
            Self::Keys => "Waxseal, not recording",
            Self::Waxseal => "Waxseal, event synced to disk, then answered",
            Self::Fastify => "Fastify, hit inserted into SQLite (FULL), then answered",
        }
    }
}

/// What our tokens are signed with.
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// A server in a process of its own, all its threads on one core. Ended when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Server {
    /// On `core`, which the load must not use.
    pub(crate) async fn start(rival: Rival, core: usize, binary: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]);
        match rival {
            Rival::Nginx => return nginx(command, folder).await,
            Rival::Keys => return waxseal(command, folder, binary, &["--without-store"]).await,
            Rival::Waxseal => return waxseal(command, folder, binary, &[]).await,
            Rival::Fastify => {
                let tracker = Path::new(env!("CARGO_MANIFEST_DIR")).join("fastify").join("tracker.js");
                command.arg("node").arg(tracker).arg(folder.path().join("hits.db"));
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot run taskset")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line).await?;
        let address =
            line.trim().parse().with_context(|| format!("{rival:?} does not say where it listens"))?;
        Ok(Self { address, child, _folder: folder })
    }

    /// The processor time it has taken so far, its threads' together.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let id = self.child.id().context("it has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in parentheses, may hold blanks; utime and stime are the 12th and 13th behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks =
            |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or_default();
        // A tick is 10 ms to every program (USER_HZ).
        Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
    }
}

/// The real binary, as it is configured by itself, but for what one address may have recorded.
async fn waxseal(
    mut command: Command,
    folder: TempDir,
    binary: &Path,
    args: &[&str],
) -> anyhow::Result<Server> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = format!(
        "[tracking]\nbase_url = \"http://{address}\"\nlisten = \"{address}\"\n\
         [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n\
         [limits]\ntracking_per_ip = {{ requests = 1000000000 }}\ntracking_per_url = {{ requests = 1000000000 }}\n"
    );
    std::fs::write(folder.path().join("waxseal.toml"), config)?;
    let mut keys = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut keys, 0o600);
    let mut keys = keys.write(true).create_new(true).open(folder.path().join("links.key"))?;
    keys.write_all(Keys::generate(SECRET).to_text().as_bytes())?;
    let binary = std::fs::canonicalize(binary)
        .with_context(|| format!("no binary at {}: cargo build --release first", binary.display()))?;
    let log = folder.path().join("log");
    command.arg(binary).args(["run", "--only", "track", "-c", "waxseal.toml"]).args(args);
    command.current_dir(folder.path()).stdin(Stdio::null()).stderr(std::fs::File::create(&log)?);
    let mut child = command.kill_on_drop(true).spawn().context("cannot run taskset")?;
    let began = Instant::now();
    while !std::fs::read_to_string(&log)?.contains("ready") {
        let ended = child.try_wait()?.is_some() || began.elapsed() > Duration::from_secs(10);
        ensure!(!ended, "waxseal is not ready: {}", std::fs::read_to_string(&log)?);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Server { address, child, _folder: folder })
}

async fn nginx(mut command: Command, folder: TempDir) -> anyhow::Result<Server> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut config = "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log error.log crit;\n\
                      events { worker_connections 1024; }\nhttp {\n"
        .to_owned();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(config, "{kind}_temp_path {kind};");
    }
    let _ = write!(
        config,
        "access_log access.log;\nserver {{\nlisten {address};\n\
         location /o/ {{ empty_gif; }}\nlocation /c/ {{ return 302 https://example.com/page?a=1; }}\n}}\n}}\n"
    );
    std::fs::write(folder.path().join("nginx.conf"), config)?;
    command.arg("nginx").arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "error.log"]);
    let mut child = command.stdin(Stdio::null()).kill_on_drop(true).spawn().context("cannot run taskset")?;
    let began = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        ensure!(child.try_wait()?.is_none(), "nginx ended; apt-get install nginx-light");
        ensure!(began.elapsed() < Duration::from_secs(10), "nginx does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(Server { address, child, _folder: folder })
}
