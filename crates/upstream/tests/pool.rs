//! Connections that are used again, how many, and by whom.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use envelope::{Credentials, ForwardPath, MailParameters, Mailbox, RcptParameters, ReversePath};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use waxseal_upstream::{HandoffError, Pool, PoolLimits, Pooled, Upstream};

/// A provider of many connections that counts, and can be told to misbehave.
struct Provider {
    port: u16,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    opened: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
    messages: AtomicUsize,
    resets: AtomicUsize,
    quits: AtomicUsize,
    logins: std::sync::Mutex<Vec<String>>,
    /// After this many messages a connection is closed without a word.
    closes_after: AtomicUsize,
    /// RSET is not answered.
    deaf_to_reset: AtomicUsize,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        seen.closes_after.store(usize::MAX, Ordering::SeqCst);
        let counted = seen.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let seen = counted.clone();
                tokio::spawn(async move {
                    seen.opened.fetch_add(1, Ordering::SeqCst);
                    let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.most_open.fetch_max(open, Ordering::SeqCst);
                    let _ = serve(tcp, &seen).await;
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, seen }
    }

    fn upstream(&self) -> Upstream {
        Upstream {
            name: "provider".into(),
            host: "127.0.0.1".into(),
            port: self.port,
            tls: waxseal_upstream::Tls::None,
            trust: waxseal_upstream::Trust::System,
            helo: "relay.test".into(),
            timeout: Duration::from_secs(5),
            proxy: None,
        }
    }

    fn opened(&self) -> usize {
        self.seen.opened.load(Ordering::SeqCst)
    }

