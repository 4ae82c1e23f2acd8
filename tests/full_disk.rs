//! A disk that is really full: a small file system of the test's own, on which store and queue are.
//!
//! Needs root, to mount it: `just e2e`, or `cargo test -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::client::Client;
use harness::identity::compare;
use harness::provider::{Behaviour, Provider, Script};
use harness::{Relay, eventually, free_address, open_listener, plain_upstream};

/// A file system in memory. Gone with the test.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn mounted(octets: u64) -> Self {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let size = format!("size={octets},mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.path()).output();
        let mounted = mounted.unwrap();
        let said = String::from_utf8_lossy(&mounted.stderr).into_owned();
        assert!(mounted.status.success(), "this test must be root and may mount a file system: {said}");
        disk
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn free(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().map(|number| number.parse::<u64>().unwrap()).product()
    }

    /// Somebody else uses all the room there is.
    fn fill(&self) {
        let path = self.filler();
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        for piece in [1 << 20, 4096, 1] {
            while file.write_all(&vec![b'x'; piece]).is_ok() {}
        }
        assert_eq!(self.free(), 0);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("somebody-elses")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

const LOW: &str = "12MB";
/// `pool` of the upstream, and as many whose places are free again while what came of them is written.
const MOST_UNDER_WAY: usize = 8;

/// A relay whose store and queue are on `disk`.
fn relay_on(disk: &Disk, provider: SocketAddr) -> Relay {
    let folder = tempfile::tempdir().unwrap();
    let (smtp, tracking) = (free_address(), free_address());
    let config = format!(
        "[tracking]\nbase_url = \"http://{tracking}\"\nlisten = \"{tracking}\"\ndefaults = {{ opens = true, links = true }}\n\
         [store]\nurl = \"sqlite:{0}/waxseal.db\"\nspool = \"{0}/spool\"\nsigning_key_file = \"links.key\"\nlow_disk = \"{LOW}\"\n{1}{2}\
         delivery = \"queue\"\npool = 4\nretry = {{ first = \"100ms\", longest = \"1s\", give_up = \"1h\" }}\n",
        disk.path().display(),
        open_listener(smtp),
        plain_upstream(provider),
    );
    std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
    Relay::start_in(folder, smtp, tracking)
}

/// The `n`th mail; every fifth is so large that it is a file in the spool.
fn mail(n: usize) -> Vec<u8> {
    let octets = if n % 5 == 4 { 1_200_000 } else { 300_000 };
    let line = format!("<p>{n:070}</p>\r\n");
    let head = format!("From: ana@example.com\r\nSubject: mail-{n}\r\nContent-Type: text/html\r\n\r\n");
    (head + &line.repeat(octets / line.len())).into_bytes()
}

/// Until the disk is low. How many were answered 250.
fn filled_up(relay: &Relay) -> usize {
    for n in 0..1_000 {
        let reply = Client::greeted(relay.smtp).mail(&["bo@example.net"], &mail(n));
        if !reply.starts_with("250") {
            assert!(reply.starts_with("452 4.3.1 "), "{reply}");
            return n;
        }
    }
    panic!("never full");
}

/// How often each mail arrived.
fn arrived(provider: &Provider) -> BTreeMap<usize, usize> {
    let mut arrived = BTreeMap::new();
    for received in provider.received() {
        *arrived.entry(number_of(&received.content)).or_default() += 1;
    }
    arrived
}

fn number_of(content: &[u8]) -> usize {
    let head = String::from_utf8_lossy(&content[..1_000]);
    head.split("Subject: mail-").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap()
}

/// Each of them is what was sent, but for its pixel.
fn are_whole(provider: &Provider, relay: &Relay) {
    for received in provider.received() {
        let number = number_of(&received.content);
        let changes = compare(&mail(number), &received.content, &relay.base_url());
        assert!(changes.as_ref().is_ok_and(|changes| changes.links.is_empty()), "mail {number}: {changes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, to mount a small file system: just e2e"]
async fn a_disk_that_fills_up_takes_no_more_mail_and_what_it_has_goes_out_once() {
    let disk = Disk::mounted(48 << 20);
    let address = free_address();
    let mut relay = relay_on(&disk, address);
    let answered = filled_up(&relay);
    println!("{answered} mails answered, {} octets free then", disk.free());
    assert!(answered > 10 && disk.free() > 8_000_000, "452 comes before it is full");

    // Somebody else takes the rest, and only then the provider is there. A WAL that was just begun has no room to
    // spare for what comes of it.
    relay.signal("TERM");
    let (smtp, tracking) = (relay.smtp, relay.tracking);
    let (status, folder) = relay.ended_in();
    assert_eq!(status, 0);
    relay = Relay::start_in(folder, smtp, tracking);
    disk.fill();
    // The disk is asked once a second.
    std::thread::sleep(Duration::from_millis(1_100));
    let reply = Client::greeted(relay.smtp).mail(&["bo@example.net"], &mail(0));
    assert!(reply.starts_with("452 4.3.1 "), "{reply}");
    let provider = Provider::start_on(address, Script::default()).await;
    provider.does(".", Some(Behaviour::Late(Duration::from_millis(30))));
    let mut restarts = 0;
    eventually("half of them", || (arrived(&provider).len() >= answered / 2).then_some(()));
    relay.wait_for_log("its reserve is used now");
    for _ in 0..3 {
        let (folder, smtp, tracking) = relay.kill();
        relay = Relay::start_in(folder, smtp, tracking);
        restarts += 1;
        std::thread::sleep(Duration::from_millis(300));
    }
    eventually("all of them", || (arrived(&provider).len() == answered).then_some(()));
    let twice = arrived(&provider).values().filter(|times| **times > 1).count();
    let most = arrived(&provider).values().copied().max().unwrap();
    println!(
        "{restarts} kills on a full disk, {twice} of {answered} arrived twice, none more than {most} times"
    );
    assert!(twice <= restarts * MOST_UNDER_WAY, "no more than were under way at a kill");

    // There is room: mail is taken again, and the reserve is there again.
    disk.make_room();
    eventually("mail is taken again", || {
        Client::greeted(relay.smtp).mail(&["bo@example.net"], &mail(500)).starts_with("250").then_some(())
    });
    eventually("the new one", || arrived(&provider).contains_key(&500).then_some(()));
    assert!(disk.path().join("spool/queue.reserve").exists());
    are_whole(&provider, &relay);
    assert_eq!(relay.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root, to mount a small file system: just e2e"]
async fn on_a_disk_that_stays_full_nothing_is_sent_again_at_each_start() {
    let disk = Disk::mounted(48 << 20);
    let address = free_address();
    let mut relay = relay_on(&disk, address);
    let answered = filled_up(&relay);
    let script = Script {
        at: [(".".to_owned(), Behaviour::Late(Duration::from_secs(1)))].into(),
        ..Script::default()
    };
    let provider = Provider::start_on(address, script).await;
    eventually("some are under way", || (!provider.received().is_empty()).then_some(()));
    // All room is somebody else's now, and that which is kept for outcomes too.
    std::fs::remove_file(disk.path().join("spool/queue.reserve")).unwrap();
    disk.fill();
    std::thread::sleep(Duration::from_secs(3));
    let sent = provider.received().len();
    println!("{sent} of {answered} were sent while the disk was full");
    // From here on none is under way for long: what arrives twice was not written down.
    provider.does(".", None);
    for _ in 0..6 {
        disk.fill();
        let (folder, smtp, tracking) = relay.kill();
        relay = Relay::start_in(folder, smtp, tracking);
        std::thread::sleep(Duration::from_millis(1_300));
    }
    let arrivals = arrived(&provider);
    let twice = arrivals.values().filter(|times| **times > 1).count();
    println!("after six kills {} had arrived, {twice} of them twice", arrivals.len());
    assert!(arrivals.values().all(|times| *times <= 2));
    assert!(twice <= MOST_UNDER_WAY, "none is sent again at each start");
    relay.wait_for_log("the queue cannot be written to");

    disk.make_room();
    eventually("all of them", || (arrived(&provider).len() == answered).then_some(()));
    let again = arrived(&provider).values().filter(|times| **times > 1).count();
    println!("{again} of {answered} arrived twice in all");
    assert!(again <= sent.min(MOST_UNDER_WAY), "{again}");
    are_whole(&provider, &relay);
    assert_eq!(relay.stop(), 0);
}
