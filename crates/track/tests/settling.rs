//! What is thought of a hit once all that belongs to it has arrived.
#![allow(clippy::unwrap_used)] // A test may, and so may its helpers.

mod site;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use envelope::{Choice, Clock, ManualClock, RelayId, Timestamp};
use seal::{Recipient, SELF_COOKIE, SelfCookie};
use site::{ACCEPTED, FIREFOX, Site, endpoint, keys, message, recorder};
use store::{
    ChoiceOrigin, Event, EventKind, EvidenceRule, LinkRecord, MessageRecord, RecipientRecord, Settling,
    SqliteStore, Store, StoredEvent, Submissions,
};
use tempfile::TempDir;
use verdict::{Rules, Verdict};
use waxseal_track::{
    Correction, CorrectionError, Deadlines, Endpoint, Reclassifier, Settler, Surroundings, correct,
};

const READER: &str = "203.0.113.77";
const SCANNER: &str = "198.51.100.20";
const SENDER: &str = "192.0.2.10";
/// As the rules say.
const WAIT: Duration = Duration::from_mins(1);

/// An installation: its store, its clock, its endpoint with a settler beside it.
struct House {
    folder: TempDir,
    store: SqliteStore,
    clock: Arc<ManualClock>,
    site: Site,
    settler: Settler,
}

impl House {
    async fn new() -> Self {
        Self::with(MessageRecord { ..sent("ana@example.com", &["bo@example.net"]) }, EvidenceRule::Drop).await
    }

    async fn with(record: MessageRecord, evidence: EvidenceRule) -> Self {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&folder.path().join("waxseal.db")).unwrap();
        store.record_message(record).await.unwrap();
        let clock = Arc::new(ManualClock::new(ACCEPTED.plus(Duration::from_mins(10))));
        Self::open(folder, store, clock, evidence).await
    }

    async fn open(
        folder: TempDir,
        store: SqliteStore,
        clock: Arc<ManualClock>,
        evidence: EvidenceRule,
    ) -> Self {
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let surroundings = Surroundings::new(shared.clone());
        let endpoint = Endpoint {
            surroundings: Some(surroundings.clone()),
            clock: clock.clone(),
            trusted_proxies: vec!["127.0.0.1".parse().unwrap()],
            deadlines: Deadlines { recording: site::PATIENCE, ..Deadlines::default() },
            ..endpoint(Some(recorder(shared.clone(), &place(folder.path()))))
        };
        let site = Site::start(endpoint).await;
        let rules = Arc::new(Rules::builtin());
        let settler = Settler::new(shared, surroundings, rules, clock.clone()).keeping(evidence);
        Self { folder, store, clock, site, settler }
    }

    /// Another process on the same store, which remembers nothing.
    async fn restarted(self) -> Self {
        self.site.stop().await;
        Self::open(self.folder, self.store, self.clock, EvidenceRule::Drop).await
    }

    fn later(&self, by: Duration) {
        self.clock.set(self.clock.now().plus(by));
    }

    async fn hit(&self, path: &str, fields: &[(&str, &str)]) -> Event {
        let answer = self.site.client().await.ask("GET", path, fields).await;
        assert!(matches!(answer.status(), 200 | 302), "{}", answer.head);
        self.newest().await.event
    }

    async fn newest(&self) -> StoredEvent {
        self.store.recent_events(1).await.unwrap().remove(0)
    }

    async fn click(&self, link: u16, from: &str) -> Event {
        self.hit(&link_path(message(), link), &browser(from)).await
    }

    async fn open_by(&self, from: &str) -> Event {
        self.hit(&pixel_path(), &image(from)).await
    }

    async fn settle(&mut self) {
        self.settler.settle_due().await.unwrap();
    }

    async fn now(&self, event: &Event) -> StoredEvent {
        self.store.event(event.id).await.unwrap().unwrap()
    }

    async fn verdict(&self, event: &Event) -> (Verdict, String) {
        let judged = self.now(event).await.event.judgement.unwrap();
        (judged.verdict, judged.reasons[0].clone())
    }

    async fn counts(&self) -> (u64, u64, u64, u64) {
        let found = self.store.message(message()).await.unwrap().unwrap();
        (found.opens_by_people, found.opens_by_machines, found.clicks_by_people, found.clicks_by_machines)
    }

    async fn events(&self, kind: EventKind) -> Vec<Event> {
        let all = self.store.events_after(0, 1_000).await.unwrap().into_iter().map(|stored| stored.event);
        all.filter(|event| event.kind == kind).collect()
    }
}

/// Each process has a journal of its own here.
fn place(folder: &Path) -> std::path::PathBuf {
    let number = std::fs::read_dir(folder).unwrap().count();
    folder.join(format!("process-{number}"))
}

