//! `just bench`: the real binary under load, beside a yardstick in the same run.
//!
//! Machines are noisy, so every figure stands beside one that was measured moments before or after on
//! the same machine, and the ratio is what one may quote. Method and figures: `docs/benchmarks.md`.

mod client_tls;
mod cost;
mod endurance;
mod latencies;
mod load;
mod message;
mod pixel;
mod postfix;
mod queue;
mod relay;
mod rival;
mod sink;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures of Waxseal.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    what: Option<What>,
    /// The binary to measure
    #[arg(long, global = true, default_value = "target/release/waxseal")]
    binary: PathBuf,
    /// Messages a round; more is slower and steadier
    #[arg(long, global = true, default_value_t = 2_000)]
    messages: usize,
    /// Rounds, of which the medians are printed
    #[arg(long, global = true, default_value_t = 3)]
    rounds: usize,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Messages through the relay, and straight to the same sink
    Relay,
    /// Messages through the relay and through Debian's Postfix, direct and queued, to the same sink; needs root
    Postfix,
    /// Processor time, waits and page faults of a message, direct and queued
    Cost {
        /// `direct` or `queue` alone
        #[arg(long)]
        only: Option<String>,
    },
    /// What an idle connection costs, plain and under TLS
    Idle {
        /// How many
        #[arg(long, default_value_t = 5_000)]
        connections: usize,
    },
    /// Resident memory over many messages
    Soak {
        /// How many
        #[arg(long, default_value_t = 200_000)]
        count: usize,
    },
    /// Messages taken into the queue, beside a file each and beside a log
    Queue,
    /// Pixels and redirects, beside nginx and a Fastify tracker; needs nginx, node and two cores
    Pixel,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.what {
            Some(What::Relay) => relay::measure(&cli.binary, cli.messages, cli.rounds).await,
            Some(What::Postfix) => postfix::measure(&cli.binary, cli.messages, cli.rounds).await,
            Some(What::Cost { only }) => cost::measure(&cli.binary, cli.messages, only.as_deref()).await,
            Some(What::Idle { connections }) => endurance::idle(&cli.binary, connections).await,
            Some(What::Soak { count }) => endurance::soak(&cli.binary, count).await,
            Some(What::Queue) => queue::measure(cli.messages, cli.rounds).await,
            Some(What::Pixel) => pixel::measure(&cli.binary, cli.rounds).await,
            None => {
                relay::measure(&cli.binary, cli.messages, cli.rounds).await?;
                pixel::measure(&cli.binary, cli.rounds).await
            }
        }
    })
}
