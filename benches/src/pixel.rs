use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use envelope::{RelayId, Timestamp};
use seal::{Keys, LINK_PATH, PIXEL_PATH, Recipient};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::latencies::{Latencies, median};
use crate::rival::{Rival, SECRET, Server};

const CONNECTIONS: usize = 64;
/// Messages that each connection asks about in turn.
const MESSAGES: usize = 100;
const ROUND: Duration = Duration::from_secs(3);
const REQUESTS_OF_A_CONNECTION: usize = 999;
const TARGET: &str = "https://example.com/page?a=1";
/// The load has one core and each server, in turn, the other.
const LOAD_CORE: usize = 0;
const SERVER_CORE: usize = 1;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Pixel,
    Link,
}

/// One server in one round.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Processor time of the server for each request, in microseconds.
    cost: f64,
}

/// Pixels and redirects a second: ours, nginx's, and a Fastify tracker's, all on the same core, in turn.
pub(crate) async fn measure(binary: &Path, rounds: usize) -> anyhow::Result<()> {
    stay_on(LOAD_CORE)?;
    for (asked, name) in [(Asked::Pixel, "The pixel"), (Asked::Link, "The redirect")] {
        let mut figures = vec![Vec::new(); Rival::ALL.len()];
        for _ in 0..rounds {
            for (rival, figures) in Rival::ALL.into_iter().zip(&mut figures) {
                // Anew each time: nobody profits or suffers from what others left.
                let server = Server::start(rival, SERVER_CORE, binary).await?;
                ask(server.address, asked, ROUND / 6).await?;
                let before = server.processor_time()?;
                let mut latencies = ask(server.address, asked, ROUND).await?;
                let took = server.processor_time()?.saturating_sub(before);
                let millis = |share, latencies: &mut Latencies| latencies.quantile(share).as_secs_f64() * 1e3;
                #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
                let count = latencies.each.len() as f64;
                figures.push(Figures {
                    per_second: latencies.per_second(),
                    p50: millis(0.5, &mut latencies),
                    p99: millis(0.99, &mut latencies),
                    cost: took.as_secs_f64() * 1e6 / count,
                });
            }
        }
        print(name, rounds, &figures);
    }
    Ok(())
}

fn print(name: &str, rounds: usize, figures: &[Vec<Figures>]) {
    let of = |rival: usize, pick: fn(&Figures) -> f64| {
        median(&mut figures[rival].iter().map(pick).collect::<Vec<_>>()).unwrap_or_default()
    };
    // Against its neighbours of the same round, and of these ratios the median.
    let ratio = |rival: usize, to: usize| {
        let pairs = figures[rival].iter().zip(&figures[to]);
        median(&mut pairs.map(|(one, other)| one.per_second / other.per_second).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    println!(
        "\n{name}: {CONNECTIONS} connections, {MESSAGES} messages each; the server on one core, the load on another; \
         medians of {rounds} rounds.\n"
    );
    println!("| | requests/s | x nginx | x Fastify | p50 / p99 ms | processor µs a request |");
    println!("|---|---:|---:|---:|---:|---:|");
    for (at, rival) in Rival::ALL.into_iter().enumerate() {
        println!(
            "| {} | {:.0} | {:.2} | {:.1} | {:.2} / {:.2} | {:.1} |",
            rival.name(),
            of(at, |f| f.per_second),
            ratio(at, 0),
            ratio(at, 3),
            of(at, |f| f.p50),
            of(at, |f| f.p99),
            of(at, |f| f.cost),
        );
    }
}

/// All threads of this process.
fn stay_on(core: usize) -> anyhow::Result<()> {
    let id = std::process::id().to_string();
    let output = Command::new("taskset").args(["-a", "-p", "-c", &core.to_string(), &id]).output();
    ensure!(output.context("cannot run taskset")?.status.success(), "this takes a machine with two cores");
    Ok(())
}

async fn ask(server: SocketAddr, asked: Asked, round: Duration) -> anyhow::Result<Latencies> {
    let began = Instant::now();
    let askers: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(one_connection(server, number, asked, began + round)))
        .collect();
    let mut latencies = Latencies::default();
    for asker in askers {
        latencies.each.extend(asker.await??);
    }
    latencies.whole = began.elapsed();
    Ok(latencies)
}

async fn one_connection(
    server: SocketAddr,
    number: usize,
    asked: Asked,
    until: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let requests = requests(number, asked)?;
    let mut stream = None;
    let (mut answer, mut each) = (vec![0; 8_192], Vec::new());
    // All answers to the same question are of the same length.
    let mut whole = usize::MAX;
    for (asked_before, request) in requests.iter().cycle().enumerate() {
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        // nginx's own limit, and ours: the last request would have another answer.
        if asked_before % REQUESTS_OF_A_CONNECTION == 0 {
            drop(stream.take());
            let fresh = TcpStream::connect(server).await?;
            fresh.set_nodelay(true)?;
            stream = Some(fresh);
        }
        let Some(stream) = &mut stream else { break };
        stream.write_all(request).await?;
        let mut length = 0;
        while length < whole {
            let read = stream.read(&mut answer[length..]).await?;
            ensure!(read > 0, "the server closed the connection");
            length += read;
            if whole == usize::MAX {
                whole = length_of(&answer[..length]).unwrap_or(usize::MAX);
            }
        }
        let status: &[u8] = if asked == Asked::Pixel { b"HTTP/1.1 200" } else { b"HTTP/1.1 302" };
        ensure!(length == whole && answer.starts_with(status), "not the answer that was expected");
        each.push(begun.elapsed());
    }
    Ok(each)
}

fn requests(number: usize, asked: Asked) -> anyhow::Result<Vec<Vec<u8>>> {
    let keys = Keys::generate(SECRET);
    let request = |message: usize| {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&(number * MESSAGES + message).to_be_bytes());
        let id = RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), random);
        let path = match asked {
            Asked::Pixel => format!("{PIXEL_PATH}{}", keys.seal_pixel(id, Recipient::Index(0))),
            Asked::Link => format!("{LINK_PATH}{}", keys.seal_link(id, Recipient::Index(0), 1, TARGET)?),
        };
        Ok(format!(
            "GET {path} HTTP/1.1\r\nHost: t.example.com\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0\r\nAccept: image/avif,image/webp,*/*\r\n\r\n"
        )
        .into_bytes())
    };
    (0..MESSAGES).map(request).collect()
}

/// Of the whole answer, once its head is there.
fn length_of(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|octets| octets == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).ok()?.to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1)?.split("\r\n").next()?;
    Some(head + length.parse::<usize>().ok()?)
}
