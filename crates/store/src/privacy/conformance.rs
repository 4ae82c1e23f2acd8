//! What every backend must do for those who never asked to be tracked.

use std::sync::Arc;
use std::time::Duration;

use envelope::Timestamp;
use verdict::Verdict;

use crate::samples::{click, id, link, message, moment, open, recipient, verdict_on};
use crate::{Event, EventKind, Keep, LastOpen, MessageRecord, Parties, Purge, Purged, RecipientFacts, Store};

pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
    parties_are_told(&*fresh().await).await;
    a_refusal_is_for_the_past_and_the_future(&*fresh().await).await;
    a_refusal_is_taken_back(&*fresh().await).await;
    the_day_of_the_last_open_is_written_over(&*fresh().await).await;
    a_recipient_is_shown_his_own(&*fresh().await).await;
    what_is_over_its_time_goes(&*fresh().await).await;
    a_purge_goes_in_small_steps(&*fresh().await).await;
    an_address_is_traced_and_forgotten(&*fresh().await).await;
}

/// To Bo and Kim.
fn to_two(n: u32) -> MessageRecord {
    let recipients = vec![recipient(0, "Bo@example.net", 250), recipient(1, "kim@example.net", 250)];
    MessageRecord { recipients, ..message(n) }
}

fn to_kim(event: Event) -> Event {
    Event { recipient: Some(1), ..event }
}

async fn seqs(store: &dyn Store) -> Vec<Event> {
    store.events_after(0, 100).await.unwrap().into_iter().map(|event| event.event).collect()
}

async fn counts(store: &dyn Store, n: u32) -> (u64, u64) {
    let found = store.message(id(n)).await.unwrap().unwrap();
    (found.opens_by_people, found.clicks_by_people)
}

async fn parties_are_told(store: &dyn Store) {
    assert_eq!(store.parties(id(1)).await.unwrap(), None);
    store.record_message(to_two(1)).await.unwrap();
    let recipients = vec![(0, "Bo@example.net".to_owned()), (1, "kim@example.net".to_owned())];
    let expected = Parties { sender: "ana@example.com".to_owned(), recipients };
    assert_eq!(store.parties(id(1)).await.unwrap(), Some(expected));
    store.record_event(open(1, 2)).await.unwrap();
    assert_eq!(store.parties(id(2)).await.unwrap(), None, "an event alone tells nobody");
}

