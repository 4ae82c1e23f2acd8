mod bench;
mod faulty;
mod provider;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bench::{ANA, BEGINNING, Bench, CONTENT, route, until};
use envelope::{Choice, Notify, RelayId, ReversePath};
use faulty::Disk;
use provider::{Does, Mail, Provider};
use store::{Copies, NewMessage, Queue, QueueState, RecipientState, Store};

use crate::settings::{Rate, Retry};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

fn is_for(line: &str, address: &str) -> bool {
    line.starts_with("RCPT") && line.contains(address)
}

/// The parts of a notification between its boundaries.
fn parts(mail: &Mail) -> Vec<String> {
    let boundary = mail.content.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    mail.content.split(&format!("--{boundary}")).skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_mail_is_handed_on_as_it_was_put_and_is_gone() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let new = bench.message(ANA, "own", &["bo@example.net", "li@example.net"]);
    bench.record(&new.message).await;
    let id = new.message.id;
    bench.clock.advance(Duration::from_secs(2));
    bench.queue.put(new).await.unwrap();
    bench.until_counted([2, 0, 0]).await;
    bench.until_empty().await;
    let mails = provider.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].content, CONTENT);
    assert_eq!(mails[0].to, ["bo@example.net", "li@example.net"]);
    assert_eq!(mails[0].said[0], format!("MAIL FROM:<{ANA}> SIZE={}", CONTENT.len()));
    let record = until(
        || async {
            let record = bench.store.message(id).await.unwrap().unwrap().record;
            (record.code == 250).then_some(record)
        },
        String::new,
    )
    .await;
    assert_eq!((record.reply.as_str(), record.took_ms), ("ok", 2_000));
    assert!(record.recipients.iter().all(|recipient| recipient.code == 250));
}

#[tokio::test]
async fn while_the_provider_is_down_one_mail_knocks_and_then_all_arrive_once() {
    let provider = Provider::start().await;
    let address = provider.stop().await;
    let mut bench = Bench::start(vec![route("own", address)]);
    for n in 0..40 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    bench.until_deferred().await;
    bench.settled().await;
    assert!(bench.counted()[2] <= 20, "at most those that went in before: {:?}", bench.counted());
    let knocked = bench.counted()[2];
    bench.advance(MINUTE * 2);
    bench.until_counted([0, 0, knocked + 1]).await;
    bench.settled().await;
    assert_eq!(bench.counted(), [0, 0, knocked + 1], "one probe");

    let provider = Provider::start_on(address).await;
    bench.advance(MINUTE * 6);
    bench.until_empty().await;
    let senders: BTreeSet<String> = provider.mails().into_iter().map(|mail| mail.from).collect();
    assert_eq!((provider.mails().len(), senders.len()), (40, 40));
}

#[tokio::test]
async fn a_flush_asks_also_a_provider_that_was_away() {
    let provider = Provider::start().await;
    let address = provider.stop().await;
    let mut bench = Bench::start(vec![route("own", address)]);
    for n in 0..5 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    bench.until_deferred().await;
    bench.settled().await;
    let knocked = bench.counted()[2];
    bench.queue.flush(BEGINNING).await.unwrap();
    bench.until_counted([0, 0, knocked + 1]).await;
    let provider = Provider::start_on(address).await;
    bench.settled().await;
    assert_eq!(provider.mails().len(), 0, "nobody asks before its time");
    bench.queue.flush(BEGINNING).await.unwrap();
    bench.until_empty().await;
    assert_eq!(provider.mails().len(), 5);
}

