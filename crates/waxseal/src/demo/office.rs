use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use catcher::{Catcher, CaughtMail};
use console::{CaughtNote, Comparison, Office, OfficeError, Places};
use envelope::{
    Choice, Clock, ForwardPath, MailParameters, Mailbox, RcptParameters, RelayId, Reply, ReversePath,
    SystemClock,
};
use tokio::sync::watch;
use upstream::{Connection, Tls, Trust, Upstream};

use super::comparing;
use super::samples::{self, SENDER, Sample};

/// The demo's side of the page: the built-in mailbox, and beside each mail in it how it was written.
pub(crate) struct DemoOffice {
    catcher: Catcher,
    places: Places,
    smtp: SocketAddr,
    shelf: Mutex<Shelf>,
    answered: watch::Sender<u64>,
}

/// What is known of the mails in the mailbox, by their numbers.
#[derive(Default)]
struct Shelf {
    written: BTreeMap<u64, Vec<u8>>,
    notes: BTreeMap<u64, CaughtNote>,
}

/// The field a sender says with what is to be tracked.
pub(crate) const TRACK_FIELD: &str = "X-Waxseal-Track";

const WRITTEN_OCTETS: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(20);

impl DemoOffice {
    pub(crate) fn new(catcher: Catcher, smtp: SocketAddr, console: SocketAddr, tracking: SocketAddr) -> Self {
        let places = Places {
            smtp: smtp.to_string(),
            console: console.to_string(),
            tracking: format!("http://{tracking}"),
            sender: SENDER.into(),
        };
        Self { catcher, places, smtp, shelf: Mutex::default(), answered: watch::Sender::new(0) }
    }

    /// Sends a message to the relay's port as a mail program does. Returns its number in the mailbox.
    pub(crate) async fn send(&self, sample: Sample) -> anyhow::Result<u64> {
        let message_id = message_id(&sample.content).context("a sample without a Message-ID")?;
        submit(self.smtp, &sample).await?;
        // The relay has said 250, which is the mailbox's own: it is there.
        let caught = self.catcher.caught();
        let arrived =
            caught.iter().rev().find(|mail| self::message_id(&mail.content).as_ref() == Some(&message_id));
        arrived.map(|mail| mail.number).context("the sample did not arrive in the mailbox")
    }

    /// A message got its answer, whichever; by now the store has it too.
    pub(crate) fn tell(&self) {
        self.answered.send_modify(|count| *count += 1);
    }

