//! What every queue must do, in cases that know nothing of the backend.

use std::collections::BTreeSet;
use std::sync::Arc;

use envelope::{Body, Choice, ForwardPath, Notify, RelayId, Ret, ReversePath, Timestamp};

use crate::samples::{id, moment, outcome, queued, queued_recipient};
use crate::{Copies, NewMessage, Queue, QueueCounts, QueueState, QueuedMessage, RecipientState, StoreError};

/// Runs every case, each on an empty queue that `fresh` gives.
pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Queue>) {
    an_empty_queue_holds_nothing(&*fresh().await).await;
    a_message_reads_back_as_it_was_put(&*fresh().await).await;
    a_message_is_put_once(&*fresh().await).await;
    contents_of_every_length_read_back(&*fresh().await).await;
    messages_are_due_when_a_recipient_is(&*fresh().await).await;
    the_longest_due_comes_first_and_senders_in_turn(&*fresh().await).await;
    nobodys_many_stand_before_anothers_one(&*fresh().await).await;
    a_closed_upstream_is_passed_over(&*fresh().await).await;
    an_outcome_is_written_down_per_recipient(&*fresh().await).await;
    a_message_leaves_when_nobody_waits(&*fresh().await).await;
    a_recipient_done_with_stays_so(&*fresh().await).await;
    notifications_come_in_with_what_they_tell_of(&*fresh().await).await;
    a_deleted_message_brings_no_notification(&*fresh().await).await;
    a_delay_is_told_once(&*fresh().await).await;
    a_damaged_message_is_out_of_the_way_and_there(&*fresh().await).await;
    a_held_message_is_not_due(&*fresh().await).await;
    a_retried_message_is_due_now(&*fresh().await).await;
    flushing_makes_all_due_but_what_is_held(&*fresh().await).await;
    a_deleted_message_is_gone(&*fresh().await).await;
    messages_are_listed_oldest_first(&*fresh().await).await;
    every_write_is_announced(&*fresh().await).await;
    producers_at_once_do_not_disturb_each_other(fresh().await).await;
}

const ANA: &str = "ana@example.com";

async fn an_empty_queue_holds_nothing(queue: &dyn Queue) {
    assert_eq!(queue.due(moment(9), 9, &[]).await.unwrap(), []);
    assert_eq!(queue.next_due().await.unwrap(), None);
    assert_eq!(queue.message(id(1)).await.unwrap(), None);
    assert_eq!(queue.messages(None, 9).await.unwrap(), []);
    assert_eq!(queue.counts().await.unwrap(), QueueCounts::default());
    assert_eq!(queue.flush(moment(9)).await.unwrap(), 0);
    assert!(matches!(queue.content(id(1)).await, Err(StoreError::NotQueued { .. })));
    for found in [
        queue.retry(id(1), moment(1)).await,
        queue.hold(id(1)).await,
        queue.release(id(1)).await,
        queue.delete(id(1)).await,
    ] {
        assert!(!found.unwrap());
    }
    queue.set_aside(id(1), "why").await.unwrap();
    queue.settle(id(1), vec![], vec![]).await.unwrap();
}

async fn a_message_reads_back_as_it_was_put(queue: &dyn Queue) {
    let plain = queued(1, ANA, moment(5));
    let mut odd = queued(2, "Grüße 'x\"; \u{1f980}", moment(7));
    odd.message.reverse_path = ReversePath::Null;
    odd.message.parameters = envelope::MailParameters {
        size: Some(u64::from(u32::MAX) + 7),
        body: Some(Body::EightBitMime),
        smtputf8: true,
        ret: Some(Ret::Headers),
        envid: Some("a+2Bb".to_owned()),
        require_tls: true,
    };
    odd.message.copies = Copies::Each { choice: Choice { opens: false, links: true } };
    odd.message.recipients = [
        Some(Notify::Never),
        None,
        Some(Notify::On { success: true, failure: false, delay: true }),
        Some(Notify::On { success: false, failure: false, delay: false }),
    ]
    .into_iter()
    .zip(0_u16..)
    .map(|(notify, n)| {
        let mut recipient = queued_recipient(n * 3, "\"j ö\"@bücher.example", moment(u32::from(n)));
        recipient.parameters.notify = notify;
        recipient.parameters.orcpt = (n == 2).then(|| "rfc822;bo+40example.net".to_owned());
        recipient
    })
    .collect();
    odd.message.recipients[1].forward_path = ForwardPath::Postmaster;
    let mut last = queued(3, ANA, moment(5));
    last.message.parameters.body = Some(Body::SevenBit);
    last.message.parameters.ret = Some(Ret::Full);
    last.message.copies = Copies::Each { choice: Choice { opens: true, links: false } };
    for new in [plain, odd, last] {
        queue.put(new.clone()).await.unwrap();
        assert_eq!(queue.message(new.message.id).await.unwrap(), Some(new.message.clone()));
        assert!(queue.content(new.message.id).await.unwrap() == *new.content);
    }
}