#[tokio::test]
async fn a_provider_that_flaps_gets_each_mail_once() {
    let provider = Provider::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    // Of nine steps the last fails, in a different way each time; never after the final dot.
    provider.does(move |line| match count.fetch_add(1, Ordering::SeqCst) {
        _ if line == "." || line == "QUIT" => Does::TheUsual,
        n if n % 27 == 8 => Does::Closes,
        n if n % 27 == 17 => Does::Says("421 4.3.2 going down"),
        n if n % 27 == 26 => Does::Says("451 4.3.0 not now"),
        _ => Does::TheUsual,
    });
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    for n in 0..30 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    for _ in 0..200 {
        bench.settled().await;
        if bench.waiting().await == 0 {
            break;
        }
        bench.advance(MINUTE * 10);
    }
    bench.until_empty().await;
    let senders: BTreeSet<String> = provider.mails().into_iter().map(|mail| mail.from).collect();
    assert_eq!((provider.mails().len(), senders.len()), (30, 30), "{:?}", bench.counted());
    assert_eq!(bench.counts.perhaps_twice.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_when_it_is_due_and_not_before() {
    let provider = Provider::start().await;
    provider.does(|line| if line == "." { Does::Says("451 4.7.1 greylisted") } else { Does::TheUsual });
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let id = bench.put(ANA, "own", &["bo@example.net"]).await;
    let retry = Retry::default();
    let mut now = BEGINNING;
    for attempt in 1..=8 {
        bench.until_counted([0, 0, u64::from(attempt)]).await;
        let due = now.plus(retry.pause(id.as_bytes(), attempt));
        let recipient = until(
            || async { bench.recipients(id).await.pop().filter(|one| one.attempts == attempt) },
            String::new,
        )
        .await;
        assert_eq!((recipient.due_at, recipient.code), (due, 451));
        assert_eq!(recipient.reply, "4.7.1 greylisted");
        bench.advance(due.since(now).saturating_sub(Duration::from_millis(1)));
        bench.settled().await;
        assert_eq!(bench.counted(), [0, 0, u64::from(attempt)], "too early");
        if attempt == 8 {
            provider.does(|_| Does::TheUsual);
        }
        bench.advance(Duration::from_millis(1));
        now = due;
    }
    bench.until_empty().await;
    bench.until_counted([1, 0, 8]).await;
}

#[tokio::test]
async fn each_recipient_has_an_outcome_of_its_own() {
    let provider = Provider::start().await;
    provider.does(|line| match line {
        line if is_for(line, "no@") => Does::Says("550 5.1.1 no such user"),
        line if is_for(line, "later@") => Does::Says("450 4.2.2 mailbox full"),
        _ => Does::TheUsual,
    });
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let new = bench.message(ANA, "own", &["bo@example.net", "no@example.net", "later@example.net"]);
    bench.record(&new.message).await;
    let id = new.message.id;
    bench.queue.put(new).await.unwrap();
    // Two for the three, and one for the notification.
    bench.until_counted([2, 1, 1]).await;
    let states: Vec<_> = bench.recipients(id).await.iter().map(|one| (one.state, one.code)).collect();
    assert_eq!(
        states,
        [(RecipientState::HandedOn, 250), (RecipientState::Failed, 550), (RecipientState::Waiting, 450)]
    );
    let mails = provider.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(
        (mails[0].to.as_slice(), mails[1].to.as_slice()),
        (&["bo@example.net".to_owned()][..], &[ANA.to_owned()][..])
    );
    assert_eq!(mails[1].from, "");
    let parts = parts(&mails[1]);
    assert!(parts[0].contains("no@example.net") && !parts[0].contains("later@"), "{}", parts[0]);
    assert!(parts[0].contains("127.0.0.1 said: 550 5.1.1 no such user"), "{}", parts[0]);
    assert!(
        parts[1]
            .contains("\r\nFinal-Recipient: rfc822; no@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n")
    );
    assert!(!parts[1].contains("bo@") && parts[2].contains("Subject: Hello") && !parts[2].contains("<p>"));

    provider.does(|_| Does::TheUsual);
    bench.advance(MINUTE * 2);
    bench.until_empty().await;
    assert_eq!(provider.mails()[2].to, ["later@example.net"], "nobody twice");
    let record = until(
        || async {
            let record = bench.store.message(id).await.unwrap().unwrap().record;
            (record.code == 250).then_some(record)
        },
        String::new,
    )
    .await;
    let codes: Vec<_> = record.recipients.iter().map(|one| (one.code, one.reply.as_str())).collect();
    assert_eq!(codes, [(250, "ok"), (550, "no such user"), (250, "ok")]);
}

#[tokio::test]
async fn a_permanent_refusal_at_every_stage_is_told_once_and_never_to_nobody() {
    for (place, said) in [
        ("MAIL", "550 5.7.1 not you"),
        ("RCPT", "553 5.1.3 bad"),
        ("DATA", "554 no"),
        (".", "554 5.7.1 spam"),
    ] {
        let provider = Provider::start().await;
        provider.does(move |line| {
            let is_notification =
                line.starts_with("MAIL FROM:<>") || line.contains("<ana@example.com>") && place == "RCPT";
            if line.starts_with(place) && !is_notification { Does::Says(said) } else { Does::TheUsual }
        });
        let mut bench = Bench::start(vec![route("own", provider.address)]);
        bench.put(ANA, "own", &["bo@example.net"]).await;
        let mut silent = bench.message(ANA, "own", &["never@example.net"]);
        silent.message.recipients[0].parameters.notify = Some(Notify::Never);
        let mut from_nobody = bench.message(ANA, "own", &["null@example.net"]);
        from_nobody.message.reverse_path = ReversePath::Null;
        if place != "MAIL" {
            bench.queue.put(from_nobody).await.unwrap();
        }
        bench.queue.put(silent).await.unwrap();
        let refused = if place == "MAIL" { 2 } else { 3 };
        // At these two the notification meets the same refusal, and that is the end of it.
        let notification_fails = matches!(place, "DATA" | ".");
        let expected = if notification_fails { [0, refused + 1, 0] } else { [1, refused, 0] };
        bench.until_counted(expected).await;
        bench.until_empty().await;
        assert_eq!(bench.counts.notified.load(Ordering::SeqCst), 1, "{place}");
        if !notification_fails {
            let told = provider.mails().remove(0);
            assert_eq!(told.to, [ANA]);
            assert!(told.content.contains(&said[4..]), "{}", told.content);
        }
    }
}

#[tokio::test]
async fn after_four_hours_the_sender_is_told_once_and_after_three_days_it_is_given_up() {
    let provider = Provider::start().await;
    provider.does(|line| if is_for(line, "bo@") { Does::Says("450 4.2.2 full") } else { Does::TheUsual });
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    bench.put(ANA, "own", &["bo@example.net"]).await;
    for hours in [1, 2, 1, 1, 1, 30, 30, 6] {
        bench.settled().await;
        assert_eq!(bench.counted()[1], 0, "given up too early");
        bench.advance(HOUR * hours);
    }
    bench.until_empty().await;
    let mails = provider.mails();
    let actions: Vec<_> = mails.iter().map(|mail| parts(mail)[1].clone()).collect();
    assert_eq!(mails.len(), 2, "{actions:?}");
    assert!(
        actions[0].contains("Action: delayed\r\nStatus: 4.2.2") && actions[0].contains("Will-Retry-Until: ")
    );
    assert!(actions[1].contains("Action: failed\r\nStatus: 4.2.2"), "{}", actions[1]);
    assert!(parts(&mails[1])[0].contains("It was tried for 3 days."), "{}", parts(&mails[1])[0]);
}

#[tokio::test]
async fn mail_for_a_provider_that_stays_away_is_given_up_without_knocking() {
    let provider = Provider::start().await;
    let address = provider.stop().await;
    let other = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", address), route("other", other.address)]);
    for n in 0..30 {
        bench.put(ANA, "own", &[&format!("r{n}@example.net")]).await;
    }
    bench.until_deferred().await;
    bench.settled().await;
    // A thousand for the one that is away do not stand before one for another.
    bench.put(ANA, "other", &["li@example.net"]).await;
    until(|| async { (other.mails().len() == 1).then_some(()) }, || format!("{:?}", bench.counted())).await;
    bench.advance(HOUR * 73);
    until(|| async { (bench.counted()[1] >= 30).then_some(()) }, || format!("{:?}", bench.counted())).await;
    assert!(bench.counted()[2] < 30, "{:?}", bench.counted());
    assert_eq!(bench.waiting().await, 30, "the notifications wait for the same provider");
    bench.advance(HOUR * 73);
    bench.settled().await;
    bench.until_empty().await;
}

#[tokio::test]
async fn no_more_than_the_rate_and_the_rest_later() {
    let provider = Provider::start().await;
    let rate = Some(Rate { messages: 3, per: MINUTE });
    let mut bench = Bench::start(vec![crate::settings::Route { rate, ..route("own", provider.address) }]);
    for _ in 0..7 {
        bench.put(ANA, "own", &["bo@example.net"]).await;
    }
    for expected in [3, 6, 7] {
        bench.until_counted([expected, 0, 0]).await;
        bench.settled().await;
        assert_eq!(provider.mails().len() as u64, expected);
        bench.advance(MINUTE);
    }
}

#[tokio::test]
async fn senders_take_turns() {
    let provider = Provider::start().await;
    provider.does(|line| if line == "." { Does::Waits } else { Does::TheUsual });
    let mut bench = Bench::start(vec![crate::settings::Route { pool: 1, ..route("own", provider.address) }]);
    for _ in 0..50 {
        bench.put("many@example.com", "own", &["bo@example.net"]).await;
    }
    until(|| async { (provider.most_inside() == 1).then_some(()) }, String::new).await;
    bench.put("one@example.com", "own", &["bo@example.net"]).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    bench.settled().await;
    provider.go();
    bench.until_empty().await;
    let mails = provider.mails();
    let place = mails.iter().position(|mail| mail.from == "one@example.com").unwrap();
    assert!(place <= 2, "{place}");
    assert_eq!((provider.most_inside(), provider.connections()), (1, 1), "one at a time, on one connection");
}

#[tokio::test]
async fn no_more_at_once_than_the_pool_allows() {
    let provider = Provider::start().await;
    provider.does(|line| if line == "." { Does::Waits } else { Does::TheUsual });
    let mut bench = Bench::start(vec![crate::settings::Route { pool: 3, ..route("own", provider.address) }]);
    for n in 0..12 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    until(|| async { (provider.most_inside() == 3).then_some(()) }, String::new).await;
    bench.settled().await;
    assert_eq!((provider.most_inside(), provider.connections()), (3, 3));
    provider.go();
    bench.until_empty().await;
    assert_eq!((provider.most_inside(), provider.mails().len()), (3, 12));
}

#[tokio::test]
async fn without_an_answer_to_the_content_it_is_sent_again_and_counted() {
    let provider = Provider::start().await;
    let mut first = true;
    provider.does(
        move |line| {
            if line == "." && std::mem::take(&mut first) { Does::Closes } else { Does::TheUsual }
        },
    );
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    bench.put(ANA, "own", &["bo@example.net"]).await;
    bench.until_counted([0, 0, 1]).await;
    assert_eq!(bench.counts.perhaps_twice.load(Ordering::SeqCst), 1);
    // It is the message's own trouble: the next does not wait for it.
    bench.put(ANA, "own", &["li@example.net"]).await;
    bench.until_counted([1, 0, 1]).await;
    bench.advance(MINUTE * 2);
    bench.until_empty().await;
    assert_eq!(bench.counts.perhaps_twice.load(Ordering::SeqCst), 1);
    assert_eq!(provider.mails()[1].to, ["bo@example.net"]);
}

fn in_copies(mut new: NewMessage) -> NewMessage {
    new.message.copies = Copies::Each { choice: Choice::BOTH };
    new
}

/// The header section, and the tracked URLs of the rest.
fn taken_apart(mail: &Mail) -> (String, Vec<String>) {
    let (head, body) = mail.content.split_once("\r\n\r\n").unwrap();
    let urls = body.split('"').filter(|piece| piece.contains("https://t.example.com/"));
    (head.to_owned(), urls.map(str::to_owned).collect())
}

#[tokio::test]
async fn each_recipient_gets_a_copy_of_its_own_with_the_same_header() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let new = in_copies(bench.message(ANA, "own", &["bo@example.net", "li@example.net", ANA]));
    let id = new.message.id;
    bench.queue.put(new).await.unwrap();
    bench.until_empty().await;
    let mails = provider.mails();
    assert_eq!((mails.len(), provider.connections()), (3, 1), "one after the other on one connection");
    let keys = seal::Keys::generate([7; 32]);
    let mut all = BTreeSet::new();
    for (mail, index) in mails.iter().zip(0..) {
        assert_eq!(mail.to.len(), 1);
        let (head, urls) = taken_apart(mail);
        assert_eq!(head, CONTENT.split_once("\r\n\r\n").unwrap().0);
        let link = urls.iter().find_map(|url| url.strip_prefix("https://t.example.com/c/")).unwrap();
        let link = keys.open_link(link).unwrap();
        assert_eq!((link.message, link.recipient), (id, seal::Recipient::Index(index)));
        // One's own copy shows nobody that one opened it.
        assert_eq!(urls.len(), if mail.to[0] == ANA { 1 } else { 2 });
        all.extend(urls);
    }
    assert_eq!(all.len(), 5, "{all:?}");
}

#[tokio::test]
async fn a_crash_between_copies_repeats_none_that_was_handed_on() {
    let provider = Provider::start().await;
    provider.does(|line| if is_for(line, "third@") { Does::Waits } else { Does::TheUsual });
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let to = ["first@example.net", "second@example.net", "third@example.net", "fourth@example.net"];
    let new = in_copies(bench.message(ANA, "own", &to));
    bench.queue.put(new).await.unwrap();
    bench.until_counted([2, 0, 0]).await;
    bench.kill().await;
    provider.does(|_| Does::TheUsual);
    provider.go();
    bench.run();
    bench.until_empty().await;
    let recipients: Vec<_> = provider.mails().into_iter().map(|mail| mail.to.join(",")).collect();
    assert_eq!(recipients, to);
}

#[tokio::test]
async fn copies_are_counted_by_the_rate_each() {
    let provider = Provider::start().await;
    let rate = Some(Rate { messages: 2, per: MINUTE });
    let mut bench = Bench::start(vec![crate::settings::Route { rate, ..route("own", provider.address) }]);
    let new = in_copies(bench.message(ANA, "own", &["a@example.net", "b@example.net", "c@example.net"]));
    bench.queue.put(new).await.unwrap();
    bench.until_counted([2, 0, 0]).await;
    bench.settled().await;
    assert_eq!(provider.mails().len(), 2);
    bench.advance(MINUTE);
    bench.until_empty().await;
    assert_eq!(provider.mails().len(), 3);
}

#[tokio::test]
async fn a_locked_store_holds_up_no_mail_and_hears_of_it_later() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let mut ids: Vec<RelayId> = vec![];
    let mut mails = vec![];
    for _ in 0..10 {
        let new = bench.message(ANA, "own", &["bo@example.net"]);
        bench.record(&new.message).await;
        ids.push(new.message.id);
        mails.push(new);
    }
    let locker = rusqlite::Connection::open(bench.folder.path().join("store.db")).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    for new in mails {
        bench.queue.put(new).await.unwrap();
    }
    bench.until_counted([10, 0, 0]).await;
    bench.until_empty().await;
    locker.execute_batch("ROLLBACK").unwrap();
    for id in ids {
        until(
            || async { (bench.store.message(id).await.unwrap()?.record.code == 250).then_some(()) },
            || format!("{id}"),
        )
        .await;
    }
}

