use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::error::HandoffError;
use crate::socks;
use crate::upstream::Upstream;

/// RFC 8305 §5: so long the address before is ahead.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects with the upstream, or with its proxy and through that with the upstream. Everything together gets the
/// upstream's timeout. Also says which address took the connection: the proxy's, if there is one.
pub(crate) async fn reach(upstream: &Upstream) -> Result<(TcpStream, SocketAddr), HandoffError> {
    let (host, port) = (upstream.host.as_str(), upstream.port);
    let unreachable = |source| HandoffError::Unreachable { host: host.to_owned(), port, source };
    let deadline = Instant::now() + upstream.timeout;
    let tcp = match &upstream.proxy {
        None => dial(host, port, deadline).await.map_err(unreachable)?,
        Some(proxy) => {
            let through = async {
                let mut tcp = dial(&proxy.host, proxy.port, deadline).await?;
                timeout_at(deadline, socks::connect(&mut tcp, proxy, host, port))
                    .await
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                Ok(tcp)
            };
            through.await.map_err(|source| HandoffError::Proxy {
                host: host.to_owned(),
                proxy: format!("{}:{}", proxy.host, proxy.port),
                source,
            })?
        }
    };
    // lettre writes content and final dot apart: without this the dot waits for an
    // acknowledgement that the other side delays (Nagle), 40 ms a message.
    tcp.set_nodelay(true).map_err(unreachable)?;
    let address = tcp.peer_addr().map_err(unreachable)?;
    Ok((tcp, address))
}

async fn dial(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let found = timeout_at(deadline, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.collect();
    connect_any(&addresses, deadline, HEAD_START).await
}

/// The first of `addresses` that answers. Families take turns, and each has a head start before the
/// next is tried as well: one that swallows our packets costs that much, and no more.
async fn connect_any(
    addresses: &[SocketAddr],
    deadline: Instant,
    head_start: Duration,
) -> io::Result<TcpStream> {
    let mut waiting = in_turns(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(tcp)) => return Ok(tcp),
                Ok(Err(error)) => last = error,
                Err(panic) => last = io::Error::other(panic),
            },
            () = sleep_until(deadline) => return Err(io::ErrorKind::TimedOut.into()),
            () = sleep(head_start), if waiting.len() > 0 => {}
        }
    }
}

/// RFC 8305 §4: the resolver's order within a family, the families alternating.
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return vec![] };
    let (ours, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first.is_ipv6());
    let mut turns = Vec::with_capacity(addresses.len());
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    loop {
        let (one, other) = (ours.next(), others.next());
        if one.is_none() && other.is_none() {
            return turns;
        }
        turns.extend(one.into_iter().chain(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody listens on.
    fn closed() -> SocketAddr {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    /// A listener whose queue is full: what is sent there gets no answer.
    async fn swallowing() -> (Held, SocketAddr) {
        let listener = tokio::net::TcpSocket::new_v4().unwrap();
        listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        for _ in 0..8 {
            let attempt = tokio::time::timeout(Duration::from_millis(50), TcpStream::connect(address)).await;
            match attempt {
                Ok(stream) => held.push(stream.unwrap()),
                Err(_) => return (Held { _listener: listener, _streams: held }, address),
            }
        }
        panic!("the queue does not fill up");
    }

    struct Held {
        _listener: tokio::net::TcpListener,
        _streams: Vec<TcpStream>,
    }

    #[tokio::test]
    async fn every_address_has_its_turn() {
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [closed(), closed(), open.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(5);
        // Whoever refuses at once costs no head start.
        let tcp = connect_any(&addresses, deadline, Duration::from_mins(1)).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[2]);

        let refused = connect_any(&addresses[..2], deadline, HEAD_START).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_any(&[], deadline, HEAD_START).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_swallows_packets_costs_its_head_start_only() {
        let (_held, silent) = swallowing().await;
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let began = Instant::now();
        let deadline = began + Duration::from_secs(30);
        let addresses = [silent, open.local_addr().unwrap()];
        let tcp = connect_any(&addresses, deadline, HEAD_START).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[1]);
        assert!(began.elapsed() >= HEAD_START && began.elapsed() < Duration::from_secs(10));

        let soon = Instant::now() + Duration::from_millis(50);
        let error = connect_any(&[silent], soon, HEAD_START).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_other_family_is_tried() {
        // ::1 may not exist on the machine: refused or unreachable, the other one answers.
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = open.local_addr().unwrap().port();
        let addresses = [format!("[::1]:{port}").parse().unwrap(), open.local_addr().unwrap()];
        let deadline = Instant::now() + Duration::from_secs(5);
        let tcp = connect_any(&addresses, deadline, HEAD_START).await.unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[1]);
    }

    #[test]
    fn families_take_turns() {
        let order = |addresses: &[&str]| -> Vec<String> {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            in_turns(&addresses).iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            order(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]
        );
        assert_eq!(order(&["1.1.1.1:1", "[::1]:1"]), ["1.1.1.1:1", "[::1]:1"]);
        assert!(order(&[]).is_empty());
    }
}
