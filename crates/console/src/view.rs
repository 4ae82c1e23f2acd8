use std::collections::{BTreeMap, BTreeSet, HashMap};

use envelope::{Choice, Clock, Reason, RelayId, Timestamp};
use jiff::tz::TimeZone;
use store::{MessageRecord, MessageSummary, StoredEvent};
use verdict::{Kind, Verdict};

use crate::office::CaughtNote;

/// How old a message must be before this page opens it.
///
/// The mailbox is on the same computer, so a mail arrives in the moment it is sent. Real mail takes seconds, and
/// who is faster is taken for a machine, rightly.
const IN_THE_POST_MS: u64 = 3_000;

/// The message that is compared and can be opened.
pub(crate) struct ShownMessage {
    /// Its number in the built-in mailbox.
    pub(crate) number: u64,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) sent: String,
    pub(crate) sent_exact: String,
    /// Who opens it: `Jo`, `one of the 3`.
    pub(crate) reader: String,
    pub(crate) opens: Sign,
    pub(crate) links: Sign,
    pub(crate) pixel: bool,
    /// What became of its links, if any of them is tracked.
    pub(crate) links_changed: Option<String>,
    /// What was left alone and why; one sentence each.
    pub(crate) notes: Vec<String>,
    pub(crate) choice: Choice,
    pub(crate) has_html: bool,
    /// Sent too short a time ago to be opened by a person.
    pub(crate) in_the_post: bool,
}

/// One line of the list of messages.
pub(crate) struct MessageRow {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) sent: String,
    pub(crate) sent_exact: String,
    pub(crate) opens: Sign,
    pub(crate) links: Sign,
    pub(crate) notes: Vec<String>,
    /// What came of it, in words.
    pub(crate) state: String,
    /// Its number in the built-in mailbox.
    pub(crate) caught: Option<u64>,
    /// It is the one that is shown.
    pub(crate) chosen: bool,
}

/// An eye or a chain: what shape it has and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sign {
    /// A class: `off`, `waiting`, `machine`, `person`.
    pub(crate) class: &'static str,
    /// What the shape means.
    pub(crate) words: String,
    /// By people; 0 is not shown.
    pub(crate) count: u64,
}

/// One line of the list of events.
pub(crate) struct EventRow {
    pub(crate) seq: i64,
    pub(crate) time: String,
    pub(crate) time_exact: String,
    pub(crate) symbol: &'static str,
    pub(crate) what: &'static str,
    pub(crate) who: String,
    pub(crate) subject: String,
    pub(crate) target: String,
    pub(crate) device: String,
    pub(crate) verdict: &'static str,
    pub(crate) class: &'static str,
    pub(crate) confidence: &'static str,
    pub(crate) reason: String,
    /// The other reasons.
    pub(crate) further: Vec<String>,
}

/// Messages and events, newest first, with what one needs of the other.
pub(crate) struct Overview {
    messages: Vec<MessageSummary>,
    /// Messages that are not among the newest, but the events are about them.
    further: Vec<MessageSummary>,
    events: Vec<StoredEvent>,
    by_id: HashMap<RelayId, CaughtNote>,
}

impl Overview {
    /// `events` oldest first, as the store gives them.
    pub(crate) fn new(
        messages: Vec<MessageSummary>,
        mut events: Vec<StoredEvent>,
        caught: &[CaughtNote],
    ) -> Self {
        events.reverse();
        let by_id = caught.iter().filter_map(|note| Some((note.id?, note.clone()))).collect();
        Self { messages, further: vec![], events, by_id }
    }

    /// Which messages the events are about that are not here.
    pub(crate) fn unknown_messages(&self) -> BTreeSet<RelayId> {
        let unknown = |id: &RelayId| self.find(*id).is_none();
        self.events.iter().map(|stored| stored.event.message).filter(unknown).collect()
    }

    pub(crate) fn add(&mut self, message: Option<MessageSummary>) {
        self.further.extend(message);
    }

    fn find(&self, id: RelayId) -> Option<&MessageSummary> {
        self.messages.iter().chain(&self.further).find(|message| message.record.id == id)
    }

