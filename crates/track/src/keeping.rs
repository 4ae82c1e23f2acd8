use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use envelope::{Clock, RelayId, Timestamp, TrackingMode, TrackingModes};
use hyper::HeaderMap;
use serde_json::Value;
use store::{Event, LastOpen, Screen, Store, StoreError};
use verdict::{Judgement, Kind, Trust};

use crate::hit::made_at_millis;
use crate::surroundings::{MessageFacts, Surroundings};

/// What may be kept of hits, beside how much of addresses and agents.
#[derive(Clone, Debug)]
pub struct Keeping {
    /// Who asks not to be tracked (`Sec-GPC: 1`, `DNT: 1`) is not: opens are not recorded, clicks are counted with
    /// nothing about the person.
    pub honour_dnt: bool,
    /// How much may be kept about whom.
    pub modes: TrackingModes,
    /// Hits on messages that are older than this are not recorded: nothing is known of those messages any more.
    pub keep_events: Duration,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            honour_dnt: true,
            modes: TrackingModes::default(),
            keep_events: Duration::from_hours(24 * 400),
        }
    }
}

/// What is left of a hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Nothing,
    Day(LastOpen),
    Event(Box<Event>),
}

const DAY_MILLIS: i64 = 86_400_000;

impl Keeping {
    /// Does the client ask not to be tracked, and does that count?
    pub(crate) fn is_asked_not_to(&self, headers: &HeaderMap) -> bool {
        let says_so = |name| headers.get(name).is_some_and(|value| value.as_bytes().trim_ascii() == b"1");
        self.honour_dnt && (says_so("sec-gpc") || says_so("dnt"))
    }

    /// May anything be kept, before one looks who it is?
    pub(crate) fn keeps_any(&self, kind: Kind, message: RelayId, asked_not_to: bool, at: Timestamp) -> bool {
        let age = at.unix_millis().saturating_sub(made_at_millis(message));
        let is_old = u128::try_from(age).is_ok_and(|age| age > self.keep_events.as_millis());
        let of_no_use = match (self.modes.general, kind) {
            (TrackingMode::Off, _) => true,
            // Of those who ask not to be tracked there is not even the day; and hygiene is for opens alone.
            (_, Kind::Open) => asked_not_to,
            (mode, Kind::Click) => mode == TrackingMode::Hygiene,
        };
        !of_no_use && !is_old
    }

    /// Has one to know whose hit it is?
    pub(crate) fn depends_on_who(&self) -> bool {
        !self.modes.is_one_for_all()
    }

    /// The mode of a hit; `message`: what the store knows, if it knows it.
    pub(crate) fn mode(&self, message: Option<&MessageFacts>, recipient: Option<u16>) -> TrackingMode {
        match message {
            _ if !self.depends_on_who() => self.modes.general,
            Some(message) => message.mode(&self.modes, recipient),
            // Nobody can say any more that more is allowed.
            None => self.modes.strictest(),
        }
    }
}

/// As much of a judged hit as `mode` allows.
pub(crate) fn kept(event: Event, mode: TrackingMode, asked_not_to: bool) -> Kept {
    match mode {
        TrackingMode::Off => Kept::Nothing,
        TrackingMode::Hygiene => last_open(&event, asked_not_to).map_or(Kept::Nothing, Kept::Day),
        _ if asked_not_to => match event.kind.hit() {
            Some(Kind::Click) => Kept::Event(Box::new(a_click(event))),
            _ => Kept::Nothing,
        },
        TrackingMode::Pseudonymous => Kept::Event(Box::new(Event { recipient: None, ..placeless(event) })),
        TrackingMode::Full => Kept::Event(Box::new(event)),
    }
}

/// A hit of which one does not know yet how much may be kept: what it needs to be looked at again, not more.
pub(crate) fn placeless(event: Event) -> Event {
    Event {
        device: None,
        place: None,
        address: None,
        user_agent: None,
        evidence: without_address(&event.evidence),
        ..event
    }
}