#[tokio::test]
async fn told_to_end_it_finishes_what_is_under_way_and_begins_nothing() {
    let provider = Provider::start().await;
    provider.does(|line| if line == "." { Does::Waits } else { Does::TheUsual });
    let mut bench = Bench::start(vec![crate::settings::Route { pool: 2, ..route("own", provider.address) }]);
    for n in 0..5 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    until(|| async { (provider.most_inside() == 2).then_some(()) }, String::new).await;
    bench.tell_to_end();
    tokio::time::sleep(Duration::from_millis(50)).await;
    provider.go();
    bench.ended().await;
    assert_eq!((provider.mails().len(), bench.waiting().await), (2, 3));
    bench.run();
    bench.until_empty().await;
    assert_eq!(provider.mails().len(), 5);
}

#[tokio::test]
async fn a_damaged_mail_is_set_aside_its_sender_told_and_the_rest_delivered() {
    let provider = Provider::start().await;
    let address = provider.stop().await;
    let mut bench = Bench::start(vec![route("own", address)]);
    let whole = bench.put(ANA, "own", &["bo@example.net"]).await;
    // The provider is found away, so that the next one is not tried before it is damaged.
    bench.until_counted([0, 0, 1]).await;
    let damaged = bench.put("kim@example.com", "own", &["li@example.net"]).await;
    let db = rusqlite::Connection::open(bench.folder.path().join("spool/queue.db")).unwrap();
    let sql = "UPDATE content SET octets = x'41' WHERE message = (SELECT key FROM message WHERE id = ?1)";
    assert_eq!(db.execute(sql, [&damaged.as_bytes()[..]]).unwrap(), 1);
    let provider = Provider::start_on(address).await;
    bench.advance(MINUTE * 2);
    bench.until_empty().await;
    let mails = provider.mails();
    assert!(mails.iter().any(|mail| mail.to == ["bo@example.net"] && mail.content == CONTENT));
    let told = mails.iter().find(|mail| mail.to == ["kim@example.com"]).unwrap();
    assert!(parts(told)[0].contains("The message itself could not be read any more."), "{}", told.content);
    assert_eq!((mails.len(), bench.recipients(whole).await.len()), (2, 0));
    let kept = bench.queue.message(damaged).await.unwrap().unwrap();
    assert!(matches!(kept.state, QueueState::SetAside(_)), "{:?}", kept.state);
}