async fn a_message_is_put_once(queue: &dyn Queue) {
    for octets in [10, 1_500_000] {
        let id = id(octets);
        let first = filled(octets, b'a');
        queue.put(first.clone()).await.unwrap();
        let outcome = outcome(0, RecipientState::Waiting, moment(99));
        queue.settle(id, vec![outcome], vec![]).await.unwrap();
        let before = queue.message(id).await.unwrap();

        let mut again = filled(octets, b'b');
        again.message.sender = "other@example.com".to_owned();
        queue.put(again).await.unwrap();
        assert_eq!(queue.message(id).await.unwrap(), before);
        assert!(queue.content(id).await.unwrap() == *first.content);
    }
    assert_eq!(queue.counts().await.unwrap().waiting, 2);
}

async fn contents_of_every_length_read_back(queue: &dyn Queue) {
    let lengths = [0, 1, 4_095, 999_999, 1_000_000, 1_000_001, 3_000_000];
    for octets in lengths {
        queue.put(filled(octets, 0xff)).await.unwrap();
    }
    for octets in lengths {
        let content = queue.content(id(octets)).await.unwrap();
        assert!(content == *filled(octets, 0xff).content, "{octets}");
    }
    let all = lengths.iter().map(|octets| u64::from(*octets)).sum();
    assert_eq!(
        queue.counts().await.unwrap(),
        QueueCounts { waiting: 7, octets: all, ..QueueCounts::default() }
    );
}

async fn messages_are_due_when_a_recipient_is(queue: &dyn Queue) {
    let mut new = queued(1, ANA, moment(50));
    new.message.recipients.push(queued_recipient(1, "cy@example.net", moment(20)));
    queue.put(new.clone()).await.unwrap();
    queue.put(queued(2, ANA, moment(40))).await.unwrap();
    assert_eq!(queue.next_due().await.unwrap(), Some(moment(20)));
    assert_eq!(queue.due(moment(19), 9, &[]).await.unwrap(), []);
    assert_eq!(queue.due(moment(20), 9, &[]).await.unwrap(), [new.message]);
    assert_eq!(due(queue, moment(40), 9, &[]).await, [1, 2]);
    assert_eq!(due(queue, moment(40), 1, &[1]).await, [2]);
    assert_eq!(due(queue, moment(40), 9, &[1, 2, 3]).await, [0; 0]);
    assert_eq!(due(queue, moment(40), 0, &[]).await, [0; 0]);
}

async fn the_longest_due_comes_first_and_senders_in_turn(queue: &dyn Queue) {
    for (n, sender, due_at) in
        [(1, "a", 10), (2, "a", 11), (3, "A", 9), (4, "b", 30), (5, "b", 29), (6, "c", 20), (7, "d", 99)]
    {
        queue.put(queued(n, sender, moment(due_at))).await.unwrap();
    }
    let order = due(queue, moment(40), 9, &[]).await;
    assert_eq!(order, [3, 6, 5, 1, 4, 2], "and case makes no second sender");
}

async fn nobodys_many_stand_before_anothers_one(queue: &dyn Queue) {
    for n in 0..200 {
        queue.put(queued(n, "many@example.com", moment(n))).await.unwrap();
    }
    queue.put(queued(1_000, "one@example.com", moment(1_000))).await.unwrap();
    assert_eq!(due(queue, moment(2_000), 2, &[]).await, [0, 1_000]);
    // Also when ten of the many are at work already, and when there is one place at a time.
    let at_work: Vec<u32> = (0..10).collect();
    assert_eq!(due(queue, moment(2_000), 1, &at_work).await, [1_000]);
    let mut served = BTreeSet::new();
    for _ in 0..2 {
        let next = due(queue, moment(2_000), 1, &[]).await[0];
        served.insert(next);
    }
    assert!(served.contains(&1_000), "{served:?}");
}