    /// Everything about one message, which need not be among the newest.
    pub(crate) fn shown(
        &self,
        message: &MessageSummary,
        note: &CaughtNote,
        clock: &dyn Clock,
    ) -> ShownMessage {
        let record = &message.record;
        let age = clock.now().unix_millis() - record.accepted_at.unix_millis();
        ShownMessage {
            number: note.number,
            to: names(record),
            subject: subject(record.subject.as_ref()),
            sent: time_of_day(record.accepted_at),
            sent_exact: record.accepted_at.to_string(),
            reader: reader(record),
            opens: self.opens(message),
            links: self.clicks(message),
            pixel: record.pixel,
            links_changed: links_changed(record),
            notes: notes(record),
            choice: record.choice,
            has_html: note.has_html,
            // (A clock that was set back must not keep a message in the post for hours.)
            in_the_post: u64::try_from(age).is_ok_and(|age| age < IN_THE_POST_MS),
        }
    }

    pub(crate) fn message_rows(&self, shown: Option<u64>) -> Vec<MessageRow> {
        let row = |message: &MessageSummary| {
            let record = &message.record;
            let caught = self.by_id.get(&record.id).map(|note| note.number);
            MessageRow {
                id: record.id.to_string(),
                to: match record.recipients.as_slice() {
                    [one] => one.address.clone(),
                    several => format!("{} people", several.len()),
                },
                subject: subject(record.subject.as_ref()),
                sent: time_of_day(record.accepted_at),
                sent_exact: record.accepted_at.to_string(),
                opens: self.opens(message),
                links: self.clicks(message),
                notes: notes(record),
                state: self.state(message),
                caught,
                chosen: caught.is_some() && caught == shown,
            }
        };
        self.messages.iter().map(row).collect()
    }

    pub(crate) fn event_rows(&self) -> Vec<EventRow> {
        self.events.iter().filter_map(|stored| self.event_row(stored)).collect()
    }

    /// Opens and clicks, each with the verdict that holds now. A change of it is an event too, and shows there.
    fn event_row(&self, stored: &StoredEvent) -> Option<EventRow> {
        let event = &stored.event;
        let judged = event.judgement.as_ref()?;
        let (symbol, what) = match event.kind.hit()? {
            Kind::Open => ("eye", "opened"),
            Kind::Click => ("chain", "clicked"),
        };
        let sentence = |code: &String| verdict::sentence(code).unwrap_or(code.as_str()).to_owned();
        let before = stored.first_judgement.as_ref().filter(|first| first.verdict != judged.verdict);
        let before = before.map(|first| format!("At first it was taken for: {}.", first.verdict.on_screen()));
        let mut reasons = judged.reasons.iter().map(sentence).chain(before);
        Some(EventRow {
            seq: stored.seq,
            time: time_of_day(event.at),
            time_exact: event.at.to_string(),
            symbol,
            what,
            who: stored.recipient_address.clone().unwrap_or_else(|| self.one_of_several(event.message)),
            subject: subject(stored.subject.as_ref()),
            target: stored.link_target.clone().unwrap_or_default(),
            // Shown only where the verdict can believe it: a proxy's is a lie.
            device: event.device.clone().filter(|_| judged.trust.device).unwrap_or_default(),
            verdict: judged.verdict.on_screen(),
            class: class(judged.verdict),
            confidence: judged.confidence.word(),
            reason: reasons.next().unwrap_or_default(),
            further: reasons.collect(),
        })
    }

    /// One copy for all shows that one of them opened it, not who.
    fn one_of_several(&self, id: RelayId) -> String {
        match self.find(id).map(|message| accepted(&message.record)) {
            Some(several) if several > 1 => format!("One of {several} people"),
            _ => "Somebody".to_owned(),
        }
    }

    fn opens(&self, message: &MessageSummary) -> Sign {
        let counts = Counts {
            people: message.opens_by_people,
            machines: message.opens_by_machines,
            others: self.others(message, Kind::Open),
        };
        counts.sign(message.record.pixel, "opened", "Opens")
    }

    fn clicks(&self, message: &MessageSummary) -> Sign {
        let counts = Counts {
            people: message.clicks_by_people,
            machines: message.clicks_by_machines,
            others: self.others(message, Kind::Click),
        };
        counts.sign(message.record.links_tracked > 0, "clicked", "Clicks")
    }

    /// Those among the newest events that are neither a person's nor a machine's: the summary leaves them out.
    fn others(&self, message: &MessageSummary, kind: Kind) -> u64 {
        let of_it = |stored: &&StoredEvent| {
            stored.event.message == message.record.id
                && stored.event.kind == kind
                && stored.event.judgement.as_ref().is_some_and(|judged| class(judged.verdict) == "other")
        };
        self.events.iter().filter(of_it).count() as u64
    }