fn pixel_path() -> String {
    format!("/o/{}", keys().seal_pixel(message(), Recipient::Index(0)))
}

fn link_path(message: RelayId, link: u16) -> String {
    let token = keys().seal_link(message, Recipient::Index(0), link, "https://example.com/").unwrap();
    format!("/c/{token}")
}

fn image(from: &str) -> Vec<(&str, &str)> {
    vec![
        ("User-Agent", FIREFOX),
        ("Accept", "image/avif,image/webp,*/*"),
        ("Accept-Language", "en"),
        ("X-Forwarded-For", from),
    ]
}

fn browser(from: &str) -> Vec<(&str, &str)> {
    vec![
        ("User-Agent", FIREFOX),
        ("Accept", "text/html,application/xhtml+xml"),
        ("Accept-Language", "en"),
        ("Accept-Encoding", "gzip"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Sec-Fetch-Dest", "document"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-User", "?1"),
        ("X-Forwarded-For", from),
        ("X-Forwarded-Proto", "https"),
    ]
}

fn sent(sender: &str, to: &[&str]) -> MessageRecord {
    let link = |index| LinkRecord {
        index,
        href: "https://example.com/".to_owned(),
        target: Some("https://example.com/".to_owned()),
        kept: None,
    };
    MessageRecord {
        id: message(),
        accepted_at: ACCEPTED,
        sender: sender.to_owned(),
        reverse_path: sender.to_owned(),
        from: None,
        subject: None,
        message_id: None,
        choice: Choice::BOTH,
        choice_origin: ChoiceOrigin::Header,
        pixel: true,
        links_tracked: 5,
        reasons: vec![],
        parts: vec![],
        recipients: (0..)
            .zip(to)
            .map(|(index, to)| RecipientRecord {
                index,
                address: (*to).to_owned(),
                code: 250,
                reply: String::new(),
            })
            .collect(),
        links: (0..5).map(link).collect(),
        upstream: "main".to_owned(),
        code: 250,
        reply: "OK".to_owned(),
        octets_in: 1,
        octets_out: 1,
        took_ms: 500,
    }
}

#[tokio::test]
async fn a_burst_folds_back_over_what_came_before_it() {
    for restart in [false, true] {
        let mut house = House::new().await;
        let person = house.open_by(READER).await;
        let open = house.open_by(SCANNER).await;
        house.later(Duration::from_secs(8));
        let first = house.click(0, SCANNER).await;
        assert_eq!(house.verdict(&open).await.0, Verdict::Human, "one cannot know yet");
        assert_eq!(house.verdict(&first).await.0, Verdict::Human, "one cannot know yet");
        house.later(Duration::from_millis(400));
        let second = house.click(1, SCANNER).await;
        assert_eq!(house.verdict(&second).await, (Verdict::Scanner, "burst".to_owned()));
        if restart {
            house = house.restarted().await;
        }

        house.later(Duration::from_secs(50));
        house.settle().await;
        assert!(!house.now(&person).await.settled);
        assert_eq!(house.counts().await, (2, 0, 1, 1), "nobody is told before");

        house.later(Duration::from_secs(10));
        house.settle().await;
        assert_eq!(house.verdict(&open).await, (Verdict::Scanner, "burst_source".to_owned()), "{restart}");
        assert_eq!(house.verdict(&first).await, (Verdict::Scanner, "burst".to_owned()), "{restart}");
        assert_eq!(house.verdict(&person).await.0, Verdict::Human, "another source");
        assert_eq!(house.counts().await, (1, 1, 0, 2));
        let changes = house.events(EventKind::Verdict).await;
        assert_eq!(
            changes.iter().map(|event| event.about).collect::<Vec<_>>(),
            [Some(open.id), Some(first.id)]
        );
        for event in [&person, &open, &first, &second] {
            let stored = house.now(event).await;
            assert!(stored.settled);
            assert_eq!(stored.event.evidence, "{}", "it has served");
        }
        // The changes are settled too, and nothing is said twice.
        house.settle().await;
        assert_eq!(house.events(EventKind::Verdict).await, changes);
        assert_eq!(house.store.settled_after(0, 99).await.unwrap().len(), 6);
    }
}

#[tokio::test]
async fn two_links_eight_seconds_apart_are_a_person() {
    let mut house = House::new().await;
    let first = house.click(0, READER).await;
    house.later(Duration::from_secs(8));
    let second = house.click(1, READER).await;
    house.later(WAIT);
    house.settle().await;
    for click in [first, second] {
        assert_eq!(house.verdict(&click).await.0, Verdict::Human);
    }
    assert_eq!(house.events(EventKind::Verdict).await, []);
}