    /// Until `so`: what the other side of a socket does takes its moment.
    async fn until(&self, so: impl Fn(&Seen) -> bool) {
        for _ in 0..500 {
            if so(&self.seen) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it did not come about");
    }
}

async fn serve(tcp: TcpStream, seen: &Seen) -> std::io::Result<()> {
    let mut tcp = BufReader::new(tcp);
    tcp.write_all(b"220 provider.test\r\n").await?;
    let (mut messages, mut transaction, mut line) = (0, false, String::new());
    loop {
        line.clear();
        if tcp.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split([' ', '\r']).next().unwrap_or_default().to_owned();
        let reply = match verb.as_str() {
            "EHLO" => "250-provider.test\r\n250 AUTH PLAIN\r\n",
            "AUTH" => {
                seen.logins.lock().unwrap().push(line.clone());
                "235 welcome\r\n"
            }
            "MAIL" if transaction => "503 nested\r\n",
            "MAIL" => {
                transaction = true;
                "250 ok\r\n"
            }
            "DATA" => {
                tcp.write_all(b"354 go\r\n").await?;
                loop {
                    line.clear();
                    if tcp.read_line(&mut line).await? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                }
                messages += 1;
                transaction = false;
                seen.messages.fetch_add(1, Ordering::SeqCst);
                tcp.write_all(b"250 taken\r\n").await?;
                if messages >= seen.closes_after.load(Ordering::SeqCst) {
                    return Ok(());
                }
                continue;
            }
            "RSET" => {
                seen.resets.fetch_add(1, Ordering::SeqCst);
                transaction = false;
                if seen.deaf_to_reset.load(Ordering::SeqCst) > 0 {
                    continue;
                }
                "250 ok\r\n"
            }
            "QUIT" => {
                seen.quits.fetch_add(1, Ordering::SeqCst);
                tcp.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok\r\n",
        };
        tcp.write_all(reply.as_bytes()).await?;
    }
}

async fn begin(pooled: &mut Pooled) -> Result<(), HandoffError> {
    let ana = ReversePath::Mailbox(Mailbox::parse("ana@x.test").unwrap());
    let reply = pooled.mail(&ana, &MailParameters::default()).await?;
    assert_eq!(reply.code().get(), 250, "{reply}");
    Ok(())
}

async fn send(pooled: &mut Pooled) -> Result<(), HandoffError> {
    begin(pooled).await?;
    let jo = ForwardPath::Mailbox(Mailbox::parse("jo@y.test").unwrap());
    pooled.rcpt(&jo, &RcptParameters::default()).await?;
    assert_eq!(pooled.content(b"", b"Subject: x\r\n\r\nx\r\n").await?.code().get(), 250);
    Ok(())
}

#[tokio::test]
async fn one_connection_carries_a_hundred_messages_and_no_more() {
    let provider = Provider::start().await;
    let pool = Pool::new(provider.upstream(), 4);
    for number in 0..101 {
        let mut pooled = pool.take(None).await.unwrap();
        assert_eq!(pooled.is_reused(), number % 100 != 0, "{number}");
        send(&mut pooled).await.unwrap();
        pooled.give_back().await;
    }
    assert_eq!(provider.opened(), 2);
    provider.until(|seen| seen.quits.load(Ordering::SeqCst) == 1).await;
    assert_eq!(provider.seen.messages.load(Ordering::SeqCst), 101);
    assert_eq!(provider.seen.resets.load(Ordering::SeqCst), 0, "nothing was left to forget");
}

#[tokio::test]
async fn an_unfinished_transaction_is_forgotten_before_the_next() {
    let provider = Provider::start().await;
    let pool = Pool::new(provider.upstream(), 1);
    let mut pooled = pool.take(None).await.unwrap();
    begin(&mut pooled).await.unwrap();
    pooled.give_back().await;
    let mut pooled = pool.take(None).await.unwrap();
    assert!(pooled.is_reused());
    send(&mut pooled).await.unwrap();
    assert_eq!(provider.seen.resets.load(Ordering::SeqCst), 1);
    assert_eq!(provider.opened(), 1);
}

#[tokio::test]
async fn never_more_than_its_number_and_those_who_wait_get_their_turn() {
    let provider = Provider::start().await;
    let pool = Pool::new(provider.upstream(), 3);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let login = Credentials::with_password(format!("user{}", number % 5), "x");
            let mut pooled = pool.take(Some(&login)).await.unwrap();
            send(&mut pooled).await.unwrap();
            pooled.give_back().await;
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(provider.seen.messages.load(Ordering::SeqCst), 40);
    // One more for a moment: the provider counts one as open until it has heard the QUIT.
    let most = provider.seen.most_open.load(Ordering::SeqCst);
    assert!(most <= 3 + 3, "{most}");
    provider.until(|seen| seen.open.load(Ordering::SeqCst) <= 3).await;
}

#[tokio::test]
async fn whoever_waits_too_long_is_told() {
    let provider = Provider::start().await;
    let pool = Pool::with_limits(
        provider.upstream(),
        1,
        PoolLimits { patience: Duration::from_millis(30), ..PoolLimits::default() },
    );
    let held = pool.take(None).await.unwrap();
    let error = pool.take(None).await.unwrap_err();
    assert!(matches!(error, HandoffError::Busy { most_open: 1, .. }));
    assert_eq!(error.reply().to_string().split(' ').take(2).collect::<Vec<_>>(), ["451", "4.3.2"]);
    // Dropped without being given back it is closed, and its place is free.
    drop(held);
    assert!(!pool.take(None).await.unwrap().is_reused());
    assert_eq!(provider.opened(), 2);
}

#[tokio::test]
async fn a_login_gets_its_own_connections_only() {
    let provider = Provider::start().await;
    let pool = Pool::new(provider.upstream(), 4);
    let logins = [
        None,
        Some(Credentials::with_password("ana", "right")),
        Some(Credentials::with_password("ana", "wrong")),
        Some(Credentials::with_password("jo", "right")),
        Some(Credentials::with_access_token("ana", "right")),
    ];
    for login in &logins[..4] {
        let pooled = pool.take(login.as_ref()).await.unwrap();
        assert!(!pooled.is_reused(), "{login:?}");
        pooled.give_back().await;
    }
    // Not even when refused: there is no mechanism for tokens here.
    assert!(matches!(
        pool.take(logins[4].as_ref()).await.unwrap_err(),
        HandoffError::LoginNotOffered { mechanisms: ["XOAUTH2", "OAUTHBEARER"], .. }
    ));
    // The oldest made room for the last try.
    for (login, reused) in logins[..4].iter().zip([false, true, true, true]) {
        if login.is_some() {
            assert_eq!(pool.take(login.as_ref()).await.unwrap().is_reused(), reused, "{login:?}");
        }
    }
    assert_eq!(provider.seen.logins.lock().unwrap().len(), 3);
}

/// Every connection is asked before it is given out.
const SUSPICIOUS: fn() -> PoolLimits = || PoolLimits {
    check_after: Duration::ZERO,
    check_limit: Duration::from_millis(100),
    ..PoolLimits::default()
};

#[tokio::test]
async fn a_connection_that_died_in_its_sleep_is_not_given_out() {
    let provider = Provider::start().await;
    provider.seen.closes_after.store(1, Ordering::SeqCst);
    let pool = Pool::with_limits(provider.upstream(), 4, SUSPICIOUS());
    for opened in 1..=3 {
        let mut pooled = pool.take(None).await.unwrap();
        assert!(!pooled.is_reused());
        assert_eq!(provider.opened(), opened);
        send(&mut pooled).await.unwrap();
        pooled.give_back().await;
        provider.until(|seen| seen.open.load(Ordering::SeqCst) == 0).await;
    }

    // Within the first moments it is given out unasked: then MAIL says so, before anything is lost.
    let pool = Pool::new(provider.upstream(), 4);
    let mut pooled = pool.take(None).await.unwrap();
    send(&mut pooled).await.unwrap();
    pooled.give_back().await;
    provider.until(|seen| seen.open.load(Ordering::SeqCst) == 0).await;
    let mut pooled = pool.take(None).await.unwrap();
    assert!(pooled.is_reused());
    begin(&mut pooled).await.unwrap_err();
    assert!(!pooled.is_usable());
    pooled.give_back().await;
    assert!(!pool.take(None).await.unwrap().is_reused());
}

#[tokio::test]
async fn one_that_does_not_answer_in_time_is_not_given_out() {
    let provider = Provider::start().await;
    let pool = Pool::with_limits(provider.upstream(), 4, SUSPICIOUS());
    let mut pooled = pool.take(None).await.unwrap();
    send(&mut pooled).await.unwrap();
    pooled.give_back().await;
    provider.seen.deaf_to_reset.store(1, Ordering::SeqCst);
    assert!(!pool.take(None).await.unwrap().is_reused());
    assert_eq!(provider.opened(), 2);
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed_without_being_asked_for() {
    let provider = Provider::start().await;
    let limits = PoolLimits { longest_idle: Duration::from_millis(50), ..PoolLimits::default() };
    let pool = Pool::with_limits(provider.upstream(), 4, limits);
    for round in 1..=2 {
        let (first, second) = (pool.take(None).await.unwrap(), pool.take(None).await.unwrap());
        assert!(!first.is_reused() && !second.is_reused());
        first.give_back().await;
        second.give_back().await;
        provider.until(|seen| seen.quits.load(Ordering::SeqCst) == 2 * round).await;
    }
}