#[tokio::test]
async fn who_asked_hears_that_it_was_handed_on_to_a_provider_that_tells_nothing() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let mut new = bench.message(ANA, "own", &["bo@example.net", "li@example.net"]);
    new.message.recipients[0].parameters.notify =
        Some(Notify::On { success: true, failure: false, delay: false });
    new.message.recipients[0].parameters.orcpt = Some("rfc822;bo+2Bnews@example.net".into());
    new.message.parameters.envid = Some("QQ+2D1".into());
    bench.queue.put(new).await.unwrap();
    bench.until_counted([3, 0, 0]).await;
    let told = provider.mails().pop().unwrap();
    let status = &parts(&told)[1];
    assert!(status.contains("Original-Envelope-Id: QQ-1\r\n"), "{status}");
    assert!(status.contains("Original-Recipient: rfc822; bo+news@example.net\r\n"), "{status}");
    assert!(status.contains("Action: relayed\r\nStatus: 2.0.0\r\n") && !status.contains("li@"), "{status}");
}

#[tokio::test]
async fn mail_for_an_upstream_that_is_gone_stands_in_nobodys_way() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![route("own", provider.address)]);
    let lost = bench.put(ANA, "gone", &["bo@example.net"]).await;
    bench.put(ANA, "own", &["li@example.net"]).await;
    bench.until_counted([1, 0, 0]).await;
    assert_eq!(bench.recipients(lost).await[0].attempts, 0);
}