async fn a_closed_upstream_is_passed_over(queue: &dyn Queue) {
    for n in 0..20 {
        let mut new = queued(n, ANA, moment(n));
        new.message.upstream = if n % 5 == 4 { "open" } else { "it's \"closed\"" }.to_owned();
        queue.put(new).await.unwrap();
    }
    let closed = ["nobody's".to_owned(), "it's \"closed\"".to_owned()];
    let due = queue.due_but_for(&closed, moment(40), 9, &[id(9)]).await.unwrap();
    assert_eq!(ids(&due), [4, 14, 19]);
    assert_eq!(queue.due(moment(40), 50, &[]).await.unwrap().len(), 20);
}

async fn an_outcome_is_written_down_per_recipient(queue: &dyn Queue) {
    let mut new = queued(1, ANA, moment(1));
    new.message.recipients = (0..3).map(|n| queued_recipient(n * 2, "bo@example.net", moment(1))).collect();
    queue.put(new).await.unwrap();
    let outcomes = vec![
        outcome(0, RecipientState::HandedOn, moment(1)),
        outcome(4, RecipientState::Waiting, moment(60)),
        outcome(77, RecipientState::Failed, moment(1)),
    ];
    queue.settle(id(1), outcomes, vec![]).await.unwrap();
    let message = queue.message(id(1)).await.unwrap().unwrap();
    let states: Vec<_> = message
        .recipients
        .iter()
        .map(|one| (one.index, one.state, one.attempts, one.due_at, one.code, one.reply.as_str()))
        .collect();
    let words = "4.2.1 Grüße, later";
    assert_eq!(
        states,
        [
            (0, RecipientState::HandedOn, 1, moment(1), 250, words),
            (2, RecipientState::Waiting, 0, moment(1), 0, ""),
            (4, RecipientState::Waiting, 1, moment(60), 451, words),
        ]
    );
    assert_eq!(queue.next_due().await.unwrap(), Some(moment(1)));
    queue.settle(id(1), vec![outcome(2, RecipientState::Failed, moment(1))], vec![]).await.unwrap();
    assert_eq!(queue.next_due().await.unwrap(), Some(moment(60)), "of those who wait");
}

async fn a_message_leaves_when_nobody_waits(queue: &dyn Queue) {
    for octets in [10, 1_500_000] {
        queue.put(filled(octets, b'x')).await.unwrap();
        let done = vec![outcome(0, RecipientState::HandedOn, moment(1))];
        queue.settle(id(octets), done, vec![]).await.unwrap();
        assert_eq!(queue.message(id(octets)).await.unwrap(), None);
        assert!(matches!(queue.content(id(octets)).await, Err(StoreError::NotQueued { .. })));
    }
    assert_eq!(queue.counts().await.unwrap(), QueueCounts::default());
    assert_eq!(queue.next_due().await.unwrap(), None);
}

async fn a_recipient_done_with_stays_so(queue: &dyn Queue) {
    let mut new = queued(1, ANA, moment(1));
    new.message.recipients.push(queued_recipient(1, "cy@example.net", moment(1)));
    queue.put(new).await.unwrap();
    queue.settle(id(1), vec![outcome(0, RecipientState::HandedOn, moment(1))], vec![]).await.unwrap();
    queue.settle(id(1), vec![outcome(0, RecipientState::Waiting, moment(2))], vec![]).await.unwrap();
    let message = queue.message(id(1)).await.unwrap().unwrap();
    assert_eq!((message.recipients[0].state, message.recipients[0].attempts), (RecipientState::HandedOn, 1));
}

async fn notifications_come_in_with_what_they_tell_of(queue: &dyn Queue) {
    queue.put(queued(1, ANA, moment(1))).await.unwrap();
    let mut large = filled(1_500_000, b'n');
    large.message.reverse_path = ReversePath::Null;
    let notifications = vec![queued(2, ANA, moment(2)), large.clone()];
    let failed = vec![outcome(0, RecipientState::Failed, moment(1))];
    queue.settle(id(1), failed.clone(), notifications.clone()).await.unwrap();
    // Told again because the answer was lost.
    queue.settle(id(1), failed, notifications).await.unwrap();
    assert_eq!(ids(&queue.messages(None, 9).await.unwrap()), [2, 1_500_000]);
    assert!(queue.content(id(1_500_000)).await.unwrap() == *large.content);
}

