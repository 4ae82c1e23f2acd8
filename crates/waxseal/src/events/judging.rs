use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use anyhow::Context;
use envelope::{Clock, SystemClock, Timestamp};
use serde_json::json;
use store::Store;
use track::{Change, Correction, CorrectionError, Reclassifier};
use verdict::Verdict;

use super::who;
use crate::cli::{CorrectArgs, ReclassifyArgs};
use crate::exit::{self, Failure, Outcome};
use crate::messages::open;
use crate::output::{local_time, printable, say};
use crate::{check, wiring};

/// Applies the present rules to what was kept of opens and clicks.
pub(super) async fn reclassify(args: &ReclassifyArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let since = args.since.as_deref().map(|text| since(text, SystemClock.now())).transpose()?;
    let rules = Arc::new(wiring::rules(&config)?);
    let sqlite = open(&config.store.database)?;
    let store: Arc<dyn Store> = Arc::new(sqlite.clone());
    let mut reclassifier = Reclassifier::new(store, rules.clone(), since, args.message);
    let mut judged = 0;
    let mut counts: BTreeMap<(Option<Verdict>, Verdict), u64> = BTreeMap::new();
    while let Some(some) = reclassifier.next().await.context("cannot read the evidence")? {
        if !args.dry_run {
            reclassifier.apply(&some, SystemClock.now()).await.context("cannot write the verdicts")?;
        }
        judged += some.judged;
        for change in &some.changes {
            let from = change.event.event.judgement.as_ref().map(|judged| judged.verdict);
            *counts.entry((from, change.to.verdict)).or_default() += 1;
            if args.verbose && !args.json {
                say(&line(change));
            }
        }
    }
    sqlite.close().await;
    let changed: u64 = counts.values().sum();
    let mut out = io::stdout().lock();
    if args.json {
        let changes: Vec<_> = counts
            .iter()
            .map(|((from, to), count)| json!({ "from": from, "to": to, "count": count }))
            .collect();
        let report = json!({
            "rules": rules.version(),
            "dry_run": args.dry_run,
            "judged": judged,
            "changed": changed,
            "changes": changes,
        });
        writeln!(out, "{report}")?;
        return Ok(exit::OK);
    }
    for ((from, to), count) in &counts {
        // The same verdict may be surer, or have other reasons.
        writeln!(out, "{count:>8}  {} → {to}", from.map_or("none", Verdict::code))?;
    }
    let done = match (changed, args.dry_run) {
        (0, _) => "nothing changes".to_owned(),
        (changed, true) => format!("{changed} would change; nothing was changed"),
        (changed, false) => format!("{changed} changed"),
    };
    writeln!(out, "Rules {}: {judged} opens and clicks judged again, {done}.", printable(rules.version()))?;
    if judged == 0 && config.privacy.keep_evidence.is_none() {
        eprintln!(
            "What opens and clicks are judged by is deleted once they are settled; privacy.keep_evidence = \"90d\" keeps it."
        );
    }
    Ok(exit::OK)
}

/// The sender says who it was.
pub(super) async fn correct(args: &CorrectArgs) -> Outcome {
    let config = check::read(&args.config.config)?;
    let store = open(&config.store.database)?;
    let correction = match (args.me, args.person) {
        (true, _) => Correction::Me,
        (_, true) => Correction::Person,
        _ => Correction::Machine,
    };
    let corrected = track::correct(&store, &SystemClock, args.event, correction).await;
    store.close().await;
    match corrected {
        Ok(_) => {
            say(&format!(
                "{} was {correction}. The counts follow, and no rule changes it any more.",
                args.event
            ));
            Ok(exit::OK)
        }
        Err(error @ CorrectionError::Store(_)) => Err(anyhow::Error::new(error).into()),
        Err(error) => {
            let error = anyhow::anyhow!("{error}; `waxseal events --verbose` prints the ids of events");
            Err(Failure::new(exit::NO_INPUT, error))
        }
    }
}

fn line(change: &Change) -> String {
    let event = &change.event.event;
    format!(
        "{}  {}  {}  {}  {} → {}",
        local_time(event.at),
        event.kind.code(),
        printable(change.event.recipient_address.as_deref().unwrap_or("somebody")),
        event.id,
        event.judgement.as_ref().map_or_else(|| "none".to_owned(), who),
        who(&change.to),
    )
}

/// A moment, a date in this computer's zone, or so long before `now`.
fn since(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let moment = if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        Some(moment)
    } else if let Ok(date) = text.parse::<jiff::civil::Date>() {
        date.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    } else if let Ok(span) = text.parse::<jiff::Span>() {
        ago(span, now)
    } else {
        None
    };
    moment.map(|moment| Timestamp::from_unix_millis(moment.as_millisecond())).ok_or_else(|| {
        let error = anyhow::anyhow!(
            "--since {text:?} is no date, moment or time; write 2026-11-01, 2026-11-01T08:00:00Z or 7d"
        );
        Failure::new(exit::USAGE, error)
    })
}

fn ago(span: jiff::Span, now: Timestamp) -> Option<jiff::Timestamp> {
    let now = jiff::Timestamp::from_millisecond(now.unix_millis()).ok()?;
    // Days and weeks are of the calendar: with a zone they are known.
    now.to_zoned(jiff::tz::TimeZone::UTC).checked_sub(span.abs()).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_three_forms() {
        let now = Timestamp::from_unix_millis(1_795_508_461_000);
        for (text, expected) in [
            ("2026-11-24T08:21:00Z", Some(1_795_508_460_000)),
            ("7d", Some(1_795_508_461_000 - 7 * 86_400_000)),
            ("90 minutes", Some(1_795_508_461_000 - 90 * 60_000)),
            ("yesterday", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(since(text, now).ok().map(Timestamp::unix_millis), expected, "{text}");
        }
        assert!(since("2026-11-01", now).is_ok());
    }
}
