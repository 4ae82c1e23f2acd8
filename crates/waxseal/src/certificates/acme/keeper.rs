use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use envelope::{Clock, Timestamp};

use super::account;
use super::failure::{Concerns, Failure, pause};
use super::order::{self, Issued};
use super::record::{self, Record};
use super::transport::Transport;
use crate::certificates::pair::{Pair, day};
use crate::certificates::shown::Shown;
use crate::certificates::{Folder, self_signed};
use crate::config::AcmeConfig;

/// A clock can be set and a machine can sleep, so we look now and then.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);
/// For one certificate: a dozen requests and the authority's own time.
const PATIENCE: Duration = Duration::from_mins(6);
/// Each request is said three times already when its nonce is refused.
const TRIES_AT_ONCE: u32 = 3;
/// However short-lived a certificate is, and however wrong the clock: no more than one in this time.
const BETWEEN_CERTIFICATES: Duration = Duration::from_hours(1);

/// Has a certificate for each name, and renews it in time.
///
/// One certificate a name: a name that fails takes no other down, and the certificate of one tracking domain
/// does not tell the world of all the others.
pub(crate) struct Keeper {
    acme: AcmeConfig,
    folder: Folder,
    transport: Transport,
    shown: Arc<Shown>,
    clock: Arc<dyn Clock>,
    names: BTreeMap<String, Kept>,
}

/// What we have for a name.
struct Kept {
    record: Record,
    /// `None`: a certificate of our own is shown in its place.
    pair: Option<Pair>,
}

impl Keeper {
    /// Shows for each name what is kept for it, or a certificate of our own until there is one. Asks nobody.
    ///
    /// # Errors
    /// When the authority's authorities cannot be read.
    pub(crate) fn open(
        acme: AcmeConfig,
        names: Vec<String>,
        folder: Folder,
        shown: Arc<Shown>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let transport = Transport::new(acme.directory_ca_file.as_deref())?;
        let mut kept = BTreeMap::new();
        for name in names {
            let pair = record::kept(&folder, &name).unwrap_or_else(|why| {
                tracing::error!(why, "a kept certificate cannot be used; a new one is asked for");
                None
            });
            if let Some(pair) = &pair {
                tracing::info!(name, valid_until = day(pair.not_after()), "a kept certificate is in use");
                shown.show(&name, pair.certified());
            } else {
                let placeholder = self_signed::placeholder(&name, clock.now());
                shown.show(&name, placeholder.context("no certificate could be made")?.certified());
                tracing::warn!(
                    name,
                    "there is no certificate for this name yet: programs that connect will complain until the authority has given us one"
                );
            }
            let record = Record::read(&folder, &name);
            kept.insert(name, Kept { record, pair });
        }
        Ok(Self { acme, folder, transport, shown, clock, names: kept })
    }

    /// For ever.
    pub(crate) async fn run(mut self) {
        loop {
            let next = self.round().await;
            let sleep = next.since(self.clock.now()).clamp(Duration::from_millis(100), LONGEST_SLEEP);
            tokio::time::sleep(sleep).await;
        }
    }

    /// Asks for every certificate that is due; the moment the next one is.
    async fn round(&mut self) -> Timestamp {
        let now = self.clock.now();
        let is_due = |kept: &Kept| kept.record.due(kept.pair.as_ref(), &self.acme, now) <= now;
        // Those without any go first.
        let mut due: Vec<String> =
            self.names.iter().filter(|(_, kept)| is_due(kept)).map(|(name, _)| name.clone()).collect();
        due.sort_by_key(|name| self.names.get(name).is_some_and(|kept| kept.pair.is_some()));
        let mut turned_away: Option<Failure> = None;
        for name in due {
            let outcome = match (self.begin(&name), &turned_away) {
                (Err(failure), _) => Err(failure),
                (Ok(()), Some(failure)) => Err(failure.clone()),
                (Ok(()), None) => self.attempt(&name).await,
            };
            match outcome {
                Ok(issued) => self.issued(&name, issued),
                Err(failure) => {
                    if failure.concerns != Concerns::Name {
                        turned_away = Some(failure.clone());
                    }
                    self.failed(&name, &failure);
                }
            }
        }
        if turned_away.is_some_and(|failure| failure.concerns == Concerns::Account) {
            account::forget(&self.acme, &self.folder);
        }
        let now = self.clock.now();
        let next = self.names.values().map(|kept| kept.record.due(kept.pair.as_ref(), &self.acme, now));
        next.min().unwrap_or(now.plus(LONGEST_SLEEP))
    }