#[tokio::test]
async fn a_hit_before_the_250_is_a_scanner() {
    let slow = MessageRecord { took_ms: 900_000, ..sent("ana@example.com", &["bo@example.net"]) };
    let mut unanswered = slow.clone();
    (unanswered.code, unanswered.took_ms) = (0, 0);
    // The provider's answer is recorded after the hit: that is how a hit comes before it.
    let house = House::with(unanswered, EvidenceRule::Drop).await;
    let click = house.click(0, READER).await;
    assert_eq!(house.verdict(&click).await.0, Verdict::Human);
    house.store.record_message(slow).await.unwrap();
    let mut house = house.restarted().await;
    house.later(WAIT);
    house.settle().await;
    assert_eq!(house.verdict(&click).await, (Verdict::Scanner, "before_accept".to_owned()));
}

#[tokio::test]
async fn the_sender_is_known() {
    let office = "203.0.113.200";
    for (case, record, from, cookie, expected) in [
        ("to oneself", sent("ana@example.com", &["Ana@example.com"]), READER, None, "recipient_is_sender"),
        (
            "from where one sends",
            sent("ana@example.com", &["bo@example.net"]),
            SENDER,
            None,
            "sender_network",
        ),
        (
            "a colleague may sit there",
            sent("ana@example.com", &["bo@example.com"]),
            SENDER,
            None,
            "shared_network",
        ),
        (
            "another sends from there",
            sent("ana@example.com", &["bo@example.net"]),
            office,
            None,
            "shared_network",
        ),
        (
            "signed in",
            sent("ana@example.com", &["bo@example.net"]),
            READER,
            Some("ana@example.com"),
            "self_cookie",
        ),
        (
            "another signed in",
            sent("ana@example.com", &["bo@example.net"]),
            READER,
            Some("eve@example.com"),
            "",
        ),
    ] {
        let house = House::with(record, EvidenceRule::Drop).await;
        for (sender, address) in
            [("ana@example.com", SENDER), ("ana@example.com", office), ("eve@example.com", office)]
        {
            house.store.record_submission(sender, address.parse().unwrap(), house.clock.now()).await.unwrap();
        }
        let cookie = cookie.map(|address| {
            let value = SelfCookie::new(&keys()).mint(address, i64::MAX).unwrap();
            format!("{SELF_COOKIE}={value}")
        });
        let mut fields = browser(from);
        fields.extend(cookie.as_deref().map(|cookie| ("Cookie", cookie)));
        let click = house.hit(&link_path(message(), 0), &fields).await;
        let (verdict, reason) = house.verdict(&click).await;
        let expected_verdict = match expected {
            "" => Verdict::Human,
            "shared_network" => Verdict::Unknown,
            _ => Verdict::Oneself,
        };
        assert_eq!(verdict, expected_verdict, "{case}");
        assert!(expected.is_empty() || reason == expected, "{case}: {reason}");
    }
}

#[tokio::test]
async fn a_click_tells_who_had_opened() {
    let mut house = House::new().await;
    // As soon as a scanner would come, and less than a browser says.
    house.clock.set(ACCEPTED.plus(Duration::from_secs(20)));
    let open = house.hit(&pixel_path(), &[("User-Agent", FIREFOX), ("X-Forwarded-For", READER)]).await;
    assert_eq!(house.verdict(&open).await.0, Verdict::Unknown);
    house.later(WAIT);
    house.settle().await;
    assert_eq!(house.verdict(&open).await.0, Verdict::Unknown);
    house.later(Duration::from_mins(5));
    let click = house.click(0, READER).await;
    assert_eq!(house.verdict(&click).await.0, Verdict::Human);
    house.later(WAIT);
    house.settle().await;
    assert_eq!(house.verdict(&open).await, (Verdict::Human, "later_click".to_owned()));
    assert_eq!(house.counts().await, (1, 0, 1, 0));
}

#[tokio::test]
async fn what_the_sender_says_stands_above_the_rules() {
    let mut house = House::with(
        sent("ana@example.com", &["bo@example.net"]),
        EvidenceRule::KeepFor(Duration::from_hours(24)),
    )
    .await;
    let click = house.click(0, READER).await;
    let store = house.store.clone();
    let store: &dyn Store = &store;
    correct(store, &*house.clock, click.id, Correction::Me).await.unwrap();
    assert_eq!(house.verdict(&click).await, (Verdict::Oneself, "corrected_me".to_owned()));
    assert_eq!(house.counts().await, (0, 0, 0, 0));
    house.later(Duration::from_millis(100));
    house.click(1, READER).await;
    house.later(WAIT);
    house.settle().await;
    assert_eq!(house.verdict(&click).await.0, Verdict::Oneself, "though it was a burst");
    assert_eq!(house.counts().await, (0, 0, 0, 1));
    for _ in 0..2 {
        correct(store, &*house.clock, click.id, Correction::Person).await.unwrap();
        assert_eq!(house.counts().await, (0, 0, 1, 1));
    }
    assert_eq!(house.events(EventKind::Correction).await.len(), 2);

    let nobody = RelayId::from_bytes([9; 16]);
    let unknown = correct(store, &*house.clock, nobody, Correction::Me).await;
    assert!(matches!(unknown, Err(CorrectionError::Unknown(_))));
    let no_hit = house.events(EventKind::Correction).await.remove(0).id;
    let refused = correct(store, &*house.clock, no_hit, Correction::Me).await.unwrap_err();
    assert!(refused.to_string().ends_with("is a correction; only an open or a click can be corrected"));
}