    /// Keeps what was written beside the mail that came of it a moment ago.
    pub(crate) fn remember(&self, written: Vec<u8>) {
        let caught = self.catcher.caught();
        let oldest = caught.first().map_or(0, |mail| mail.number);
        let mut shelf = self.shelf();
        shelf.written.retain(|number, _| *number >= oldest);
        let came_of_it = |mail: &&Arc<CaughtMail>| {
            !shelf.written.contains_key(&mail.number) && has_the_header_of(&mail.content, &written)
        };
        if let Some(number) = caught.iter().rev().find(came_of_it).map(|mail| mail.number) {
            shelf.written.insert(number, written);
        }
        let mut octets: usize = shelf.written.values().map(Vec::len).sum();
        while octets > WRITTEN_OCTETS
            && let Some((_, oldest)) = shelf.written.pop_first()
        {
            octets -= oldest.len();
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Office for DemoOffice {
    fn places(&self) -> Places {
        self.places.clone()
    }

    fn caught(&self) -> Vec<CaughtNote> {
        let caught = self.catcher.caught();
        let notes = &mut self.shelf().notes;
        let oldest = caught.first().map_or(0, |mail| mail.number);
        notes.retain(|number, _| *number >= oldest);
        let note = |mail: &CaughtMail| CaughtNote {
            number: mail.number,
            id: relay_id(&mail.content),
            has_html: !mime::locate(&mail.content).html.is_empty(),
        };
        // Looked into once, however often the page asks.
        caught.iter().map(|mail| notes.entry(mail.number).or_insert_with(|| note(mail)).clone()).collect()
    }

    fn caught_html(&self, number: u64) -> Option<String> {
        comparing::html(&self.catcher.mail(number)?.content)
    }

    fn comparison(&self, number: u64) -> Option<Comparison> {
        let mail = self.catcher.mail(number)?;
        let written = self.shelf().written.get(&number).cloned();
        match written {
            Some(written) => comparing::compare(&written, &mail.content),
            None => Some(comparing::only_passed_on(&mail.content)),
        }
    }

    async fn send_sample(&self, choice: Choice) -> Result<u64, OfficeError> {
        let track = match (choice.opens, choice.links) {
            (true, true) => "opens, links",
            (true, false) => "opens",
            (false, true) => "links",
            (false, false) => "none",
        };
        let sample = samples::offer(SystemClock.now(), track);
        self.send(sample).await.map_err(|error| OfficeError(format!("{error:#}")))
    }

    fn arrivals(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }
}

/// Whether `caught` has the header of `written`, but for what a relay adds and takes out.
///
/// Two mails may be on their way at once; the header tells them apart, or else they are alike to the minute.
fn has_the_header_of(caught: &[u8], written: &[u8]) -> bool {
    let written = relay::without_control_fields(written, TRACK_FIELD);
    let received = mime::header_fields(caught).first().map_or(0, |field| field.whole.end);
    caught[received..].starts_with(&written[..mime::header_end(&written)])
}

fn message_id(content: &[u8]) -> Option<String> {
    mime::field_bodies(content, "Message-ID").into_iter().next()
}

/// Our id, from the `Received` field that the relay put on top.
fn relay_id(content: &[u8]) -> Option<RelayId> {
    let received = mime::field_bodies(content, "Received").into_iter().next()?;
    let id = received.split(" id ").nth(1)?.split(';').next()?;
    id.trim().parse().ok()
}

/// The client's side of SMTP, by the same code that hands mail to a provider.
async fn submit(relay: SocketAddr, sample: &Sample) -> anyhow::Result<()> {
    let upstream = Upstream {
        name: "relay".into(),
        host: IpAddr::to_string(&relay.ip()),
        port: relay.port(),
        tls: Tls::None,
        trust: Trust::System,
        helo: "demo.test".into(),
        timeout: TIMEOUT,
        proxy: None,
    };
    let mut connection = Connection::open(&upstream, None).await?;
    let sender = ReversePath::Mailbox(Mailbox::parse(SENDER)?);
    accepted(&connection.mail(&sender, &MailParameters::default()).await?)?;
    for recipient in &sample.to {
        accepted(
            &connection.rcpt(&ForwardPath::Mailbox(recipient.clone()), &RcptParameters::default()).await?,
        )?;
    }
    accepted(&connection.content(b"", &sample.content).await?)?;
    connection.quit().await;
    Ok(())
}

fn accepted(reply: &Reply) -> anyhow::Result<()> {
    if !reply.is_positive() {
        bail!("the relay refused the sample: {reply}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_mail_is_known_by_its_header() {
        let written = b"From: a@demo.test\r\nX-Waxseal-Track: opens\r\nSubject: x\r\n\r\nText\r\n";
        let caught =
            b"Received: by b\r\n id 1;\r\n now\r\nFrom: a@demo.test\r\nSubject: x\r\n\r\nOther text\r\n";
        assert!(has_the_header_of(caught, written));
        for other in [
            &b"From: a@demo.test\r\nSubject: y\r\n\r\nText\r\n"[..],
            b"From: a@demo.test\r\n\r\n",
            b"\r\n",
            b"",
        ] {
            let expected = other == b"";
            assert_eq!(has_the_header_of(caught, other), expected, "{}", String::from_utf8_lossy(other));
        }
    }
}
