//! What every backend must do, in cases that know nothing of the backend.

use std::sync::Arc;
use std::time::Duration;

use envelope::Choice;
use verdict::Verdict;

use crate::samples::{click, id, judgement, link, message, moment, open, recipient};
use crate::{
    AppPassword, Event, MOST_APP_PASSWORDS, MessageFilter, MessageOutcome, MessageSummary, RecipientAnswer,
    SavedChoice, SenderRecord, Store, StoreError,
};

/// Runs every case, each on an empty store that `fresh` gives.
pub(crate) async fn holds(fresh: impl AsyncFn() -> Arc<dyn Store>) {
    an_empty_store_knows_nothing(&*fresh().await).await;
    a_message_reads_back_as_it_was_written(&*fresh().await).await;
    a_message_is_written_over_by_its_id(&*fresh().await).await;
    what_came_of_a_message_is_written_into_its_record(&*fresh().await).await;
    messages_are_listed_newest_first(&*fresh().await).await;
    an_event_reads_back_with_its_message(&*fresh().await).await;
    an_event_counts_once(&*fresh().await).await;
    an_event_of_an_unknown_message_is_kept(&*fresh().await).await;
    people_and_machines_are_counted_apart(&*fresh().await).await;
    events_are_read_in_order(&*fresh().await).await;
    the_newest_event_is_announced(&*fresh().await).await;
    a_choice_is_saved(&*fresh().await).await;
    a_sender_is_found_by_every_address(&*fresh().await).await;
    an_address_is_one_senders_only(&*fresh().await).await;
    app_passwords_are_kept_by_sender_and_label(&*fresh().await).await;
    no_text_is_too_odd(&*fresh().await).await;
    writers_at_once_do_not_disturb_each_other(fresh().await).await;
    crate::feedback::conformance::holds(&fresh).await;
    crate::submissions::conformance::holds(&fresh).await;
    crate::revocation::conformance::holds(&fresh).await;
    crate::suppression::conformance::holds(&fresh).await;
    crate::api_token::conformance::holds(&fresh).await;
    crate::settling::conformance::holds(&fresh).await;
    crate::privacy::conformance::holds(&fresh).await;
}

async fn an_empty_store_knows_nothing(store: &dyn Store) {
    assert_eq!(store.message(id(1)).await.unwrap(), None);
    assert_eq!(store.messages(MessageFilter::default()).await.unwrap(), []);
    assert_eq!(store.recent_events(10).await.unwrap(), []);
    assert_eq!(store.events_after(0, 10).await.unwrap(), []);
    assert_eq!(store.events_of(id(1)).await.unwrap(), []);
    assert_eq!(store.saved_choice("ana@example.com").await.unwrap(), None);
    assert_eq!(store.sender("ana@example.com").await.unwrap(), None);
    assert_eq!(store.senders().await.unwrap(), []);
    assert_eq!(*store.committed().borrow(), 0);
}

async fn a_message_reads_back_as_it_was_written(store: &dyn Store) {
    let mut bare = message(2);
    (bare.from, bare.subject, bare.message_id) = (None, None, None);
    (bare.reasons, bare.parts, bare.recipients, bare.links) = (vec![], vec![], vec![], vec![]);
    (bare.octets_in, bare.took_ms, bare.code, bare.links_tracked) =
        (u64::from(u32::MAX) + 1, 7, 599, u16::MAX);
    for record in [message(1), bare] {
        store.record_message(record.clone()).await.unwrap();
        let summary = store.message(record.id).await.unwrap().unwrap();
        assert_eq!(summary, untouched(record));
    }
}

async fn what_came_of_a_message_is_written_into_its_record(store: &dyn Store) {
    let outcome = |n| MessageOutcome {
        id: id(n),
        recipients: vec![RecipientAnswer { index: 1, code: 550, reply: "5.1.1 No".into() }],
        reply: Some((451, "later".into(), moment(1).plus(Duration::from_secs(2)))),
    };
    store.record_outcome(outcome(1)).await.unwrap();
    assert_eq!(store.message(id(1)).await.unwrap(), None, "nothing of one that is not there");

    let mut record = message(1);
    record.accepted_at = moment(1);
    record.recipients = vec![recipient(0, "a@b.example", 250), recipient(1, "c@d.example", 250)];
    for other in [record.clone(), message(2)] {
        store.record_message(other).await.unwrap();
    }
    store.record_outcome(outcome(1)).await.unwrap();
    (record.code, record.reply, record.took_ms) = (451, "later".into(), 2_000);
    (record.recipients[1].code, record.recipients[1].reply) = (550, "5.1.1 No".into());
    assert_eq!(store.message(id(1)).await.unwrap().unwrap(), untouched(record.clone()));
    assert_eq!(store.message(id(2)).await.unwrap().unwrap(), untouched(message(2)));

    store.record_outcome(MessageOutcome { id: id(1), recipients: vec![], reply: None }).await.unwrap();
    assert_eq!(store.message(id(1)).await.unwrap().unwrap(), untouched(record));
}

