use std::io::Write;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use envelope::{RelayId, SystemClock, Timestamp};
use seal::{Keys, PIXEL_PATH, Recipient};
use store::{Journal, Recorder, SqliteStore, Store};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use track::{Endpoint, Settler, Surroundings};

use crate::latencies::{Latencies, median};

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_secs(3);
const SECRET: [u8; 32] = [7; 32];

/// Pixels a second with the event committed before the answer, and from the same server without a store.
pub(crate) async fn measure(rounds: usize) -> anyhow::Result<()> {
    let (plain, recording) = (Server::start(false).await?, Server::start(true).await?);
    let mut figures: Vec<(f64, f64)> = Vec::new();
    let mut quantiles: Vec<[f64; 4]> = Vec::new();
    for _ in 0..rounds {
        let (mut without, mut with) = (ask(plain.address).await?, ask(recording.address).await?);
        figures.push((without.per_second(), with.per_second()));
        let millis = |latencies: &mut Latencies, share| latencies.quantile(share).as_secs_f64() * 1e3;
        quantiles.push([
            millis(&mut without, 0.5),
            millis(&mut without, 0.99),
            millis(&mut with, 0.5),
            millis(&mut with, 0.99),
        ]);
    }
    let of = |pick: fn(&(f64, f64)) -> f64| {
        median(&mut figures.iter().map(pick).collect::<Vec<_>>()).unwrap_or_default()
    };
    let at = |place: usize| {
        median(&mut quantiles.iter().map(|q| q[place]).collect::<Vec<_>>()).unwrap_or_default()
    };
    println!(
        "\nThe pixel, {CONNECTIONS} connections, each request with a signed token of its own message; medians of {rounds} rounds.\n"
    );
    println!("| | requests/s | ratio | p50 / p99 ms |");
    println!("|---|---:|---:|---:|");
    println!("| answered without recording | {:.0} | 1 | {:.2} / {:.2} |", of(|f| f.0), at(0), at(1));
    println!(
        "| event committed to disk, then answered | {:.0} | {:.2} | {:.2} / {:.2} |",
        of(|f| f.1),
        of(|f| f.1 / f.0),
        at(2),
        at(3)
    );
    Ok(())
}

/// The tracking endpoint until its standard input ends; prints its address first.
pub(crate) async fn serve(record: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let clock = Arc::new(SystemClock);
    let mut endpoint = Endpoint::new(Arc::new(Keys::generate(SECRET)), None, clock.clone());
    let (_stop, stopping) = watch::channel(false);
    if record {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.path().join("bench.db"))?);
        let surroundings = Surroundings::new(store.clone());
        let journal = Journal::open(&folder.path().join("spool"))?;
        endpoint.recorder = Some(Arc::new(Recorder::new(store.clone(), journal)));
        endpoint.surroundings = Some(surroundings.clone());
        // As `waxseal run` has it: judging again is part of the price.
        let settler = Settler::new(store, surroundings, endpoint.rules.clone(), clock);
        tokio::spawn(settler.run(stopping.clone()));
    }
    let mut input = tokio::io::stdin();
    tokio::select! {
        served = track::serve(listener, None, Arc::new(endpoint), stopping) => served?,
        _ = input.read_u8() => {}
    }
    Ok(())
}

/// [`serve`] in a process of its own, so that its work is not counted with the asking.
struct Server {
    address: SocketAddr,
    _child: Child,
}

impl Server {
    async fn start(record: bool) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-pixel").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        if record {
            command.arg("--record");
        }
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line).await?;
        Ok(Self { address: line.trim().parse()?, _child: child })
    }
}

async fn ask(server: SocketAddr) -> anyhow::Result<Latencies> {
    let began = Instant::now();
    let askers: Vec<_> =
        (0..CONNECTIONS).map(|number| tokio::spawn(one_connection(server, number, began))).collect();
    let mut latencies = Latencies::default();
    for asker in askers {
        latencies.each.extend(asker.await??);
    }
    latencies.whole = began.elapsed();
    Ok(latencies)
}

async fn one_connection(server: SocketAddr, number: usize, began: Instant) -> anyhow::Result<Vec<Duration>> {
    let keys = Keys::generate(SECRET);
    let id = RelayId::new(Timestamp::from_unix_millis(1_795_508_461_123), [u8::try_from(number % 250)?; 10]);
    let token = keys.seal_pixel(id, Recipient::Index(0));
    let request = format!(
        "GET {PIXEL_PATH}{token} HTTP/1.1\r\nHost: t.example.com\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0\r\nAccept: image/avif,image/webp,*/*\r\n\r\n"
    );
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut answer, mut each) = (vec![0; 8_192], Vec::new());
    while began.elapsed() < ROUND {
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        // The answer ends in the last octet of the GIF, which stands nowhere else in it.
        let mut length = 0;
        while length == 0 || answer[length - 1] != b';' {
            let read = stream.read(&mut answer[length..]).await?;
            ensure!(read > 0, "the endpoint closed the connection");
            length += read;
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "not a pixel");
        each.push(asked.elapsed());
    }
    Ok(each)
}