/// The day on which a person opened it.
fn last_open(event: &Event, asked_not_to: bool) -> Option<LastOpen> {
    let by_person = event.judgement.as_ref().is_some_and(|judged| judged.verdict.counts_as_person());
    let opened = event.kind.hit() == Some(Kind::Open) && by_person && !asked_not_to;
    opened.then(|| LastOpen { message: event.message, recipient: event.recipient, day: day_of(event.at) })
}

/// A click that counts, and says nothing of who it was: not even when, but for the day.
fn a_click(event: Event) -> Event {
    // Its message was sent before it, and counts as having been.
    let at = day_of(event.at).max(Timestamp::from_unix_millis(made_at_millis(event.message)));
    let mut random = [0; 10];
    random.copy_from_slice(&event.id.as_bytes()[6..]);
    Event {
        // An id tells the moment at which it was made.
        id: RelayId::new(at, random),
        at,
        recipient: None,
        judgement: event.judgement.clone().map(|judged| Judgement {
            trust: Trust { time: false, place: false, device: false },
            // They name programs and networks.
            reasons: vec![],
            ..judged
        }),
        evidence: "{}".to_owned(),
        ..placeless(event)
    }
}

fn day_of(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(at.unix_millis().div_euclid(DAY_MILLIS) * DAY_MILLIS)
}

/// Evidence is kept until the verdict is settled, but not whence it came.
fn without_address(evidence: &str) -> String {
    match serde_json::from_str(evidence) {
        Ok(Value::Object(mut object)) => {
            object.remove("address");
            Value::Object(object).to_string()
        }
        _ => "{}".to_owned(),
    }
}

/// Looks again at what went to the journal: while the store was away, nobody could say whose it was.
pub struct Screening {
    /// Knows who wrote to whom.
    pub surroundings: Arc<Surroundings>,
    /// Takes the days of last opens.
    pub store: Arc<dyn Store>,
    /// What may be kept.
    pub keeping: Keeping,
    /// For what is known of messages.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl Screen for Screening {
    async fn screen(&self, event: Event) -> Result<Option<Event>, StoreError> {
        if event.kind.hit().is_none() || !self.keeping.depends_on_who() {
            return Ok(Some(event));
        }
        let message = self.surroundings.message(event.message, self.clock.now()).await?;
        let mode = self.keeping.mode(message.as_deref(), event.recipient);
        match kept(event, mode, false) {
            Kept::Nothing => Ok(None),
            Kept::Day(day) => self.store.record_last_open(day).await.map(|()| None),
            Kept::Event(event) => Ok(Some(*event)),
        }
    }
}

#[cfg(test)]
mod tests {
    use envelope::{AddressPattern, ModeRule};
    use store::EventKind;
    use verdict::{Confidence, Verdict};

    use super::*;

    const SENT: i64 = 1_795_508_461_123;
    const OPENED: i64 = SENT + 3 * DAY_MILLIS + 7_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn event(kind: EventKind, verdict: Verdict) -> Event {
        Event {
            id: RelayId::new(at(OPENED), [7; 10]),
            at: at(OPENED),
            kind,
            message: RelayId::new(at(SENT), [1; 10]),
            recipient: Some(1),
            link: Some(2),
            about: None,
            judgement: Some(Judgement {
                verdict,
                confidence: Confidence::Probable,
                reasons: vec!["browser".to_owned()],
                trust: Trust { time: true, place: true, device: true },
                rules: "1".to_owned(),
            }),
            device: Some("Firefox on Linux".to_owned()),
            place: Some("BE".to_owned()),
            address: Some("203.0.113.0/24".to_owned()),
            user_agent: Some("Firefox, Linux".to_owned()),
            evidence: r#"{"method":"GET","agent":"Firefox","address":"203.0.113.0"}"#.to_owned(),
        }
    }

