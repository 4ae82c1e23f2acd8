use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use envelope::{ForwardPath, MailParameters, Mailbox, RcptParameters, RelayId, ReversePath, Timestamp};
use store::{
    Copies, NewMessage, Queue, QueueState, QueuedMessage, QueuedRecipient, RecipientOutcome, RecipientState,
    SqliteQueue,
};
use tokio::sync::{mpsc, oneshot};

use crate::latencies::{Latencies, median};

const OCTETS: usize = 20_000;
const PRODUCERS: [usize; 3] = [1, 16, 64];

/// Messages of 20 KB that wait until they are on disk: our queue, a file and a sync each, and one log with a sync
/// for all that wait.
pub(crate) async fn measure(messages: usize, rounds: usize) -> anyhow::Result<()> {
    println!(
        "\nMessages of {OCTETS} octets on disk before the answer; medians of {rounds} rounds of {messages}.\n"
    );
    println!(
        "| producers | queue/s | file each/s | log/s | queue : file | queue : log | queue p50 / p99 ms | log p50 / p99 ms | settled/s |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for producers in PRODUCERS {
        let mut figures: Vec<[f64; 10]> = Vec::new();
        for _ in 0..rounds {
            let folder = tempfile::tempdir_in(".").context("a scratch folder")?;
            let (mut queue, settled) =
                through_queue(&folder.path().join("spool"), producers, messages).await?;
            let file = through_files(folder.path(), producers, messages).await?;
            let mut log = through_log(&folder.path().join("log"), producers, messages).await?;
            let (queued, filed, logged) = (queue.per_second(), file.per_second(), log.per_second());
            let millis = |share, of: &mut Latencies| of.quantile(share).as_secs_f64() * 1e3;
            figures.push([
                queued,
                filed,
                logged,
                queued / filed,
                queued / logged,
                millis(0.5, &mut queue),
                millis(0.99, &mut queue),
                millis(0.5, &mut log),
                millis(0.99, &mut log),
                settled.per_second(),
            ]);
        }
        let at = |place: usize| {
            median(&mut figures.iter().map(|round| round[place]).collect::<Vec<_>>()).unwrap_or_default()
        };
        println!(
            "| {producers} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} / {:.2} | {:.2} / {:.2} | {:.0} |",
            at(0),
            at(1),
            at(2),
            at(3),
            at(4),
            at(5),
            at(6),
            at(7),
            at(8),
            at(9)
        );
    }
    Ok(())
}

/// Puts them, then settles each as handed on, by as many at once.
async fn through_queue(
    spool: &Path,
    producers: usize,
    messages: usize,
) -> anyhow::Result<(Latencies, Latencies)> {
    let queue = SqliteQueue::open(spool, 1)?;
    let content = Arc::new(content());
    let put = load(producers, messages, |n| {
        let (queue, new) = (queue.clone(), message(n, content.clone()));
        async move { Ok(queue.put(new).await?) }
    })
    .await?;
    let settled = load(producers, messages, |n| {
        let queue = queue.clone();
        async move {
            let outcome = RecipientOutcome {
                index: 0,
                state: RecipientState::HandedOn,
                due_at: now(),
                code: 250,
                reply: "2.0.0 Ok: taken".to_owned(),
            };
            Ok(queue.settle(id(n), vec![outcome], vec![]).await?)
        }
    })
    .await?;
    queue.close().await;
    Ok((put, settled))
}

async fn through_files(folder: &Path, producers: usize, messages: usize) -> anyhow::Result<Latencies> {
    let folder = folder.join("files");
    std::fs::create_dir(&folder)?;
    let content = Arc::new(content());
    load(producers, messages, |n| {
        let (folder, content) = (folder.clone(), content.clone());
        async move {
            tokio::task::spawn_blocking(move || -> std::io::Result<()> {
                let staged = folder.join(format!("{n}.part"));
                let mut file = File::create(&staged)?;
                file.write_all(&content)?;
                file.sync_data()?;
                std::fs::rename(staged, folder.join(n.to_string()))?;
                File::open(folder)?.sync_all()
            })
            .await??;
            Ok(())
        }
    })
    .await
}

async fn through_log(path: &Path, producers: usize, messages: usize) -> anyhow::Result<Latencies> {
    let (sender, mut inbox) = mpsc::channel::<oneshot::Sender<()>>(1_024);
    let mut file = File::create(path)?;
    let octets = content();
    let writer = std::thread::spawn(move || -> std::io::Result<()> {
        while let Some(first) = inbox.blocking_recv() {
            let mut waiting = vec![first];
            while let Ok(next) = inbox.try_recv() {
                waiting.push(next);
            }
            for _ in &waiting {
                file.write_all(&octets)?;
            }
            file.sync_data()?;
            for waiting in waiting {
                let _ = waiting.send(());
            }
        }
        Ok(())
    });
    let latencies = load(producers, messages, |_| {
        let sender = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            sender.send(answer).await?;
            Ok(answered.await?)
        }
    })
    .await?;
    drop(sender);
    writer.join().map_err(|_| anyhow::anyhow!("the log's writer panicked"))??;
    Ok(latencies)
}

/// `messages` in all by so many at once, each waiting for its own before the next.
async fn load<F>(
    producers: usize,
    messages: usize,
    mut one: impl FnMut(u64) -> F + Clone + Send,
) -> anyhow::Result<Latencies>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let mut each = Vec::with_capacity(messages);
    let mut running = tokio::task::JoinSet::new();
    let mut start = |running: &mut tokio::task::JoinSet<_>| {
        let work = one(next.fetch_add(1, Ordering::Relaxed));
        running.spawn(async move {
            let began = Instant::now();
            work.await.map(|()| began.elapsed())
        });
    };
    for _ in 0..producers.min(messages) {
        start(&mut running);
    }
    while let Some(done) = running.join_next().await {
        each.push(done??);
        if each.len() + running.len() < messages {
            start(&mut running);
        }
    }
    Ok(Latencies { each, whole: began.elapsed() })
}

fn content() -> Vec<u8> {
    b"0123456789abcdef ".iter().copied().cycle().take(OCTETS).collect()
}

fn now() -> Timestamp {
    Timestamp::from_unix_millis(1_795_508_461_000)
}

fn id(n: u64) -> RelayId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    RelayId::new(now(), random)
}

fn message(n: u64, content: Arc<Vec<u8>>) -> NewMessage {
    let mailbox = |text| Mailbox::parse(text).expect("a valid address");
    let message = QueuedMessage {
        id: id(n),
        queued_at: now(),
        sender: format!("sender{}@example.com", n % 50),
        upstream: "main".to_owned(),
        reverse_path: ReversePath::Mailbox(mailbox("ana@example.com")),
        parameters: MailParameters::default(),
        copies: Copies::Shared,
        octets: OCTETS as u64,
        state: QueueState::Waiting,
        delay_told: false,
        recipients: vec![QueuedRecipient {
            index: 0,
            forward_path: ForwardPath::Mailbox(mailbox("bo@example.net")),
            parameters: RcptParameters::default(),
            state: RecipientState::Waiting,
            attempts: 0,
            due_at: now(),
            code: 0,
            reply: String::new(),
        }],
    };
    NewMessage { message, content }
}
