//! What every backend must do with verdicts that come later.

use std::time::Duration;

use verdict::Verdict;

use crate::samples::{click, id, judgement, message, moment, open, verdict_on};
use crate::{Event, EventKind, EvidenceRule, Settlement, Store, StoredEvent};

pub(crate) async fn holds(fresh: &impl AsyncFn() -> std::sync::Arc<dyn Store>) {
    a_later_verdict_holds_and_moves_the_count(&*fresh().await).await;
    what_the_sender_says_stands(&*fresh().await).await;
    order_does_not_matter(&*fresh().await).await;
    every_kind_is_in_one_log(&*fresh().await).await;
    events_settle_in_their_order(&*fresh().await).await;
    evidence_is_kept_as_long_as_told(&*fresh().await).await;
}

async fn counts(store: &dyn Store) -> (u64, u64, u64, u64) {
    let found = store.message(id(1)).await.unwrap().unwrap();
    (found.opens_by_people, found.opens_by_machines, found.clicks_by_people, found.clicks_by_machines)
}

fn upto(seq: i64) -> Settlement {
    Settlement { upto: seq, ..Settlement::default() }
}

async fn the(store: &dyn Store, event: &Event) -> StoredEvent {
    store.event(event.id).await.unwrap().unwrap()
}

async fn a_later_verdict_holds_and_moves_the_count(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    let (open, click) = (open(1, 1), click(2, 1, 0));
    for event in [&open, &click] {
        store.record_event(event.clone()).await.unwrap();
    }
    assert_eq!(counts(store).await, (1, 0, 1, 0));
    let scanner = verdict_on(1, &open, Verdict::Scanner);
    for _ in 0..2 {
        store.record_event(scanner.clone()).await.unwrap();
        assert_eq!(counts(store).await, (0, 1, 1, 0));
        let found = the(store, &open).await;
        assert_eq!(found.event, Event { judgement: Some(judgement(Verdict::Scanner)), ..open.clone() });
        assert_eq!(found.first_judgement, open.judgement);
        assert!(!found.corrected);
    }
    // The same judgement again is no news, whatever its id.
    store.record_event(verdict_on(2, &open, Verdict::Scanner)).await.unwrap();
    assert_eq!(store.events_after(0, 9).await.unwrap().len(), 3);
    for (n, verdict, expected) in [
        (3, Verdict::Unknown, (0, 0, 1, 0)),
        (4, Verdict::Proxied, (1, 0, 1, 0)),
        (5, Verdict::Human, (1, 0, 1, 0)),
    ] {
        store.record_event(verdict_on(n, &open, verdict)).await.unwrap();
        assert_eq!(counts(store).await, expected, "{verdict}");
    }
    let found = the(store, &open).await;
    assert_eq!((found.event, found.first_judgement), (open, None), "as at first");
    assert_eq!(the(store, &scanner).await.event, scanner);
}

async fn what_the_sender_says_stands(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    let click = click(1, 1, 0);
    store.record_event(click.clone()).await.unwrap();
    let correction = |n, verdict| Event { kind: EventKind::Correction, ..verdict_on(n, &click, verdict) };
    store.record_event(correction(1, Verdict::Oneself)).await.unwrap();
    assert_eq!(counts(store).await, (0, 0, 0, 0));
    store.record_event(verdict_on(2, &click, Verdict::Scanner)).await.unwrap();
    let found = the(store, &click).await;
    assert_eq!(found.event.judgement, Some(judgement(Verdict::Oneself)));
    assert!(found.corrected);
    // Of two corrections the later stands, also one that says what the rules had said.
    store.record_event(correction(3, Verdict::Human)).await.unwrap();
    assert_eq!(counts(store).await, (0, 0, 1, 0));
    store.record_event(correction(4, Verdict::Human)).await.unwrap();
    store.record_event(verdict_on(5, &click, Verdict::Scanner)).await.unwrap();
    let found = the(store, &click).await;
    assert_eq!((found.event, found.corrected), (click, true));
    assert_eq!(store.events_of(id(1)).await.unwrap().len(), 3);
}

async fn order_does_not_matter(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    let open = open(1, 1);
    store.record_event(verdict_on(1, &open, Verdict::Scanner)).await.unwrap();
    let correction = Event { kind: EventKind::Correction, ..verdict_on(2, &open, Verdict::Oneself) };
    store.record_event(correction.clone()).await.unwrap();
    assert_eq!(the(store, &correction).await.event.about, Some(open.id));
    assert_eq!(counts(store).await, (0, 0, 0, 0));
    store.record_event(open.clone()).await.unwrap();
    let found = the(store, &open).await;
    assert_eq!(found.event.judgement, Some(judgement(Verdict::Oneself)));
    assert_eq!((found.first_judgement, found.corrected), (open.judgement, true));
    assert_eq!(counts(store).await, (0, 0, 0, 0));
    assert_eq!(the(store, &correction).await.event.about, Some(open.id));
}