async fn a_deleted_message_brings_no_notification(queue: &dyn Queue) {
    queue.put(queued(1, ANA, moment(1))).await.unwrap();
    assert!(queue.delete(id(1)).await.unwrap());
    let failed = vec![outcome(0, RecipientState::Failed, moment(1))];
    queue.settle(id(1), failed, vec![queued(2, ANA, moment(2))]).await.unwrap();
    queue.delay_told(id(1), vec![queued(3, ANA, moment(2))]).await.unwrap();
    assert_eq!(queue.messages(None, 9).await.unwrap(), []);
}

async fn a_delay_is_told_once(queue: &dyn Queue) {
    queue.put(queued(1, ANA, moment(1))).await.unwrap();
    for _ in 0..2 {
        queue.delay_told(id(1), vec![queued(2, ANA, moment(2))]).await.unwrap();
    }
    let messages = queue.messages(None, 9).await.unwrap();
    assert_eq!(messages.iter().map(|one| one.delay_told).collect::<Vec<_>>(), [true, false]);
}

async fn a_damaged_message_is_out_of_the_way_and_there(queue: &dyn Queue) {
    for octets in [10, 1_500_000] {
        let id = id(octets);
        queue.put(filled(octets, b'x')).await.unwrap();
        queue.set_aside(id, "its content was changed").await.unwrap();
        assert_eq!(queue.due(moment(9_000_000), 9, &[]).await.unwrap(), []);
        let state = QueueState::SetAside("its content was changed".to_owned());
        assert_eq!(queue.message(id).await.unwrap().unwrap().state, state);
        assert!(queue.content(id).await.unwrap() == *filled(octets, b'x').content, "to look at");
        // None of these brings it back.
        assert!(queue.hold(id).await.unwrap());
        assert!(queue.release(id).await.unwrap());
        assert!(queue.retry(id, moment(1)).await.unwrap());
        assert_eq!(queue.flush(moment(1)).await.unwrap(), 0);
        assert_eq!(queue.message(id).await.unwrap().unwrap().state, state);
    }
    assert_eq!(queue.next_due().await.unwrap(), None);
    assert_eq!(
        queue.counts().await.unwrap(),
        QueueCounts { set_aside: 2, octets: 1_500_010, ..QueueCounts::default() }
    );
    assert!(queue.delete(id(1_500_000)).await.unwrap());
    assert_eq!(queue.counts().await.unwrap().set_aside, 1);
}

async fn a_held_message_is_not_due(queue: &dyn Queue) {
    for n in 1..=2 {
        queue.put(queued(n, ANA, moment(n))).await.unwrap();
    }
    for _ in 0..2 {
        assert!(queue.hold(id(1)).await.unwrap());
    }
    assert_eq!(due(queue, moment(9), 9, &[]).await, [2]);
    assert_eq!(queue.next_due().await.unwrap(), Some(moment(2)));
    assert_eq!(queue.message(id(1)).await.unwrap().unwrap().state, QueueState::Held);
    assert_eq!(queue.counts().await.unwrap().held, 1);
    // An attempt that was under way ends.
    queue.settle(id(1), vec![outcome(0, RecipientState::Waiting, moment(3))], vec![]).await.unwrap();
    assert_eq!(due(queue, moment(9), 9, &[]).await, [2]);
    assert!(queue.retry(id(1), moment(1)).await.unwrap());
    assert_eq!(due(queue, moment(9), 9, &[]).await, [2]);
    for _ in 0..2 {
        assert!(queue.release(id(1)).await.unwrap());
    }
    assert_eq!(due(queue, moment(9), 9, &[]).await, [1, 2]);
    assert_eq!(queue.counts().await.unwrap().held, 0);
}

async fn a_retried_message_is_due_now(queue: &dyn Queue) {
    let mut new = queued(1, ANA, moment(500));
    new.message.recipients.push(queued_recipient(1, "cy@example.net", moment(3)));
    new.message.recipients.push(queued_recipient(2, "di@example.net", moment(500)));
    queue.put(new).await.unwrap();
    queue.settle(id(1), vec![outcome(2, RecipientState::Failed, moment(500))], vec![]).await.unwrap();
    assert!(queue.retry(id(1), moment(7)).await.unwrap());
    let message = queue.message(id(1)).await.unwrap().unwrap();
    let due_at: Vec<_> = message.recipients.iter().map(|one| one.due_at).collect();
    assert_eq!(
        due_at,
        [moment(7), moment(3), moment(500)],
        "who is due longer stays so; who failed stays failed"
    );
    assert_eq!(queue.next_due().await.unwrap(), Some(moment(3)));
}

