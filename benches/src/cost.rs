use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::relay::Relay;
use crate::sink::Sink;
use crate::{load, message};

const OCTETS: usize = 20_000;
const CONNECTIONS: usize = 16;

/// What one message takes of the machine, direct and queued: on a machine that others use too, a steadier figure
/// than messages a second.
pub(crate) async fn measure(binary: &Path, messages: usize, only: Option<&str>) -> anyhow::Result<()> {
    println!(
        "\nWhat a mail of {OCTETS} octets takes of the relay, over {CONNECTIONS} connections; {messages} of them.\n"
    );
    println!(
        "| | messages/s | program ms | kernel ms | both | waits | preempted | faults | RSS MB | load and sink ms |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mail = Arc::new(message::html_mail(OCTETS));
    for (name, upstream) in [("direct", ""), ("queue", "delivery = \"queue\"\npool = 20")] {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let sink = Sink::start().await?;
        let relay = Relay::start(binary, sink.address, upstream)?;
        let warm = messages / 10 + 1;
        load::send(relay.smtp, mail.clone(), warm, CONNECTIONS).await?;
        sink.wait_for(warm).await?;
        let (before, ours_before) = (Taken::by(relay.id())?, Taken::by(std::process::id())?);
        let began = std::time::Instant::now();
        load::send(relay.smtp, mail.clone(), messages, CONNECTIONS).await?;
        sink.wait_for(warm + messages).await?;
        let whole = began.elapsed();
        let taken = Taken::by(relay.id())?.minus(&before);
        let ours = Taken::by(std::process::id())?.minus(&ours_before);
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let each = |what: u64| what as f64 / messages as f64;
        // The kernel counts in hundredths of a second.
        let (program, kernel) = (each(taken.program * 10), each(taken.kernel * 10));
        println!(
            "| {name} | {:.0} | {program:.3} | {kernel:.3} | {:.3} | {:.1} | {:.1} | {:.1} | {} | {:.3} |",
            each(1).recip() / whole.as_secs_f64(),
            program + kernel,
            each(taken.waits),
            each(taken.preempted),
            each(taken.faults),
            relay.resident_octets()? / 1_000_000,
            each((ours.program + ours.kernel) * 10)
        );
    }
    Ok(())
}

/// What the kernel has counted for a process.
struct Taken {
    program: u64,
    kernel: u64,
    waits: u64,
    preempted: u64,
    faults: u64,
}

impl Taken {
    fn by(process: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // proc(5): the name, in parentheses, may hold blanks; the third field follows it.
        let fields: Vec<&str> =
            stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
        let field = |number: usize| -> anyhow::Result<u64> {
            Ok(fields.get(number - 3).context("a short stat")?.parse()?)
        };
        let (mut waits, mut preempted) = (0, 0);
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            // A thread may have ended since.
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            let count = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
            };
            waits += count("voluntary_ctxt_switches:");
            preempted += count("nonvoluntary_ctxt_switches:");
        }
        Ok(Self { program: field(14)?, kernel: field(15)?, waits, preempted, faults: field(10)? })
    }

    fn minus(self, before: &Self) -> Self {
        Self {
            program: self.program - before.program,
            kernel: self.kernel - before.kernel,
            waits: self.waits.saturating_sub(before.waits),
            preempted: self.preempted.saturating_sub(before.preempted),
            faults: self.faults - before.faults,
        }
    }
}
