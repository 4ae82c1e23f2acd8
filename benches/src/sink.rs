use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// A provider that takes everything and keeps nothing but their number: the same for everybody measured.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: watch::Receiver<usize>,
}

const FINAL_DOT: &[u8] = b"\r\n.\r\n";

impl Sink {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (count, taken) = watch::channel(0);
        let count = Arc::new(count);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let count = count.clone();
                tokio::spawn(async move {
                    let _ = serve(stream, &count).await;
                });
            }
        });
        Ok(Self { address, taken })
    }

    /// Messages so far.
    pub(crate) fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    /// Until there are so many; an error when nothing has come for half a minute.
    pub(crate) async fn wait_for(&self, messages: usize) -> anyhow::Result<()> {
        let mut taken = self.taken.clone();
        loop {
            if *taken.borrow_and_update() >= messages {
                return Ok(());
            }
            let next = timeout(Duration::from_secs(30), taken.changed()).await;
            next.with_context(|| format!("{} of {messages} arrived, and no more", self.taken()))??;
        }
    }
}

/// Reads as little as one can: what the sink costs is taken from whoever is measured.
async fn serve(mut stream: TcpStream, count: &watch::Sender<usize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 sink\r\n").await?;
    let (mut buffer, mut filled, mut in_content) = (vec![0; 65_536], 0, false);
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let (mut taken, mut answers) = (0, Vec::new());
        loop {
            let rest = &buffer[taken..filled];
            if in_content {
                let Some(end) = memmem::find(rest, FINAL_DOT) else { break };
                taken += end + FINAL_DOT.len();
                in_content = false;
                count.send_modify(|count| *count += 1);
                answers.extend_from_slice(b"250 ok\r\n");
            } else {
                let Some(end) = memchr::memchr(b'\n', rest) else { break };
                answers.extend_from_slice(match rest.get(..4).unwrap_or_default() {
                    b"EHLO" => b"250-sink\r\n250-SIZE 100000000\r\n250 8BITMIME\r\n",
                    b"DATA" => b"354 go\r\n",
                    b"QUIT" => b"221 bye\r\n",
                    _ => b"250 ok\r\n",
                });
                in_content = rest.starts_with(b"DATA");
                // The final dot may follow at once: the CRLF before it is then this one.
                taken += if in_content { end.saturating_sub(1) } else { end + 1 };
            }
        }
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
        }
        if in_content {
            // The final dot may have been cut in two.
            taken = taken.max(filled.saturating_sub(FINAL_DOT.len() - 1));
        }
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}