#[tokio::test]
async fn new_rules_judge_what_was_kept() {
    let keep = EvidenceRule::KeepFor(Duration::from_hours(24));
    let mut house = House::with(sent("ana@example.com", &["bo@example.net"]), keep).await;
    let (open, click) = (house.open_by(READER).await, house.click(0, READER).await);
    let corrected = house.click(0, READER).await;
    house.later(WAIT);
    house.settle().await;
    correct(&house.store, &*house.clock, corrected.id, Correction::Machine).await.unwrap();
    let store: Arc<dyn Store> = Arc::new(house.store.clone());
    let run = async |rules: &Rules, since, apply| {
        let mut reclassifier = Reclassifier::new(store.clone(), Arc::new(rules.clone()), since, None);
        let (mut judged, mut changes) = (0, vec![]);
        while let Some(some) = reclassifier.next().await.unwrap() {
            if apply {
                reclassifier.apply(&some, house.clock.now()).await.unwrap();
            }
            judged += some.judged;
            changes.extend(some.changes.into_iter().map(|change| (change.event.event.id, change.to.verdict)));
        }
        (judged, changes)
    };
    assert_eq!(run(&Rules::builtin(), None, true).await.1, [], "the same rules find the same");

    // Firefox, they now believe, is a scanner.
    let text = Rules::builtin_text().replacen(
        "[[ua]]",
        "[[ua]]\nstage = \"scanner_ua\"\nreason = \"named_scanner\"\nverdict = \"scanner\"\nconfidence = \"certain\"\nregex = 'Firefox'\n\n[[ua]]",
        1,
    );
    let version = Rules::builtin().version().to_owned();
    let rules = Rules::parse(&text.replacen(&version, "later", 1)).unwrap();
    assert_eq!(rules.version(), "later");
    let expected = vec![(open.id, Verdict::Scanner), (click.id, Verdict::Scanner)];
    let (judged, changes) = run(&rules, None, false).await;
    assert_eq!((judged, &changes), (2, &expected), "not what was corrected");
    assert_eq!(house.counts().await, (1, 0, 1, 1), "a dry run changes nothing");
    assert_eq!(run(&rules, Some(house.clock.now()), false).await.0, 0, "none that late");

    assert_eq!(run(&rules, None, true).await.1, expected);
    assert_eq!(house.counts().await, (0, 1, 0, 2));
    assert_eq!(run(&rules, None, true).await.1, [], "done");
    assert_eq!(house.events(EventKind::Verdict).await.len(), 2);

    let later = house.clock.now().plus(Duration::from_hours(24));
    house.store.drop_evidence(later, 99).await.unwrap();
    assert_eq!(run(&rules, None, false).await.0, 0, "nothing is kept any more");
}

#[tokio::test]
async fn one_address_at_many_peoples_mail_takes_no_person_back_but_tells_a_machine() {
    let mut house = House::new().await;
    let first = house.click(0, READER).await;
    for n in 1..=3_u8 {
        let id = RelayId::new(ACCEPTED, [n; 10]);
        let domain = if n == 1 { "example.net" } else { "example.org" };
        let to = format!("reader{n}@{domain}");
        house.store.record_message(MessageRecord { id, ..sent("ana@example.com", &[&to]) }).await.unwrap();
        house.later(Duration::from_secs(5));
        house.hit(&link_path(id, 0), &browser(READER)).await;
    }
    let last = house.newest().await.event;
    assert_eq!(house.verdict(&last).await, (Verdict::Scanner, "cross_recipient".to_owned()));
    house.later(WAIT);
    house.settle().await;
    assert_eq!(house.verdict(&first).await.0, Verdict::Human);
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_nobody_waiting() {
    let house = House::new().await;
    let open = house.open_by(READER).await;
    house.clock.set(Timestamp::from_unix_millis(ACCEPTED.unix_millis() - 3_600_000));
    let House { settler, store, folder: _folder, .. } = house;
    let mut settler = settler.waiting(Duration::from_millis(50));
    while let Some(left) = settler.settle_due().await.unwrap() {
        tokio::time::sleep(left).await;
    }
    assert!(store.event(open.id).await.unwrap().unwrap().settled);
}
