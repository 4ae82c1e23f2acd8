use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
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

/// A server in a process of its own, all its threads on one core. Ended when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Server {
    /// On `core`, which the load must not use.
    pub(crate) async fn start(rival: Rival, core: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string()]);
        match rival {
            Rival::Nginx => return nginx(command, folder).await,
            Rival::Keys | Rival::Waxseal => {
                command.arg(std::env::current_exe()?).arg("serve-pixel");
                if rival == Rival::Waxseal {
                    command.arg("--record");
                }
            }
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
        "access_log access.log;\nkeepalive_requests 1000000000;\nserver {{\nlisten {address};\n\
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
