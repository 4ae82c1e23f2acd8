use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use catcher::{Catcher, CaughtMail};
use console::{CaughtNote, Comparison, Office, OfficeError, Places};
use envelope::{Choice, Clock, ForwardPath, MailParameters, Mailbox, RelayId, Reply, ReversePath, SystemClock};
use tokio::sync::watch;
use upstream::{Connection, Tls, Trust, Upstream};

use super::comparing;
use super::samples::{self, SENDER, Sample};

/// The demo's side of the page: the built-in mailbox, and what was written by the demo itself.
pub(crate) struct DemoOffice {
    catcher: Catcher,
    places: Places,
    smtp: SocketAddr,
    /// Message-ID and content, as it was before the relay: only of what the demo wrote.
    written: Mutex<VecDeque<(String, Vec<u8>)>>,
}

const WRITTEN_AT_MOST: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(20);

impl DemoOffice {
    pub(crate) fn new(catcher: Catcher, smtp: SocketAddr, console: SocketAddr, tracking: SocketAddr) -> Self {
        let places = Places {
            smtp: smtp.to_string(),
            console: console.to_string(),
            tracking: format!("http://{tracking}"),
            sender: SENDER.into(),
        };
        Self { catcher, places, smtp, written: Mutex::default() }
    }

    /// Sends a message to the relay's port as a mail program does. Returns its number in the mailbox.
    pub(crate) async fn send(&self, sample: Sample) -> anyhow::Result<u64> {
        let message_id = message_id(&sample.content).context("a sample without a Message-ID")?;
        self.remember(message_id.clone(), sample.content.clone());
        submit(self.smtp, &sample).await?;
        // The relay has said 250, which is the mailbox's own: it is there.
        let caught = self.catcher.caught();
        let arrived = caught.iter().rev().find(|mail| self::message_id(&mail.content).as_ref() == Some(&message_id));
        arrived.map(|mail| mail.number).context("the sample did not arrive in the mailbox")
    }

    fn remember(&self, message_id: String, content: Vec<u8>) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.len() >= WRITTEN_AT_MOST {
            written.pop_front();
        }
        written.push_back((message_id, content));
    }

    fn written(&self, mail: &CaughtMail) -> Option<String> {
        let message_id = message_id(&mail.content)?;
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, content) = written.iter().rev().find(|(id, _)| *id == message_id)?;
        Some(comparing::readable(content))
    }
}

#[async_trait::async_trait]
impl Office for DemoOffice {
    fn places(&self) -> Places {
        self.places.clone()
    }

    fn caught(&self) -> Vec<CaughtNote> {
        let note = |mail: &CaughtMail| CaughtNote {
            number: mail.number,
            id: relay_id(&mail.content),
            has_html: !mime::locate(&mail.content).html.is_empty(),
        };
        self.catcher.caught().iter().map(|mail| note(mail)).collect()
    }

    fn caught_html(&self, number: u64) -> Option<String> {
        comparing::html(&self.catcher.mail(number)?.content)
    }

    fn comparison(&self, number: u64) -> Option<Comparison> {
        let mail = self.catcher.mail(number)?;
        let passed_on = comparing::readable(&mail.content);
        Some(match self.written(&mail) {
            Some(written) => comparing::compare(&written, &passed_on),
            None => comparing::only_passed_on(passed_on),
        })
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
        self.catcher.arrivals()
    }
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
    };
    let mut connection = Connection::open(&upstream, None).await?;
    let sender = ReversePath::Mailbox(Mailbox::parse(SENDER)?);
    accepted(&connection.mail(&sender, &MailParameters::default()).await?)?;
    for recipient in &sample.to {
        accepted(&connection.rcpt(&ForwardPath::Mailbox(recipient.clone())).await?)?;
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
