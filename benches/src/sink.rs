use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// A provider that takes everything and keeps nothing but their number: the same for everybody measured.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    taken: watch::Receiver<usize>,
}

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

async fn serve(stream: TcpStream, count: &watch::Sender<usize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(65_536, stream);
    stream.write_all(b"220 sink\r\n").await?;
    let (mut line, mut in_content) = (Vec::new(), false);
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if in_content {
            if line == b".\r\n" {
                in_content = false;
                count.send_modify(|count| *count += 1);
                stream.write_all(b"250 ok\r\n").await?;
            }
            continue;
        }
        let answer: &[u8] = match line.get(..4).unwrap_or_default() {
            b"EHLO" => b"250-sink\r\n250-SIZE 100000000\r\n250 8BITMIME\r\n",
            b"DATA" => {
                in_content = true;
                b"354 go\r\n"
            }
            b"QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await?;
    }
}