    #[test]
    fn what_each_mode_keeps() {
        let (open, click) = (event(EventKind::Open, Verdict::Human), event(EventKind::Click, Verdict::Human));
        let day =
            LastOpen { message: open.message, recipient: Some(1), day: at(OPENED - OPENED % DAY_MILLIS) };
        for (case, event, mode, expected) in [
            ("off, open", &open, TrackingMode::Off, Kept::Nothing),
            ("off, click", &click, TrackingMode::Off, Kept::Nothing),
            ("hygiene", &open, TrackingMode::Hygiene, Kept::Day(day)),
            ("hygiene, click", &click, TrackingMode::Hygiene, Kept::Nothing),
            (
                "hygiene, machine",
                &event(EventKind::Open, Verdict::Scanner),
                TrackingMode::Hygiene,
                Kept::Nothing,
            ),
            (
                "hygiene, oneself",
                &event(EventKind::Open, Verdict::Oneself),
                TrackingMode::Hygiene,
                Kept::Nothing,
            ),
            ("full", &open, TrackingMode::Full, Kept::Event(Box::new(open.clone()))),
        ] {
            assert_eq!(kept(event.clone(), mode, false), expected, "{case}");
        }
        let Kept::Event(pseudonymous) = kept(click.clone(), TrackingMode::Pseudonymous, false) else {
            panic!()
        };
        let json = serde_json::to_string(&pseudonymous).unwrap();
        for private in ["203.0.113", "Linux", "BE"] {
            assert!(!json.contains(private), "{private} in {json}");
        }
        assert_eq!((pseudonymous.recipient, pseudonymous.link, pseudonymous.at), (None, Some(2), click.at));
        assert_eq!(kept(*pseudonymous.clone(), TrackingMode::Pseudonymous, false), Kept::Event(pseudonymous));
    }

    #[test]
    fn who_asks_not_to_be_tracked_is_counted_at_most() {
        let (open, click) = (event(EventKind::Open, Verdict::Human), event(EventKind::Click, Verdict::Human));
        for mode in [TrackingMode::Off, TrackingMode::Hygiene, TrackingMode::Pseudonymous, TrackingMode::Full]
        {
            assert_eq!(kept(open.clone(), mode, true), Kept::Nothing, "{mode}");
        }
        assert_eq!(kept(click.clone(), TrackingMode::Hygiene, true), Kept::Nothing);
        let Kept::Event(counted) = kept(click.clone(), TrackingMode::Full, true) else { panic!() };
        let day = OPENED - OPENED % DAY_MILLIS;
        assert_eq!((counted.at, made_at_millis(counted.id)), (at(day), day), "nor does the id tell when");
        assert_eq!((counted.recipient, counted.evidence.as_str()), (None, "{}"));
        assert_eq!((&counted.device, &counted.address, &counted.user_agent), (&None, &None, &None));
        let judged = counted.judgement.unwrap();
        assert_eq!((judged.verdict, judged.reasons.len(), judged.trust.time), (Verdict::Human, 0, false));
        // On the first day it does not come before its message.
        let early = Event { at: at(SENT + 1), ..click };
        let Kept::Event(counted) = kept(early, TrackingMode::Full, true) else { panic!() };
        assert_eq!(counted.at, at(SENT));
    }