async fn a_refusal_is_for_the_past_and_the_future(store: &dyn Store) {
    for n in 1..=2 {
        store.record_message(to_two(n)).await.unwrap();
    }
    let (own, others) = (open(1, 1), to_kim(open(2, 1)));
    let shared = Event { recipient: None, ..open(3, 2) };
    let bounce = Event { kind: EventKind::Bounce, judgement: None, ..open(4, 1) };
    for event in [&own, &click(5, 2, 0), &others, &shared, &bounce, &verdict_on(6, &own, Verdict::Proxied)] {
        store.record_event(event.clone()).await.unwrap();
    }
    let evidence = Event { evidence: r#"{"method":"GET"}"#.to_owned(), ..open(7, 1) };
    store.record_event(evidence).await.unwrap();
    let addresses = || vec!["bo@EXAMPLE.net".to_owned(), "kim@example.net".to_owned()];
    assert_eq!(store.refused(addresses()).await.unwrap(), [false, false]);
    let before = (counts(store, 1).await, counts(store, 2).await);
    for _ in 0..2 {
        store.refuse("bo@example.net", moment(9)).await.unwrap();
        assert_eq!(store.refused(addresses()).await.unwrap(), [true, false]);
        assert_eq!(seqs(store).await, [others.clone(), shared.clone(), bounce.clone()]);
        assert_eq!(store.hits_with_evidence(0, 9).await.unwrap(), []);
        assert_eq!((counts(store, 1).await, counts(store, 2).await), before, "counts say nothing of anybody");
    }

    let day = LastOpen { message: id(1), recipient: Some(0), day: moment(0) };
    for hit in [
        open(10, 1),
        click(11, 1, 0),
        Event { recipient: None, ..open(12, 1) },
        verdict_on(13, &own, Verdict::Scanner),
    ] {
        store.record_event(hit).await.unwrap();
    }
    for day in [day, LastOpen { recipient: None, ..day }] {
        store.record_last_open(day).await.unwrap();
    }
    assert_eq!(seqs(store).await.len(), 3, "nothing new of one's own, nor of what is shared");
    assert_eq!(store.last_opens(id(1)).await.unwrap(), []);
    for kept in [to_kim(open(14, 1)), Event { kind: EventKind::Complaint, judgement: None, ..open(15, 1) }] {
        store.record_event(kept).await.unwrap();
    }
    assert_eq!(seqs(store).await.len(), 5);
}

async fn a_refusal_is_taken_back(store: &dyn Store) {
    store.record_message(to_two(1)).await.unwrap();
    store.refuse("BO@example.net", moment(1)).await.unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    for _ in 0..2 {
        store.allow("bo@example.net").await.unwrap();
    }
    assert_eq!(store.refused(vec!["bo@example.net".to_owned()]).await.unwrap(), [false]);
    store.record_event(open(2, 1)).await.unwrap();
    assert_eq!(seqs(store).await, [open(2, 1)]);
    // Who never got anything can refuse too.
    store.refuse("nobody@example.net", moment(1)).await.unwrap();
    assert_eq!(store.refused(vec!["nobody@example.net".to_owned()]).await.unwrap(), [true]);
}

async fn the_day_of_the_last_open_is_written_over(store: &dyn Store) {
    let day = |n: i64| Timestamp::from_unix_millis(n * 86_400_000);
    let open = |recipient, at| LastOpen { message: id(1), recipient, day: at };
    store.record_message(to_two(1)).await.unwrap();
    for (at, expected) in [
        (day(20_000), day(20_000)),
        (day(20_002).plus(Duration::from_hours(5)), day(20_002)),
        (day(20_001), day(20_002)),
    ] {
        store.record_last_open(open(Some(1), at)).await.unwrap();
        assert_eq!(store.last_opens(id(1)).await.unwrap(), [open(Some(1), expected)]);
    }
    store.record_last_open(open(None, day(20_003))).await.unwrap();
    let both = [open(None, day(20_003)), open(Some(1), day(20_002))];
    assert_eq!(store.last_opens(id(1)).await.unwrap(), both);
    assert_eq!(store.last_opens(id(2)).await.unwrap(), []);
    assert_eq!(seqs(store).await, [], "there is no event");
}

async fn a_recipient_is_shown_his_own(store: &dyn Store) {
    assert_eq!(store.recipient_facts(id(1), Some(0)).await.unwrap(), None);
    store.record_message(to_two(1)).await.unwrap();
    for event in
        [open(1, 1), open(2, 1), click(3, 1, 0), to_kim(open(4, 1)), Event { recipient: None, ..open(5, 1) }]
    {
        store.record_event(event).await.unwrap();
    }
    let facts = RecipientFacts {
        sender: "ana@example.com".to_owned(),
        from: Some("Ana <ana@example.com>".to_owned()),
        sent_at: moment(1),
        pixel: true,
        links: true,
        address: Some("Bo@example.net".to_owned()),
        opens: 2,
        clicks: 1,
        refused: false,
    };
    assert_eq!(store.recipient_facts(id(1), Some(0)).await.unwrap(), Some(facts.clone()));
    let shared = RecipientFacts { address: None, opens: 1, clicks: 0, ..facts.clone() };
    assert_eq!(store.recipient_facts(id(1), None).await.unwrap(), Some(shared));
    assert_eq!(store.recipient_facts(id(1), Some(7)).await.unwrap(), None);
    store.refuse("bo@example.net", moment(9)).await.unwrap();
    let refused = RecipientFacts { opens: 0, clicks: 0, refused: true, ..facts };
    assert_eq!(store.recipient_facts(id(1), Some(0)).await.unwrap(), Some(refused));
    store.forget("bo@example.net").await.unwrap();
    assert_eq!(store.recipient_facts(id(1), Some(0)).await.unwrap(), None);
}

/// Until it is done; how many steps that were.
async fn purged(store: &dyn Store, keep: Keep, limit: u32) -> (Purged, u32) {
    let (mut progress, mut steps) = (Purge::default(), 0);
    loop {
        progress = store.purge(keep, progress, limit).await.unwrap();
        if progress.done {
            return (progress.purged, steps);
        }
        steps += 1;
    }
}

fn keep(events: u32, subjects: u32, evidence: u32) -> Keep {
    Keep { events: moment(events), subjects: moment(subjects), evidence: moment(evidence) }
}

async fn what_is_over_its_time_goes(store: &dyn Store) {
    for n in [1_000, 2_000, 3_000] {
        store.record_message(message(n)).await.unwrap();
    }
    let with_evidence = |n, of| Event {
        evidence: r#"{"method":"GET"}"#.to_owned(),
        user_agent: Some(format!("agent {n}")),
        ..open(n, of)
    };
    for event in [
        with_evidence(1_001, 1_000),
        with_evidence(2_001, 2_000),
        with_evidence(3_001, 2_000),
        with_evidence(3_002, 3_000),
    ] {
        store.record_event(event).await.unwrap();
    }
    store.record_event(open(1_002, 9)).await.unwrap();
    let day = LastOpen { message: id(1_000), recipient: None, day: Timestamp::from_unix_millis(86_400_000) };
    store.record_last_open(day).await.unwrap();
    store.refuse("no@example.net", moment(1)).await.unwrap();

    let none = keep(0, 0, 0);
    assert!(store.over_its_time(none).await.unwrap().messages <= 1, "the day of a last open is of 1970");
    let limits = keep(2_000, 2_500, 3_002);
    let expected = store.over_its_time(limits).await.unwrap();
    let (gone, _) = purged(store, limits, 100).await;
    // Of the four, the first message's goes with its event.
    assert_eq!(gone, Purged { events: 2, evidence: 2, messages: 2, subjects: 1, last_opens: 1, words: 2 });
    assert_eq!(
        (expected.events, expected.messages, expected.last_opens, expected.words),
        (gone.events, gone.messages, gone.last_opens, gone.words)
    );
    let left: Vec<_> = seqs(store).await.iter().map(|event| event.id).collect();
    assert_eq!(left, [open(2_001, 1).id, open(3_001, 1).id, open(3_002, 1).id]);
    assert_eq!(store.hits_with_evidence(0, 9).await.unwrap().len(), 1);
    assert_eq!(store.message(id(1_000)).await.unwrap(), None);
    assert_eq!(store.message(id(2_000)).await.unwrap().unwrap().record.subject, None);
    assert!(store.message(id(3_000)).await.unwrap().unwrap().record.subject.is_some());
    assert_eq!(counts(store, 2_000).await, (2, 0));
    assert_eq!(store.refused(vec!["no@example.net".to_owned()]).await.unwrap(), [true], "never outdated");

    assert_eq!(purged(store, limits, 100).await, (Purged::default(), 0), "once is enough");
    let (gone, _) = purged(store, keep(9_000, 9_000, 9_000), 100).await;
    assert_eq!((gone.events, gone.messages, gone.words), (3, 2, 4));
    assert_eq!(store.over_its_time(keep(9_000, 9_000, 9_000)).await.unwrap(), Purged::default());
    assert_eq!(store.messages(crate::MessageFilter::default()).await.unwrap(), []);
    // Numbers are not given twice.
    store.record_event(open(9_001, 1)).await.unwrap();
    assert_eq!(store.recent_events(1).await.unwrap()[0].seq, 6);
}

async fn a_purge_goes_in_small_steps(store: &dyn Store) {
    for n in 1..=25 {
        store.record_event(open(n, n)).await.unwrap();
    }
    let (gone, steps) = purged(store, keep(21, 21, 21), 10).await;
    assert_eq!((gone.events, gone.messages), (20, 20));
    assert_eq!(steps, 4);
}

async fn an_address_is_traced_and_forgotten(store: &dyn Store) {
    let mut named = to_two(1);
    named.subject = Some("For bo@example.net and jimbo@example.net".to_owned());
    named.links.push(link(2, "https://a.example/?m=Bo%40example.net", None));
    named.recipients[0].reply = "<bo@example.net> ok".to_owned();
    store.record_message(named).await.unwrap();
    store
        .record_message(MessageRecord {
            recipients: vec![recipient(0, "kim@example.net", 250)],
            ..message(2)
        })
        .await
        .unwrap();
    let (own, others) = (open(1, 1), to_kim(open(2, 1)));
    for event in [&own, &click(3, 1, 0), &others] {
        store.record_event(event.clone()).await.unwrap();
    }
    store.record_last_open(LastOpen { message: id(1), recipient: Some(0), day: moment(0) }).await.unwrap();
    assert!(store.traces("nobody@example.net").await.unwrap().is_nothing());

    let traces = store.traces("BO@example.net").await.unwrap();
    let (of, number) = (traces.messages[0].id, traces.messages[0].recipient);
    assert_eq!((traces.messages.len(), of, number), (1, id(1), 0));
    assert_eq!(traces.events.len(), 2);
    assert_eq!(traces.last_opens.len(), 1);
    let mut places: Vec<_> = traces.named.iter().map(|at| (at.table.as_str(), at.column.as_str())).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        [("link", "href"), ("link", "target"), ("message", "subject"), ("recipient", "reply")]
    );
    assert!(!traces.refused);

    assert_eq!(store.forget("bo@example.net").await.unwrap(), traces, "it tells what it touched");
    assert!(store.traces("bo@example.net").await.unwrap().is_nothing());
    assert_eq!(seqs(store).await, [others]);
    let record = store.message(id(1)).await.unwrap().unwrap().record;
    assert_eq!(record.subject.as_deref(), Some("For (forgotten) and jimbo@example.net"));
    assert_eq!(record.recipients[0].address, "(forgotten)");
    assert_eq!(record.recipients[1].address, "kim@example.net");
    assert_eq!(counts(store, 1).await, (2, 1));
    // Its tokens record nothing more, and the others' do.
    store.record_event(open(7, 1)).await.unwrap();
    store.record_event(to_kim(open(8, 1))).await.unwrap();
    assert_eq!(seqs(store).await.len(), 2);
    // To forget is not to refuse.
    assert_eq!(store.refused(vec!["bo@example.net".to_owned()]).await.unwrap(), [false]);
    assert!(store.forget("bo@example.net").await.unwrap().is_nothing());
}
