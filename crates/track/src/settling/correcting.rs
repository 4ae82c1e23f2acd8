use std::fmt;

use envelope::{Clock, RelayId};
use store::{Event, EventKind, Store, StoreError};
use verdict::{Confidence, Judgement, Trust, Verdict};

use super::about;

/// Who the sender says it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Correction {
    /// "This was me."
    Me,
    /// "This was a person."
    Person,
    /// "This was a machine."
    Machine,
}

/// Why nothing was corrected.
#[derive(Debug, thiserror::Error)]
pub enum CorrectionError {
    /// No event has this id.
    #[error("there is no event {0}")]
    Unknown(RelayId),
    /// Only of opens and clicks it can be said who they were.
    #[error("{id} is a {kind}; only an open or a click can be corrected")]
    NoHit {
        /// The event.
        id: RelayId,
        /// What it is.
        kind: &'static str,
    },
    /// It could not be written.
    #[error("the correction was not recorded")]
    Store(#[from] StoreError),
}

impl Correction {
    /// The reason's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Me => "corrected_me",
            Self::Person => "corrected_person",
            Self::Machine => "corrected_machine",
        }
    }

    fn judgement(self, current: Option<&Judgement>) -> Judgement {
        let trust = current.map(|judged| judged.trust).unwrap_or_default();
        Judgement {
            verdict: match self {
                Self::Me => Verdict::Oneself,
                Self::Person => Verdict::Human,
                Self::Machine => Verdict::Scanner,
            },
            confidence: Confidence::Certain,
            reasons: vec![self.code().to_owned()],
            // That it was a person says nothing about whose device and place the request showed.
            trust: if self == Self::Person { Trust { time: true, ..trust } } else { Trust::default() },
            rules: current.map(|judged| judged.rules.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Me => "you",
            Self::Person => "a person",
            Self::Machine => "a machine",
        })
    }
}

/// Records who an open or a click was. It stands above the rules, now and when they change; the counts follow.
/// Returns what was recorded; said again, it changes nothing.
///
/// # Errors
/// When there is no such open or click, or it cannot be written.
pub async fn correct(
    store: &dyn Store,
    clock: &dyn Clock,
    id: RelayId,
    correction: Correction,
) -> Result<Event, CorrectionError> {
    let stored = store.event(id).await?.ok_or(CorrectionError::Unknown(id))?;
    if stored.event.kind.hit().is_none() {
        return Err(CorrectionError::NoHit { id, kind: stored.event.kind.code() });
    }
    // What the rules said first, so that one correction after another says the same each time.
    let by_rules = stored.first_judgement.as_ref().or(stored.event.judgement.as_ref());
    let judgement = correction.judgement(by_rules);
    let event = about(&stored, EventKind::Correction, clock.now(), judgement);
    store.record_event(event.clone()).await?;
    Ok(event)
}