fn untouched(record: crate::MessageRecord) -> MessageSummary {
    MessageSummary {
        record,
        opens_by_people: 0,
        opens_by_machines: 0,
        clicks_by_people: 0,
        clicks_by_machines: 0,
        feedback: vec![],
    }
}

async fn a_message_is_written_over_by_its_id(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    store.record_event(open(1, 1)).await.unwrap();
    let mut outcome = message(1);
    (outcome.code, outcome.reply, outcome.took_ms) = (250, "2.0.0 Taken".to_owned(), 31);
    outcome.recipients = vec![recipient(0, "BO@example.net", 250)];
    outcome.links = vec![link(0, "https://other.example/", None)];
    outcome.reasons.clear();
    for _ in 0..2 {
        store.record_message(outcome.clone()).await.unwrap();
        let summary = store.message(id(1)).await.unwrap().unwrap();
        assert_eq!(summary.record, outcome);
        assert_eq!(summary.opens_by_people, 1, "what came of it stays");
    }
}

async fn messages_are_listed_newest_first(store: &dyn Store) {
    for n in [3, 1, 4, 2] {
        let sender = if n == 2 { "BO@example.com" } else { "ana@example.com" };
        store.record_message(crate::MessageRecord { sender: sender.to_owned(), ..message(n) }).await.unwrap();
    }
    let all = MessageFilter::default();
    let ana = MessageFilter { sender: Some("ANA@example.com".to_owned()), ..all.clone() };
    let bo = MessageFilter { sender: Some("bo@example.com".to_owned()), ..all.clone() };
    for (case, filter, expected) in [
        ("all", all.clone(), vec![4, 3, 2, 1]),
        ("the newest two", MessageFilter { limit: 2, ..all.clone() }, vec![4, 3]),
        ("the next two", MessageFilter { limit: 2, before: Some(id(3)), ..all.clone() }, vec![2, 1]),
        ("before the first", MessageFilter { before: Some(id(1)), ..all.clone() }, vec![]),
        ("none", MessageFilter { limit: 0, ..all.clone() }, vec![]),
        ("as many as can be", MessageFilter { limit: u32::MAX, ..all }, vec![4, 3, 2, 1]),
        ("one sender's", ana.clone(), vec![4, 3, 1]),
        ("one sender's, further on", MessageFilter { before: Some(id(4)), limit: 1, ..ana }, vec![3]),
        ("case does not count", bo, vec![2]),
    ] {
        let found = store.messages(filter).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|summary| summary.record.id).collect();
        assert_eq!(found, expected.into_iter().map(id).collect::<Vec<_>>(), "{case}");
    }
}

async fn an_event_reads_back_with_its_message(store: &dyn Store) {
    let evidence = r#"{"after_s":41,  "a":"ü"}"#.to_owned();
    let bare = Event { recipient: None, device: None, address: None, user_agent: None, ..open(3, 1) };
    let events = [open(1, 1), Event { evidence, ..click(2, 1, 1) }, bare, click(4, 1, 7)];
    store.record_message(message(1)).await.unwrap();
    for event in &events {
        store.record_event(event.clone()).await.unwrap();
    }
    let stored = store.events_of(id(1)).await.unwrap();
    assert_eq!(stored.iter().map(|stored| stored.event.clone()).collect::<Vec<_>>(), events);
    for stored in &stored {
        assert_eq!(stored.sender.as_deref(), Some("ana@example.com"));
        assert_eq!(stored.subject.as_deref(), Some("Grüße 🦀"));
        let address = stored.event.recipient.map(|_| "bo@example.net");
        assert_eq!(stored.recipient_address.as_deref(), address);
    }
    let targets: Vec<_> = stored.iter().map(|stored| stored.link_target.as_deref()).collect();
    assert_eq!(targets, [None, Some("https://b.example/?a=1&b=2"), None, None]);
    // The kept links' number is of no meaning.
    store.record_event(click(5, 1, u16::MAX)).await.unwrap();
    assert_eq!(store.events_of(id(1)).await.unwrap()[4].link_target, None);
}