async fn every_kind_is_in_one_log(store: &dyn Store) {
    for (n, kind) in (1..).zip(EventKind::ALL) {
        let event = Event {
            kind,
            judgement: None,
            evidence: r#"{"status":"5.1.1"}"#.to_owned(),
            place: Some("Ghent, BE".to_owned()),
            ..open(n, 1)
        };
        store.record_event(event.clone()).await.unwrap();
        assert_eq!(store.events_after(0, 99).await.unwrap().pop().unwrap().event, event);
    }
    assert_eq!(store.events_of(id(1)).await.unwrap().len(), EventKind::ALL.len());
}

async fn events_settle_in_their_order(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    for n in 1..=4 {
        store.record_event(open(n, 1)).await.unwrap();
    }
    let seqs: Vec<i64> = store.recent_events(9).await.unwrap().iter().map(|event| event.seq).collect();
    assert_eq!(store.settled_after(0, 9).await.unwrap(), []);
    let (mut settled, mut committed) = (store.settled(), store.committed());
    assert_eq!(*settled.borrow_and_update(), 0);
    let verdict = verdict_on(1, &open(1, 1), Verdict::Scanner);
    for _ in 0..2 {
        store.settle(Settlement { verdicts: vec![verdict.clone()], ..upto(seqs[1]) }).await.unwrap();
        assert_eq!(*settled.borrow_and_update(), seqs[1]);
        let found = store.settled_after(0, 9).await.unwrap();
        assert_eq!(found.iter().map(|event| event.seq).collect::<Vec<_>>(), seqs[..2]);
        assert!(found.iter().all(|event| event.settled));
        assert_eq!(counts(store).await, (3, 1, 0, 0));
    }
    assert!(*committed.borrow_and_update() > seqs[3], "the verdict is an event");
    assert!(!store.event(open(3, 1).id).await.unwrap().unwrap().settled);
    store.settle(upto(seqs[0])).await.unwrap();
    assert_eq!(*settled.borrow(), seqs[1], "it never goes back");
    assert_eq!(store.settled_after(seqs[0], 9).await.unwrap().len(), 1);
    store.settle(upto(seqs[3])).await.unwrap();
    assert_eq!(store.settled_after(seqs[1], 1).await.unwrap()[0].seq, seqs[2]);
    let page = store.events_of_before(id(1), seqs[3], 2).await.unwrap();
    assert_eq!(page.iter().map(|event| event.seq).collect::<Vec<_>>(), seqs[1..3]);
}

async fn evidence_is_kept_as_long_as_told(store: &dyn Store) {
    let hit = |n| Event { evidence: r#"{"method":"GET"}"#.to_owned(), ..open(n, 1) };
    for n in 1..=3 {
        store.record_event(hit(n)).await.unwrap();
    }
    let seqs: Vec<i64> = store.recent_events(9).await.unwrap().iter().map(|event| event.seq).collect();
    let with_evidence = async || {
        let found = store.hits_with_evidence(0, 9).await.unwrap();
        found.into_iter().map(|stored| stored.seq).collect::<Vec<_>>()
    };
    store.settle(upto(seqs[0])).await.unwrap();
    assert_eq!(the(store, &hit(1)).await.event.evidence, "{}");
    assert_eq!(with_evidence().await, seqs[1..]);
    assert_eq!(store.hits_with_evidence(seqs[1], 1).await.unwrap()[0].event, hit(3));
    let learnt = vec![(seqs[1], r#"{"method":"HEAD"}"#.to_owned())];
    let evidence = EvidenceRule::KeepFor(Duration::from_secs(10));
    store.settle(Settlement { evidence, learnt: learnt.clone(), ..upto(seqs[1]) }).await.unwrap();
    assert_eq!(the(store, &hit(2)).await.event.evidence, learnt[0].1);
    store.drop_evidence(moment(10_001), 9).await.unwrap();
    assert_eq!(with_evidence().await, seqs[1..]);
    store.drop_evidence(moment(10_002), 9).await.unwrap();
    assert_eq!(with_evidence().await, seqs[2..], "what is not settled keeps its evidence");
    store
        .settle(Settlement { evidence: EvidenceRule::KeepFor(Duration::MAX), ..upto(seqs[2]) })
        .await
        .unwrap();
    store.drop_evidence(moment(u32::MAX), 9).await.unwrap();
    assert_eq!(with_evidence().await, seqs[2..]);
}