    fn state(&self, message: &MessageSummary) -> String {
        let record = &message.record;
        let by = match accepted(record) {
            several if several > 1 => format!("by one of {several}"),
            _ => "by a person".to_owned(),
        };
        let nobody = message.opens_by_machines + message.clicks_by_machines;
        match record {
            record if record.code == 0 => "on its way".to_owned(),
            record if record.code / 100 != 2 => format!("refused: {} {}", record.code, record.reply),
            record if !record.pixel && record.links_tracked == 0 => "not tracked".to_owned(),
            _ if message.clicks_by_people > 0 => format!("clicked {by}"),
            _ if message.opens_by_people > 0 => format!("opened {by}"),
            _ if nobody > 0 => "by a machine only".to_owned(),
            _ if self.others(message, Kind::Open) + self.others(message, Kind::Click) > 0 => {
                "by whom is unknown".to_owned()
            }
            _ => "nothing yet".to_owned(),
        }
    }
}

struct Counts {
    people: u64,
    machines: u64,
    others: u64,
}

impl Counts {
    fn sign(self, tracked: bool, done: &str, plural: &str) -> Sign {
        let times = |count: u64| match count {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            more => format!("{more} times"),
        };
        let (class, words) = match self {
            Self { people: 1.., .. } => ("person", format!("{done} by a person, {}", times(self.people))),
            Self { machines: 1.., .. } => {
                ("machine", format!("{done} by a machine only, {}", times(self.machines)))
            }
            Self { others: 1.., .. } => ("machine", format!("{done}, by whom is unknown")),
            _ if tracked => ("waiting", format!("not {done} yet")),
            _ => ("off", format!("{} are not tracked", plural.to_lowercase())),
        };
        Sign { class, words, count: self.people }
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        _ if verdict.counts_as_person() => "person",
        Verdict::Oneself | Verdict::Unknown => "other",
        _ => "machine",
    }
}

fn subject(subject: Option<&String>) -> String {
    subject.cloned().unwrap_or_else(|| "(no subject)".to_owned())
}

fn accepted(record: &MessageRecord) -> usize {
    record.recipients.iter().filter(|recipient| recipient.code / 100 == 2).count()
}

fn names(record: &MessageRecord) -> String {
    let names: Vec<&str> = record.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
    names.join(", ")
}

/// `Jo` of `jo@demo.test`.
fn reader(record: &MessageRecord) -> String {
    match record.recipients.as_slice() {
        [one] => {
            let local_part = one.address.split('@').next().unwrap_or_default();
            let mut letters = local_part.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        }
        several => format!("one of the {}", several.len()),
    }
}

fn links_changed(record: &MessageRecord) -> Option<String> {
    Some(match (record.links_tracked, record.links.len()) {
        (0, _) => return None,
        (1, 1) => "its link leads through Waxseal".to_owned(),
        (tracked, all) if usize::from(tracked) == all => format!("all {all} links lead through Waxseal"),
        (tracked, all) => format!("{tracked} of {all} links lead through Waxseal"),
    })
}

/// What was left alone, and why.
fn notes(record: &MessageRecord) -> Vec<String> {
    let tracked = record.pixel || record.links_tracked > 0;
    let mut notes: Vec<String> = record.reasons.iter().map(|reason| reason.sentence().to_owned()).collect();
    notes.extend(
        record.parts.iter().map(|part| format!("Part {} left alone: {}", part.path, part.reason.sentence())),
    );
    if tracked && accepted(record) > 1 {
        notes.push("One copy for all: it shows that one of them opened it, not who.".to_owned());
    }
    let mut kept: BTreeMap<Reason, usize> = BTreeMap::new();
    for reason in record.links.iter().filter_map(|link| link.kept) {
        // What holds for the whole message is said above already.
        if tracked {
            *kept.entry(reason).or_default() += 1;
        }
    }
    notes.extend(kept.into_iter().map(|(reason, count)| {
        let links = if count == 1 { "1 link".to_owned() } else { format!("{count} links") };
        format!("{links} left alone: {}", reason.sentence())
    }));
    notes
}