async fn an_event_counts_once(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    for _ in 0..3 {
        store.record_event(open(1, 1)).await.unwrap();
    }
    // The first one stays, whatever comes under its id.
    store.record_event(Event { id: open(1, 1).id, ..click(1, 1, 0) }).await.unwrap();
    let events = store.events_after(0, 10).await.unwrap();
    assert_eq!(events.into_iter().map(|stored| stored.event).collect::<Vec<_>>(), [open(1, 1)]);
    let summary = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!((summary.opens_by_people, summary.clicks_by_people), (1, 0));
}

async fn an_event_of_an_unknown_message_is_kept(store: &dyn Store) {
    store.record_event(click(1, 9, 0)).await.unwrap();
    let stored = store.events_of(id(9)).await.unwrap().remove(0);
    assert_eq!(stored.event, click(1, 9, 0));
    assert_eq!((stored.sender, stored.subject), (None, None));
    assert_eq!((stored.recipient_address, stored.link_target), (None, None));
    assert_eq!(store.message(id(9)).await.unwrap(), None);
    assert_eq!(store.messages(MessageFilter::default()).await.unwrap(), []);
    // It may become known: the replay of a journal and the record of a message know no order.
    store.record_message(message(9)).await.unwrap();
    assert_eq!(store.message(id(9)).await.unwrap().unwrap().clicks_by_people, 1);
    let stored = store.events_of(id(9)).await.unwrap().remove(0);
    assert_eq!(stored.link_target.as_deref(), Some("https://a.example/"));
}

async fn people_and_machines_are_counted_apart(store: &dyn Store) {
    store.record_message(message(1)).await.unwrap();
    for (n, verdict) in Verdict::ALL.into_iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        store.record_event(Event { judgement: Some(judgement(verdict)), ..open(n, 1) }).await.unwrap();
    }
    for (n, verdict) in [(20, Verdict::Human), (21, Verdict::Scanner), (22, Verdict::Scanner)] {
        store.record_event(Event { judgement: Some(judgement(verdict)), ..click(n, 1, 0) }).await.unwrap();
    }
    let listed = store.messages(MessageFilter::default()).await.unwrap().remove(0);
    assert_eq!((listed.opens_by_people, listed.opens_by_machines), (2, 3), "oneself and unknown are neither");
    assert_eq!((listed.clicks_by_people, listed.clicks_by_machines), (1, 2));
    let verdicts =
        store.events_of(id(1)).await.unwrap().into_iter().filter_map(|stored| stored.event.judgement);
    assert_eq!(verdicts.take(7).map(|judged| judged.verdict).collect::<Vec<_>>(), Verdict::ALL);
}

async fn events_are_read_in_order(store: &dyn Store) {
    for n in 1..=5 {
        store.record_event(open(n, n % 2)).await.unwrap();
    }
    let numbers = |events: Vec<crate::StoredEvent>| -> Vec<i64> {
        events.into_iter().map(|stored| stored.event.at.unix_millis() - moment(0).unix_millis()).collect()
    };
    assert_eq!(numbers(store.recent_events(2).await.unwrap()), [4, 5]);
    assert_eq!(numbers(store.recent_events(u32::MAX).await.unwrap()), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(store.recent_events(0).await.unwrap()), [0; 0]);
    assert_eq!(numbers(store.events_of(id(1)).await.unwrap()), [1, 3, 5]);
    let mut after = 0;
    for expected in [&[1, 2][..], &[3, 4], &[5], &[]] {
        let page = store.events_after(after, 2).await.unwrap();
        after = page.last().map_or(after, |stored| stored.seq);
        assert_eq!(numbers(page), expected);
    }
}

