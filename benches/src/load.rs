use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::latencies::Latencies;

/// Sends `count` messages over `connections` connections that are kept open.
///
/// A latency is from the first octet of the content to the final reply; MAIL, RCPT and DATA are waited
/// for one by one, as most mail programs do.
pub(crate) async fn send(
    server: SocketAddr,
    mail: Arc<Vec<u8>>,
    count: usize,
    connections: usize,
) -> anyhow::Result<Latencies> {
    // No line of the message begins with a dot.
    let mail = Arc::new([mail.as_slice(), b".\r\n"].concat());
    let left = Arc::new(AtomicUsize::new(count));
    let began = Instant::now();
    let senders: Vec<_> =
        (0..connections).map(|_| tokio::spawn(one_connection(server, mail.clone(), left.clone()))).collect();
    let mut latencies = Latencies::default();
    for sender in senders {
        latencies.each.extend(sender.await??);
    }
    latencies.whole = began.elapsed();
    Ok(latencies)
}

async fn one_connection(
    server: SocketAddr,
    mail: Arc<Vec<u8>>,
    left: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<std::time::Duration>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(512, stream);
    expect(&mut stream, "220").await?;
    say(&mut stream, "EHLO bench.test", "250").await?;
    let mut each = Vec::new();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        say(&mut stream, "MAIL FROM:<ana@example.com>", "250").await?;
        say(&mut stream, "RCPT TO:<jo@example.net>", "250").await?;
        say(&mut stream, "DATA", "354").await?;
        let began = Instant::now();
        stream.write_all(&mail).await?;
        expect(&mut stream, "250").await?;
        each.push(began.elapsed());
    }
    say(&mut stream, "QUIT", "221").await?;
    Ok(each)
}

async fn say(stream: &mut BufReader<TcpStream>, line: &str, code: &str) -> anyhow::Result<()> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    expect(stream, code).await
}

async fn expect(stream: &mut BufReader<TcpStream>, code: &str) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.context("the server went away")?;
        ensure!(line.starts_with(code), "{line:?} instead of {code}");
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