/// `09:31:02` in this computer's zone: the sender's, never the recipient's.
fn time_of_day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_millis())
        .map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use envelope::ManualClock;
    use store::{ChoiceOrigin, LinkRecord, RecipientRecord};

    use super::*;

    const SENT_MS: i64 = 1_795_508_461_000;

    fn message(to: &[&str], pixel: bool, kept: &[Option<Reason>]) -> MessageSummary {
        let id = RelayId::new(Timestamp::from_unix_millis(SENT_MS), [0; 10]);
        let recipient = |(index, address): (usize, &&str)| RecipientRecord {
            index: u16::try_from(index).unwrap(),
            address: (*address).to_owned(),
            code: 250,
            reply: "OK".to_owned(),
        };
        let link =
            |kept: &Option<Reason>| LinkRecord { index: 0, href: "x".to_owned(), target: None, kept: *kept };
        let record = MessageRecord {
            id,
            accepted_at: Timestamp::from_unix_millis(SENT_MS),
            sender: "ana@demo.test".to_owned(),
            reverse_path: "ana@demo.test".to_owned(),
            from: None,
            subject: None,
            message_id: None,
            choice: Choice::BOTH,
            choice_origin: ChoiceOrigin::Header,
            pixel,
            links_tracked: u16::try_from(kept.iter().filter(|kept| kept.is_none()).count()).unwrap(),
            reasons: vec![],
            parts: vec![],
            recipients: to.iter().enumerate().map(recipient).collect(),
            links: kept.iter().map(link).collect(),
            upstream: "mailbox".to_owned(),
            code: 250,
            reply: "OK".to_owned(),
            octets_in: 1,
            octets_out: 1,
            took_ms: 1,
        };
        MessageSummary {
            record,
            opens_by_people: 0,
            opens_by_machines: 0,
            clicks_by_people: 0,
            clicks_by_machines: 0,
            feedback: vec![],
        }
    }

    #[test]
    fn what_was_sent_a_moment_ago_is_in_the_post() {
        let message = message(&["jo@demo.test"], true, &[]);
        let note = CaughtNote { number: 1, id: Some(message.record.id), has_html: true };
        let overview = Overview::new(vec![message.clone()], vec![], std::slice::from_ref(&note));
        for (after_ms, expected) in
            [(0, true), (2_999, true), (3_000, false), (-1, false), (-3_600_000, false)]
        {
            let clock = ManualClock::new(Timestamp::from_unix_millis(SENT_MS + after_ms));
            assert_eq!(overview.shown(&message, &note, &clock).in_the_post, expected, "{after_ms} ms");
        }
    }

    #[test]
    fn what_was_changed_and_what_not_is_said_in_words() {
        const ONE: &[&str] = &["jo@demo.test"];
        const KEPT: Option<Reason> = Some(Reason::Unsubscribe);
        let shared = "One copy for all: it shows that one of them opened it, not who.";
        for (to, pixel, kept, reader, links, notes) in [
            (ONE, true, vec![], "Jo", None, vec![]),
            (ONE, true, vec![None], "Jo", Some("its link leads through Waxseal"), vec![]),
            (ONE, false, vec![None, None], "Jo", Some("all 2 links lead through Waxseal"), vec![]),
            (
                &["a@b.test", "b@b.test"],
                true,
                vec![None, KEPT, KEPT],
                "one of the 2",
                Some("1 of 3 links lead through Waxseal"),
                vec![shared, "2 links left alone: The link is for unsubscribing."],
            ),
            (&[], false, vec![KEPT], "one of the 0", None, vec![]),
        ] {
            let message = message(to, pixel, &kept);
            let found =
                (self::reader(&message.record), links_changed(&message.record), self::notes(&message.record));
            assert_eq!(
                found,
                (reader.to_owned(), links.map(str::to_owned), notes.into_iter().map(str::to_owned).collect())
            );
        }
    }

    #[test]
    fn a_sign_says_the_most_that_is_known() {
        for (people, machines, others, tracked, class, words, count) in [
            (0, 0, 0, true, "waiting", "not opened yet", 0),
            (0, 0, 0, false, "off", "opens are not tracked", 0),
            (0, 2, 1, true, "machine", "opened by a machine only, twice", 0),
            (0, 0, 1, true, "machine", "opened, by whom is unknown", 0),
            (1, 2, 0, true, "person", "opened by a person, once", 1),
            (3, 0, 0, true, "person", "opened by a person, 3 times", 3),
        ] {
            let sign = Counts { people, machines, others }.sign(tracked, "opened", "Opens");
            assert_eq!(sign, Sign { class, words: words.to_owned(), count });
        }
    }
}