async fn flushing_makes_all_due_but_what_is_held(queue: &dyn Queue) {
    for n in 1..=4 {
        queue.put(queued(n, ANA, moment(100 + n))).await.unwrap();
    }
    queue.hold(id(2)).await.unwrap();
    let before = queue.flushes().await.unwrap();
    assert_eq!(queue.flush(moment(7)).await.unwrap(), 3);
    assert_eq!(queue.flushes().await.unwrap(), before + 1);
    assert_eq!(due(queue, moment(7), 9, &[]).await, [1, 3, 4]);
    queue.release(id(2)).await.unwrap();
    assert_eq!(due(queue, moment(7), 9, &[]).await, [1, 3, 4], "it kept its own time");
}

async fn a_deleted_message_is_gone(queue: &dyn Queue) {
    for octets in [10, 1_500_000] {
        queue.put(filled(octets, b'x')).await.unwrap();
        assert!(queue.delete(id(octets)).await.unwrap());
        assert!(!queue.delete(id(octets)).await.unwrap());
        // The same id may come again, with another content.
        queue.put(filled(octets, b'y')).await.unwrap();
        assert!(queue.content(id(octets)).await.unwrap() == *filled(octets, b'y').content);
        assert!(queue.delete(id(octets)).await.unwrap());
    }
    assert_eq!(queue.counts().await.unwrap(), QueueCounts::default());
    assert_eq!(due(queue, moment(99), 9, &[]).await, [0; 0]);
}

async fn messages_are_listed_oldest_first(queue: &dyn Queue) {
    for n in [3, 1, 2, 4] {
        queue.put(queued(n, ANA, moment(9 - n))).await.unwrap();
    }
    queue.hold(id(2)).await.unwrap();
    queue.set_aside(id(3), "why").await.unwrap();
    assert_eq!(ids(&queue.messages(None, 9).await.unwrap()), [1, 2, 3, 4]);
    assert_eq!(ids(&queue.messages(Some(id(2)), 1).await.unwrap()), [3]);
    assert_eq!(ids(&queue.messages(Some(id(4)), 9).await.unwrap()), [0; 0]);
}

async fn every_write_is_announced(queue: &dyn Queue) {
    let mut changed = queue.changed();
    changed.mark_unchanged();
    queue.put(queued(1, ANA, moment(1))).await.unwrap();
    assert!(changed.has_changed().unwrap());
    changed.mark_unchanged();
    queue.settle(id(1), vec![outcome(0, RecipientState::Waiting, moment(3))], vec![]).await.unwrap();
    assert!(changed.has_changed().unwrap());
}

async fn producers_at_once_do_not_disturb_each_other(queue: Arc<dyn Queue>) {
    let producers: Vec<_> = (0..16)
        .map(|producer| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let n = producer * 1_000 + n;
                    queue.put(queued(n, ANA, moment(n))).await.unwrap();
                    if n % 2 == 0 {
                        let done = vec![outcome(0, RecipientState::HandedOn, moment(n))];
                        queue.settle(id(n), done, vec![]).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    assert_eq!(queue.counts().await.unwrap().waiting, 160);
}

/// The message whose id and length are `octets`.
fn filled(octets: u32, with: u8) -> NewMessage {
    let mut new = queued(octets, ANA, moment(1));
    new.content = Arc::new(vec![with; octets as usize]);
    new.message.octets = u64::from(octets);
    new
}

async fn due(queue: &dyn Queue, now: Timestamp, limit: u32, passing_over: &[u32]) -> Vec<u32> {
    let passing_over: Vec<RelayId> = passing_over.iter().map(|n| id(*n)).collect();
    ids(&queue.due(now, limit, &passing_over).await.unwrap())
}

/// The `n` of each.
fn ids(messages: &[QueuedMessage]) -> Vec<u32> {
    messages
        .iter()
        .map(|message| u32::from_be_bytes(message.id.as_bytes()[12..].try_into().unwrap()))
        .collect()
}
