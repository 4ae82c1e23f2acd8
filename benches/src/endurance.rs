use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::relay::Relay;
use crate::sink::Sink;
use crate::{client_tls, load, message};

/// What a connection costs that said EHLO and is silent since.
pub(crate) async fn idle(binary: &Path, connections: usize) -> anyhow::Result<()> {
    println!(
        "\n| {connections} idle connections | RSS before MB | with them MB | KB each | answered after that |"
    );
    println!("|---|---:|---:|---:|---:|");
    for tls in [false, true] {
        let sink = Sink::start().await?;
        let relay = Relay::start(binary, sink.address, "")?;
        // One of each first: what is made once is not the price of each.
        drop(connect(&relay, tls).await?);
        load::send(relay.smtp, Arc::new(message::html_mail(2_000)), 10, 1).await?;
        let before = relay.resident_octets()?;
        let mut open = Vec::with_capacity(connections);
        for number in 0..connections {
            open.push(connect(&relay, tls).await.with_context(|| format!("connection {number}"))?);
        }
        let with_them = relay.resident_octets()?;
        let mut answered = 0;
        for stream in &mut open {
            say(stream, "NOOP").await?;
            answered += 1;
        }
        let each = (with_them.saturating_sub(before)) / connections as u64;
        println!(
            "| {} | {} | {} | {}.{} | {answered} |",
            if tls { "TLS" } else { "plain" },
            before / 1_000_000,
            with_them / 1_000_000,
            each / 1_000,
            each % 1_000 / 100
        );
    }
    Ok(())
}

/// Resident memory after each tenth of `count` messages: flat, or a leak.
pub(crate) async fn soak(binary: &Path, count: usize) -> anyhow::Result<()> {
    const TENTHS: usize = 10;
    let sink = Sink::start().await?;
    let relay = Relay::start(binary, sink.address, "")?;
    let mail = Arc::new(message::html_mail(20_000));
    println!("\n| messages of 20 KB | RSS MB |\n|---:|---:|");
    for tenth in 1..=TENTHS {
        load::send(relay.smtp, mail.clone(), count / TENTHS, 16).await?;
        println!("| {} | {:.1} |", count / TENTHS * tenth, resident_megabytes(&relay)?);
    }
    Ok(())
}

fn resident_megabytes(relay: &Relay) -> anyhow::Result<f64> {
    let octets = u32::try_from(relay.resident_octets()? / 1_000)?;
    Ok(f64::from(octets) / 1_000.0)
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn connect(relay: &Relay, tls: bool) -> anyhow::Result<BufReader<Box<dyn Stream>>> {
    let tcp = TcpStream::connect(if tls { relay.tls } else { relay.smtp }).await?;
    let stream: Box<dyn Stream> = if tls { Box::new(client_tls::encrypt(tcp).await?) } else { Box::new(tcp) };
    let mut stream = BufReader::with_capacity(512, stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    ensure!(line.starts_with("220"), "{line:?}");
    say(&mut stream, "EHLO idle.test").await?;
    Ok(stream)
}

async fn say(stream: &mut BufReader<Box<dyn Stream>>, command: &str) -> anyhow::Result<()> {
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    stream.flush().await?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        ensure!(line.starts_with("250"), "{line:?} to {command}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