async fn the_newest_event_is_announced(store: &dyn Store) {
    let mut committed = store.committed();
    store.record_event(open(1, 1)).await.unwrap();
    committed.changed().await.unwrap();
    let seq = *committed.borrow_and_update();
    assert_eq!(store.events_after(seq - 1, 10).await.unwrap().len(), 1);
    // Nothing new, nothing said.
    store.record_event(open(1, 1)).await.unwrap();
    store.record_message(message(1)).await.unwrap();
    assert!(!committed.has_changed().unwrap());
    store.record_event(open(2, 1)).await.unwrap();
    assert!(*store.committed().borrow() > seq);
}

async fn a_choice_is_saved(store: &dyn Store) {
    let ana = "ana@example.com";
    store.save_choice(ana, Choice::BOTH, Some(id(1)), moment(5)).await.unwrap();
    // The later call wins, also when the clock went back.
    store.save_choice("ANA@example.com", Choice::NONE, None, moment(4)).await.unwrap();
    let saved = SavedChoice { choice: Choice::NONE, by: None, at: moment(4) };
    assert_eq!(store.saved_choice("Ana@Example.com").await.unwrap(), Some(saved));
    assert_eq!(store.saved_choice("an@example.com").await.unwrap(), None);
    let opens = Choice { opens: true, links: false };
    store.save_choice(ana, opens, Some(id(2)), moment(6)).await.unwrap();
    let saved = SavedChoice { choice: opens, by: Some(id(2)), at: moment(6) };
    assert_eq!(store.saved_choice(ana).await.unwrap(), Some(saved));
}

fn sender(address: &str, aliases: &[&str]) -> SenderRecord {
    SenderRecord {
        address: address.to_owned(),
        aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        password_hash: Some("$argon2id$v=19$…".to_owned()),
        disabled: false,
    }
}

async fn a_sender_is_found_by_every_address(store: &dyn Store) {
    let ana = sender("ana@example.com", &["a@example.com", "Ana.B@example.org"]);
    let bo = SenderRecord { password_hash: None, disabled: true, ..sender("Bo@example.com", &[]) };
    store.save_sender(bo.clone()).await.unwrap();
    store.save_sender(ana.clone()).await.unwrap();
    for login in ["ana@example.com", "ANA@EXAMPLE.COM", "a@example.com", "ana.b@example.org"] {
        assert_eq!(store.sender(login).await.unwrap(), Some(ana.clone()), "{login}");
    }
    assert_eq!(store.sender("bo@example.com").await.unwrap(), Some(bo.clone()));
    for nobody in ["", "ana", "ana@example.com ", "%", "_na@example.com"] {
        assert_eq!(store.sender(nobody).await.unwrap(), None, "{nobody:?}");
    }
    assert_eq!(store.senders().await.unwrap(), [ana, bo.clone()]);
    // Over what was known: the aliases of before are free again.
    let changed = SenderRecord { password_hash: None, ..sender("ANA@example.com", &["new@example.com"]) };
    for _ in 0..2 {
        store.save_sender(changed.clone()).await.unwrap();
        assert_eq!(store.senders().await.unwrap(), [changed.clone(), bo.clone()]);
    }
    assert_eq!(store.sender("a@example.com").await.unwrap(), None);
    store.save_sender(sender("a@example.com", &[])).await.unwrap();
}