    /// Notes a try before anything is asked: a program that dies half way through and is started again and
    /// again must not ask again and again.
    fn begin(&mut self, name: &str) -> Result<(), Failure> {
        let (now, settings) = (self.clock.now(), Record::settings(&self.acme));
        let Some(kept) = self.names.get_mut(name) else { return Ok(()) };
        let record = &mut kept.record;
        if record.tried_with != settings {
            (record.tried_with, record.failures) = (settings, 0);
        }
        record.failures = record.failures.saturating_add(1);
        record.next_try = Some(now.plus(pause(Concerns::Name, record.failures, None, dice())).to_string());
        record.problem = Some("the last try was interrupted".into());
        record.hint = None;
        record.write(&self.folder, name).map_err(|error| {
            let why = format!("nothing can be kept in {}: {error}", self.folder.path("").display());
            Failure::here(why, Concerns::Authority)
        })
    }

    async fn attempt(&self, name: &str) -> Result<Issued, Failure> {
        let once = || async {
            let account = account::account(&self.acme, &self.folder, &self.transport).await?;
            order::obtain(&account, &self.transport, name, self.acme.challenge, &self.shown).await
        };
        let asking = async {
            let mut tries = 1;
            loop {
                match once().await {
                    Err(failure) if failure.at_once && tries < TRIES_AT_ONCE => tries += 1,
                    outcome => return outcome,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| {
            Err(Failure::here("the authority was not done in time".into(), Concerns::Authority))
        })
    }

    fn issued(&mut self, name: &str, issued: Issued) {
        let Issued { pair, pem } = issued;
        let now = self.clock.now();
        if !pair.has_begun(now) || pair.has_expired(now) {
            tracing::error!(
                name,
                valid_until = day(pair.not_after()),
                "the authority gave a certificate that is not valid now: is this machine's clock right?"
            );
        }
        // In use even if it cannot be kept.
        self.shown.show(name, pair.certified());
        let file = record::pem_file(name);
        let kept = self.folder.write(&file, pem.as_bytes());
        let record = Record {
            issued_by: kept.is_ok().then(|| self.acme.directory.clone()),
            tried_with: Record::settings(&self.acme),
            failures: 0,
            next_try: Some(now.plus(BETWEEN_CERTIFICATES).to_string()),
            problem: None,
            hint: None,
        };
        let kept = kept.and_then(|()| record.write(&self.folder, name));
        if let Err(error) = kept {
            tracing::error!(
                name, %error, file = %self.folder.path(&file).display(),
                "the new certificate is in use and cannot be kept: after a restart it is gone"
            );
        }
        tracing::info!(name, valid_until = day(pair.not_after()), "a new certificate is in use");
        let record = Record { issued_by: Some(self.acme.directory.clone()), ..record };
        self.names.insert(name.to_owned(), Kept { record, pair: Some(pair) });
    }

    fn failed(&mut self, name: &str, failure: &Failure) {
        let now = self.clock.now();
        let Some(kept) = self.names.get_mut(name) else { return };
        let record = &mut kept.record;
        record.next_try =
            Some(now.plus(pause(failure.concerns, record.failures, failure.wait, dice())).to_string());
        record.problem = Some(failure.said.clone());
        record.hint.clone_from(&failure.hint);
        if let Err(error) = record.write(&self.folder, name) {
            tracing::error!(name, %error, "what became of a try cannot be kept");
        }
        let next_try = record.next_try.as_deref().unwrap_or_default();
        let hint = failure.hint.as_deref().unwrap_or("waxseal check tells the same");
        match &kept.pair {
            // There is time, and the operator need not get up.
            Some(pair) if pair.left(now) > Duration::from_hours(24 * 7) => tracing::warn!(
                name,
                problem = failure.said,
                next_try,
                valid_until = day(pair.not_after()),
                hint,
                "the certificate was not renewed"
            ),
            Some(pair) => tracing::error!(
                name,
                problem = failure.said,
                next_try,
                valid_until = day(pair.not_after()),
                hint,
                "the certificate was not renewed, and it ends soon"
            ),
            None => tracing::error!(name, problem = failure.said, next_try, hint, "there is no certificate"),
        }
    }
}

/// Between 0 and 1.
fn dice() -> f64 {
    let mut octet = [0];
    // Without any we try at the same time as everybody else.
    let _ = getrandom::fill(&mut octet);
    f64::from(octet[0]) / 255.0
}