#[tokio::test]
async fn a_sender_without_a_sign_in_keeps_nobody_elses_mail() {
    let provider = Provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut own = route("own", provider.address);
    let client = upstream::OAuthClient {
        authorize_url: "http://127.0.0.1:1/a".into(),
        token_url: "http://127.0.0.1:1/t".into(),
        scope: String::new(),
        client_id: "id".into(),
        client_secret: None,
        redirect_host: "127.0.0.1".into(),
        like: own.upstream.clone(),
    };
    let vault = upstream::Vault::new(folder.path(), vec![[3; 32]]);
    let tokens = upstream::Tokens::new(client, vault, Arc::new(envelope::ManualClock::new(BEGINNING)));
    own.login = crate::settings::RouteLogin::Tokens(Arc::new(tokens));
    let mut bench = Bench::start(vec![own]);
    bench.put(ANA, "own", &["bo@example.net"]).await;
    bench.until_counted([0, 0, 1]).await;
    bench.put("kim@example.com", "own", &["li@example.net"]).await;
    // Tried, and not kept back by what Ana lacks.
    bench.until_counted([0, 0, 2]).await;
}

#[tokio::test]
async fn what_was_handed_on_and_not_written_down_is_once_more_at_most_however_often_it_begins_anew() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![crate::settings::Route { pool: 4, ..route("own", provider.address) }]);
    bench.faults.set(Disk::Full);
    for n in 0..30 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    until(
        || async { (bench.faults.refused.load(Ordering::SeqCst) > 0).then_some(()) },
        || format!("{:?}", bench.counted()),
    )
    .await;
    bench.settled().await;
    assert_eq!(provider.mails().len(), 0, "at the start nothing goes before a write was proved");

    // It fills up while some are at work.
    provider.does(|line| if line == "." { Does::Waits } else { Does::TheUsual });
    bench.faults.set(Disk::Fine);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    bench.advance(Duration::from_secs(1));
    until(|| async { (provider.most_inside() == 4).then_some(()) }, String::new).await;
    bench.faults.set(Disk::Full);
    provider.go();
    until(|| async { (provider.mails().len() >= 4).then_some(()) }, String::new).await;
    bench.settled().await;
    let sent = provider.mails().len();
    assert!(sent <= 8, "{sent}: those at work, and what had begun before the first failed");
    for _ in 0..5 {
        bench.kill().await;
        bench.run();
        bench.settled().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(provider.mails().len(), sent, "nothing goes out while nothing can be written down");
    assert_eq!(bench.waiting().await, 30);

    bench.faults.set(Disk::Fine);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    bench.advance(Duration::from_secs(1));
    bench.until_empty().await;
    let senders: BTreeSet<String> = provider.mails().into_iter().map(|mail| mail.from).collect();
    assert_eq!((senders.len(), provider.mails().len()), (30, 30 + sent), "once more, and only those");
}

#[tokio::test]
async fn while_no_room_is_kept_one_goes_at_a_time_each_after_a_proof() {
    let provider = Provider::start().await;
    let mut bench = Bench::start(vec![crate::settings::Route { pool: 4, ..route("own", provider.address) }]);
    bench.faults.set(Disk::Narrow);
    for n in 0..6 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    bench.until_empty().await;
    assert_eq!((provider.mails().len(), provider.most_inside()), (6, 1));
    assert!(bench.faults.proofs.load(Ordering::SeqCst) >= 6);
    // With room for more they go together, and nothing more has to be proved.
    bench.faults.set(Disk::Fine);
    for n in 0..2 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
        bench.until_empty().await;
    }
    let proofs = bench.faults.proofs.load(Ordering::SeqCst);
    provider.does(|line| if line == "." { Does::Waits } else { Does::TheUsual });
    for n in 0..6 {
        bench.put(&format!("s{n}@example.com"), "own", &["bo@example.net"]).await;
    }
    until(|| async { (provider.most_inside() == 4).then_some(()) }, String::new).await;
    provider.go();
    bench.until_empty().await;
    assert_eq!(bench.faults.proofs.load(Ordering::SeqCst), proofs);
}