async fn an_address_is_one_senders_only(store: &dyn Store) {
    let ana = sender("ana@example.com", &["a@example.com"]);
    store.save_sender(ana.clone()).await.unwrap();
    for (case, refused, taken) in [
        ("an alias as login", sender("A@example.com", &[]), "A@example.com"),
        ("an alias as alias", sender("bo@example.com", &["b@example.com", "a@example.com"]), "a@example.com"),
        ("a login as alias", sender("bo@example.com", &["Ana@example.com"]), "Ana@example.com"),
    ] {
        match store.save_sender(refused).await {
            Err(StoreError::AddressTaken { address, owner }) => {
                assert_eq!((address.as_str(), owner.as_str()), (taken, "ana@example.com"), "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(store.senders().await.unwrap(), std::slice::from_ref(&ana), "{case}: nothing was changed");
    }
    // One's own twice is no quarrel.
    let again = sender("ana@example.com", &["a@example.com", "A@EXAMPLE.com", "ana@example.com"]);
    store.save_sender(again).await.unwrap();
    assert_eq!(store.sender("ana@example.com").await.unwrap(), Some(ana));
}

async fn app_passwords_are_kept_by_sender_and_label(store: &dyn Store) {
    let password = |sender: &str, label: &str, n: u8| AppPassword {
        sender: sender.to_owned(),
        label: label.to_owned(),
        key: [n; 32],
        hash: [n + 1; 32],
        made_at: moment(u32::from(n)),
    };
    // Nobody in the store is called so: the configuration file has senders too.
    let (phone, desk) = (password("ana@example.com", "phone", 1), password("Ana@example.com", "desk", 2));
    for password in [&desk, &phone, &password("bo@example.com", "phone", 3)] {
        store.save_app_password(password.clone()).await.unwrap();
    }
    assert_eq!(store.app_passwords("ANA@example.com").await.unwrap(), [phone, desk.clone()]);
    assert_eq!(store.app_passwords("an_@example.com").await.unwrap(), []);
    let again = password("ana@example.com", "Phone", 5);
    store.save_app_password(again.clone()).await.unwrap();
    let kept = store.app_passwords("ana@example.com").await.unwrap();
    assert_eq!(kept, [desk.clone(), AppPassword { sender: "ana@example.com".to_owned(), ..again }]);
    for _ in 0..2 {
        store.remove_app_password("ANA@example.com", "PHONE").await.unwrap();
        assert_eq!(store.app_passwords("ana@example.com").await.unwrap(), std::slice::from_ref(&desk));
    }
    assert_eq!(store.app_passwords("bo@example.com").await.unwrap().len(), 1);
    for n in 0..u8::try_from(MOST_APP_PASSWORDS).unwrap() + 10 {
        store.save_app_password(password("eve@example.com", &n.to_string(), n)).await.unwrap();
    }
    let most = MOST_APP_PASSWORDS as usize;
    assert_eq!(store.app_passwords("eve@example.com").await.unwrap().len(), most);
}

async fn no_text_is_too_odd(store: &dyn Store) {
    for (n, text) in ["", "'; DROP TABLE event; --", "a\0b", "\u{feff}\u{202e}\n\r", &"ü".repeat(100_000)]
        .into_iter()
        .enumerate()
    {
        let n = u32::try_from(n).unwrap() + 1;
        let mut record = message(n);
        (record.sender, record.subject) = (text.to_owned(), Some(text.to_owned()));
        record.recipients[0].address = text.to_owned();
        record.links[0].target = Some(text.to_owned());
        store.record_message(record.clone()).await.unwrap();
        assert_eq!(store.message(id(n)).await.unwrap().unwrap().record, record);
        let mut event = click(n, n, 0);
        (event.device, event.user_agent, event.address) =
            (Some(text.into()), Some(text.into()), Some(text.into()));
        (event.evidence, event.place) = (text.to_owned(), Some(text.to_owned()));
        let judged = event.judgement.as_mut().unwrap();
        (judged.rules, judged.reasons) = (text.to_owned(), vec![text.to_owned()]);
        store.record_event(event.clone()).await.unwrap();
        let stored = store.events_of(id(n)).await.unwrap().remove(0);
        assert_eq!(stored.event, event);
        assert_eq!(stored.link_target.as_deref(), Some(text));
    }
}

async fn writers_at_once_do_not_disturb_each_other(store: Arc<dyn Store>) {
    const WRITERS: u32 = 64;
    const EACH: u32 = 20;
    store.record_message(message(1)).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                // Every event is recorded by two of them.
                store.record_event(open((writer / 2) * EACH + n, 1)).await.unwrap();
                store.save_choice("ana@example.com", Choice::BOTH, None, moment(n)).await.unwrap();
            }
        });
    }
    let reader = tokio::spawn({
        let store = store.clone();
        async move {
            let mut seen = 0;
            while seen < (WRITERS / 2 * EACH) as usize {
                let summary = store.message(id(1)).await.unwrap().unwrap();
                let events = store.events_of(id(1)).await.unwrap();
                assert!(events.len() as u64 >= summary.opens_by_people, "nothing half done is seen");
                assert!(events.len() >= seen, "nothing seen goes away");
                assert!(events.is_sorted_by(|one, next| one.seq < next.seq));
                seen = events.len();
            }
        }
    });
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    reader.await.unwrap();
    let summary = store.message(id(1)).await.unwrap().unwrap();
    assert_eq!(summary.opens_by_people, u64::from(WRITERS / 2 * EACH));
}
