//! Whatever is done in whatever order, the queue holds what a map in memory would.

use std::collections::BTreeMap;
use std::sync::Arc;

use envelope::Timestamp;
use proptest::prelude::*;

use crate::samples::{id, moment, queued, queued_recipient};
use crate::{
    NewMessage, Queue, QueueCounts, QueueState, QueuedMessage, RecipientOutcome, RecipientState, SqliteQueue,
    StoreError,
};

#[derive(Clone, Debug)]
enum Step {
    Put { n: u32, sender: u8, due_at: [u32; 2], large: bool },
    Settle { n: u32, outcomes: Vec<(u16, RecipientState, u32)>, notification: Option<u32> },
    SetAside(u32),
    DelayTold(u32, Option<u32>),
    Retry(u32, u32),
    Hold(u32),
    Release(u32),
    Delete(u32),
    Flush(u32),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0_u32..6;
    let time = || 0_u32..100;
    let state = prop_oneof![
        3 => Just(RecipientState::Waiting),
        2 => Just(RecipientState::HandedOn),
        1 => Just(RecipientState::Failed),
    ];
    let outcomes = prop::collection::vec((0_u16..3, state, time()), 0..3);
    let notification = || prop::option::weighted(0.3, 6_u32..9);
    prop_oneof![
        6 => (0_u32..9, 0_u8..3, [time(), time()], prop::bool::weighted(0.05))
            .prop_map(|(n, sender, due_at, large)| Step::Put { n, sender, due_at, large }),
        4 => (n(), outcomes, notification())
            .prop_map(|(n, outcomes, notification)| Step::Settle { n, outcomes, notification }),
        1 => n().prop_map(Step::SetAside),
        1 => (n(), notification()).prop_map(|(n, notification)| Step::DelayTold(n, notification)),
        1 => (n(), time()).prop_map(|(n, now)| Step::Retry(n, now)),
        1 => n().prop_map(Step::Hold),
        1 => n().prop_map(Step::Release),
        1 => n().prop_map(Step::Delete),
        1 => time().prop_map(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

/// The queue as the trait describes it.
#[derive(Default)]
struct Model(BTreeMap<u32, NewMessage>);

impl Model {
    fn message(&mut self, n: u32) -> Option<&mut QueuedMessage> {
        self.0.get_mut(&n).map(|new| &mut new.message)
    }

    fn put(&mut self, n: u32, new: NewMessage) {
        self.0.entry(n).or_insert(new);
    }

    fn settle(&mut self, n: u32, outcomes: &[RecipientOutcome], notification: Option<(u32, NewMessage)>) {
        let Some(message) = self.message(n) else { return };
        for outcome in outcomes {
            for recipient in &mut message.recipients {
                if recipient.index == outcome.index && recipient.state == RecipientState::Waiting {
                    recipient.state = outcome.state;
                    recipient.due_at = outcome.due_at;
                    recipient.code = outcome.code;
                    recipient.reply.clone_from(&outcome.reply);
                    recipient.attempts += 1;
                }
            }
        }
        if earliest(message).is_none() {
            self.0.remove(&n);
        }
        if let Some((n, new)) = notification {
            self.put(n, new);
        }
    }

    fn retry(&mut self, n: u32, now: Timestamp) -> bool {
        let Some(message) = self.message(n) else { return false };
        for recipient in &mut message.recipients {
            if recipient.state == RecipientState::Waiting {
                recipient.due_at = recipient.due_at.min(now);
            }
        }
        true
    }

    fn counts(&self) -> QueueCounts {
        let mut counts = QueueCounts::default();
        for new in self.0.values() {
            counts.octets += new.message.octets;
            match new.message.state {
                QueueState::Waiting => counts.waiting += 1,
                QueueState::Held => counts.held += 1,
                QueueState::SetAside(_) => counts.set_aside += 1,
            }
        }
        counts
    }
}

fn earliest(message: &QueuedMessage) -> Option<Timestamp> {
    let waiting = message.recipients.iter().filter(|one| one.state == RecipientState::Waiting);
    waiting.map(|one| one.due_at).min()
}

fn new_message(n: u32, sender: u8, due_at: [u32; 2], large: bool) -> NewMessage {
    let mut new = queued(n, ["ana", "bo", "cy"][usize::from(sender)], moment(due_at[0]));
    new.message.recipients.push(queued_recipient(1, "cy@example.net", moment(due_at[1])));
    if large {
        new.content = Arc::new(vec![b'x'; 1_000_001]);
        new.message.octets = 1_000_001;
    }
    new
}

async fn play(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let mut queue = SqliteQueue::open(folder.path(), 0).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Put { n, sender, due_at, large } => {
                let new = new_message(n, sender, due_at, large);
                queue.put(new.clone()).await.unwrap();
                model.put(n, new);
            }
            Step::Settle { n, outcomes, notification } => {
                let outcomes: Vec<_> = outcomes
                    .into_iter()
                    .map(|(index, state, due_at)| crate::samples::outcome(index, state, moment(due_at)))
                    .collect();
                let notification = notification.map(|n| (n, new_message(n, 0, [1, 2], false)));
                let told = notification.iter().map(|(_, new)| new.clone()).collect();
                queue.settle(id(n), outcomes.clone(), told).await.unwrap();
                model.settle(n, &outcomes, notification);
            }
            Step::SetAside(n) => {
                queue.set_aside(id(n), "why").await.unwrap();
                if let Some(message) = model.message(n) {
                    message.state = QueueState::SetAside("why".to_owned());
                }
            }
            Step::DelayTold(n, notification) => {
                let notification = notification.map(|n| (n, new_message(n, 0, [1, 2], false)));
                let told = notification.iter().map(|(_, new)| new.clone()).collect();
                queue.delay_told(id(n), told).await.unwrap();
                if let Some(message) = model.message(n) {
                    message.delay_told = true;
                    if let Some((n, new)) = notification {
                        model.put(n, new);
                    }
                }
            }
            Step::Retry(n, now) => {
                prop_assert_eq!(queue.retry(id(n), moment(now)).await.unwrap(), model.retry(n, moment(now)));
            }
            Step::Hold(n) | Step::Release(n) => {
                let holds = matches!(step, Step::Hold(_));
                let found = if holds { queue.hold(id(n)).await } else { queue.release(id(n)).await };
                prop_assert_eq!(found.unwrap(), model.0.contains_key(&n));
                if let Some(message) = model.message(n)
                    && !matches!(message.state, QueueState::SetAside(_))
                {
                    message.state = if holds { QueueState::Held } else { QueueState::Waiting };
                }
            }
            Step::Delete(n) => {
                prop_assert_eq!(queue.delete(id(n)).await.unwrap(), model.0.remove(&n).is_some());
            }
            Step::Flush(now) => {
                let waiting: Vec<u32> = model
                    .0
                    .iter()
                    .filter(|(_, new)| new.message.state == QueueState::Waiting)
                    .map(|(n, _)| *n)
                    .collect();
                prop_assert_eq!(queue.flush(moment(now)).await.unwrap(), waiting.len() as u64);
                for n in waiting {
                    model.retry(n, moment(now));
                }
            }
            Step::Reopen => {
                queue.close().await;
                queue = SqliteQueue::open(folder.path(), 0).unwrap();
            }
        }
        same(&queue, &model).await?;
    }
    queue.close().await;
    let bodies = std::fs::read_dir(folder.path().join("bodies")).unwrap().count();
    let aside = std::fs::read_dir(folder.path().join("damaged")).unwrap().count();
    let large = model.0.values().filter(|new| new.message.octets > 1_000_000).count();
    prop_assert_eq!(bodies + aside, large, "a file for each large content, and no other");
    Ok(())
}

async fn same(queue: &SqliteQueue, model: &Model) -> Result<(), TestCaseError> {
    let mut expected: Vec<_> = model.0.values().map(|new| new.message.clone()).collect();
    expected.sort_by_key(|message| message.id);
    prop_assert_eq!(&queue.messages(None, 99).await.unwrap(), &expected);
    prop_assert_eq!(queue.counts().await.unwrap(), model.counts());
    let due_at = |message: &QueuedMessage| earliest(message).filter(|_| message.state == QueueState::Waiting);
    prop_assert_eq!(queue.next_due().await.unwrap(), expected.iter().filter_map(due_at).min());
    let now = moment(50);
    let mut due: Vec<_> =
        expected.iter().filter(|message| due_at(message).is_some_and(|at| at <= now)).cloned().collect();
    let mut found = queue.due(now, 99, &[]).await.unwrap();
    for sender in ["ana", "bo", "cy"] {
        let times: Vec<_> = found.iter().filter(|message| message.sender == sender).map(&due_at).collect();
        prop_assert!(times.is_sorted(), "of each sender the longest due first: {:?}", times);
    }
    found.sort_by_key(|message| message.id);
    due.sort_by_key(|message| message.id);
    prop_assert_eq!(found, due);
    for (n, new) in &model.0 {
        prop_assert!(queue.content(id(*n)).await.unwrap() == *new.content);
    }
    for n in (0..9).filter(|n| !model.0.contains_key(n)) {
        let gone = matches!(queue.content(id(n)).await, Err(StoreError::NotQueued { .. }));
        prop_assert!(gone);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_queue_holds_what_a_map_would(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps))?;
    }
}