    #[test]
    fn who_asks() {
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(hyper::header::HeaderName::from_static(name), value.parse().unwrap())])
        };
        let keeping = Keeping::default();
        for (name, value, asks) in [
            ("sec-gpc", "1", true),
            ("dnt", "1", true),
            ("dnt", " 1 ", true),
            ("dnt", "0", false),
            ("dnt", "null", false),
            ("sec-gpc", "?1", false),
            ("x-dnt", "1", false),
        ] {
            assert_eq!(keeping.is_asked_not_to(&headers(name, value)), asks, "{name}: {value}");
            let deaf = Keeping { honour_dnt: false, ..Keeping::default() };
            assert!(!deaf.is_asked_not_to(&headers(name, value)));
        }
    }

    #[test]
    fn what_is_kept_before_one_looks_who_it_is() {
        let message = RelayId::new(at(SENT), [1; 10]);
        let with = |general| Keeping {
            modes: TrackingModes { general, rules: vec![] },
            keep_events: Duration::from_hours(24 * 10),
            ..Keeping::default()
        };
        let full = with(TrackingMode::Full);
        for (case, keeping, kind, asked_not_to, days, expected) in [
            ("open", &full, Kind::Open, false, 10, true),
            ("too old", &full, Kind::Open, false, 11, false),
            ("click, too old", &full, Kind::Click, false, 11, false),
            ("before it was sent", &full, Kind::Open, false, -1, true),
            ("asked not to, open", &full, Kind::Open, true, 1, false),
            ("asked not to, click", &full, Kind::Click, true, 1, true),
            ("off", &with(TrackingMode::Off), Kind::Click, false, 1, false),
            ("hygiene, open", &with(TrackingMode::Hygiene), Kind::Open, false, 1, true),
            ("hygiene, click", &with(TrackingMode::Hygiene), Kind::Click, false, 1, false),
        ] {
            let when = at(SENT + days * DAY_MILLIS);
            assert_eq!(keeping.keeps_any(kind, message, asked_not_to, when), expected, "{case}");
        }
    }

    #[test]
    fn where_nobody_can_say_who_it_is_the_strictest_holds() {
        let rule = ModeRule {
            senders: vec![AddressPattern::Anyone],
            recipients: vec![AddressPattern::parse("*@bund.example").unwrap()],
            mode: TrackingMode::Off,
        };
        let modes = TrackingModes { general: TrackingMode::Full, rules: vec![rule] };
        let keeping = Keeping { modes, ..Keeping::default() };
        assert!(keeping.depends_on_who());
        assert_eq!(keeping.mode(None, Some(1)), TrackingMode::Off);
        assert_eq!(Keeping::default().mode(None, Some(1)), TrackingMode::Full);
    }

    fn to(address: &str, n: u8) -> store::MessageRecord {
        store::MessageRecord {
            id: RelayId::new(at(SENT), [n; 10]),
            accepted_at: at(SENT),
            sender: "ana@example.com".to_owned(),
            reverse_path: String::new(),
            from: None,
            subject: None,
            message_id: None,
            choice: envelope::Choice::BOTH,
            choice_origin: store::ChoiceOrigin::Header,
            pixel: true,
            links_tracked: 1,
            reasons: vec![],
            parts: vec![],
            recipients: vec![store::RecipientRecord {
                index: 1,
                address: address.to_owned(),
                code: 250,
                reply: String::new(),
            }],
            links: vec![],
            upstream: String::new(),
            code: 250,
            reply: String::new(),
            octets_in: 1,
            octets_out: 1,
            took_ms: 1,
        }
    }

    #[tokio::test]
    async fn what_went_to_the_journal_is_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(store::SqliteStore::open(&folder.path().join("waxseal.db")).unwrap());
        for record in [to("a@bund.example", 1), to("b@day.example", 2), to("c@example.net", 3)] {
            store.record_message(record).await.unwrap();
        }
        let rule = |recipients, mode| ModeRule {
            senders: vec![AddressPattern::Anyone],
            recipients: vec![AddressPattern::parse(recipients).unwrap()],
            mode,
        };
        let rules =
            vec![rule("*@bund.example", TrackingMode::Off), rule("*@day.example", TrackingMode::Hygiene)];
        let screening = Screening {
            surroundings: Surroundings::new(store.clone()),
            store: store.clone(),
            keeping: Keeping {
                modes: TrackingModes { rules, ..TrackingModes::default() },
                ..Keeping::default()
            },
            clock: Arc::new(envelope::ManualClock::new(at(OPENED))),
        };
        let hit = |n| placeless(Event { message: to("", n).id, ..event(EventKind::Open, Verdict::Human) });
        assert_eq!(screening.screen(hit(1)).await.unwrap(), None);
        for _ in 0..2 {
            assert_eq!(screening.screen(hit(2)).await.unwrap(), None);
            assert_eq!(store::Privacy::last_opens(&*store, hit(2).message).await.unwrap().len(), 1);
        }
        assert_eq!(screening.screen(hit(3)).await.unwrap(), Some(hit(3)));
        assert_eq!(screening.screen(hit(4)).await.unwrap(), None, "nobody knows whose it is");
        let bounce = Event { kind: EventKind::Bounce, ..hit(1) };
        assert_eq!(
            screening.screen(bounce.clone()).await.unwrap(),
            Some(bounce),
            "only hits are anybody's doing"
        );
    }
}
