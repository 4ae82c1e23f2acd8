use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::sync::Arc;

use anyhow::Context;
use envelope::{Choice, Clock, Reason, RelayId, SystemClock};
use relay::{Asked, OnDkim, Rewriting, Rewritten, Tracking, Wish, without_control_fields};
use seal::{Keys, Recipient};
use similar::TextDiff;

use crate::cli::PreviewArgs;
use crate::exit::{self, Failure, Outcome};
use crate::output::printable;

const TRACK_FIELD: &str = "X-Waxseal-Track";

/// Prints the rewritten message, or the difference with each decision's reason.
///
/// Nothing leaves and nothing is stored. The keys are made up, so the links of a preview lead nowhere.
pub(crate) fn preview(args: &PreviewArgs) -> Outcome {
    let raw = with_crlf(&read(args)?);
    let Some(fallback) = Wish::read(&args.track) else {
        let error =
            anyhow::anyhow!("--track is opens, links, \"opens, links\" or none; not {:?}", args.track);
        return Err(Failure::new(exit::USAGE, error));
    };
    let fallback = fallback.over(Choice::NONE);
    let asked = Asked::of(&raw, TRACK_FIELD);
    let choice = match asked {
        Asked::For { wish, .. } => wish.over(fallback),
        Asked::Nothing | Asked::Unclear => fallback,
    };
    let before = Arc::new(without_control_fields(&raw, TRACK_FIELD).into_owned());
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|e| anyhow::anyhow!("the system gives no random octets: {e}"))?;
    let tracking = Tracking {
        id: RelayId::new(SystemClock.now(), [0; 10]),
        recipient: Recipient::Index(0),
        choice,
        keys: Arc::new(Keys::generate(secret)),
        base_url: args.base_url.trim_end_matches('/').to_owned(),
        rewriting: Rewriting { plain_text: args.plain_text, ..Rewriting::default() },
        on_dkim: OnDkim::Keep,
    };
    let mut rewritten = relay::rewrite(&before, &tracking);
    if choice.is_none() {
        rewritten.reasons.insert(0, Reason::OptedOut);
    }
    if asked == Asked::Unclear {
        rewritten.reasons.push(Reason::UnknownChoice);
    }

    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", as_json(&rewritten))?;
    } else if args.diff {
        out.write_all(difference(&raw, &before, &rewritten).as_bytes())?;
    } else {
        out.write_all(&rewritten.content)?;
        eprint!("{}", decisions(&rewritten));
    }
    Ok(exit::OK)
}

fn read(args: &PreviewArgs) -> anyhow::Result<Vec<u8>> {
    let mut raw = Vec::new();
    if args.message.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut raw)?;
    } else {
        raw = std::fs::read(&args.message)
            .with_context(|| format!("cannot read the message {}", args.message.display()))?;
    }
    Ok(raw)
}

/// A saved message often has LF line ends; on the wire it will have CRLF.
fn with_crlf(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 40);
    let mut last = 0;
    for &octet in raw {
        if octet == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(octet);
        last = octet;
    }
    out
}

/// What was decided and why, for people.
fn decisions(rewritten: &Rewritten) -> String {
    let mut text = String::new();
    let tracked = rewritten.links_tracked();
    let _ = writeln!(
        text,
        "pixel: {}; links: {tracked} tracked, {} left alone",
        if rewritten.pixel { "yes" } else { "no" },
        rewritten.links.len() - tracked
    );
    if rewritten.history {
        text.push_str("  our own earlier pixel and links were taken out of the quoted text\n");
    }
    for reason in &rewritten.reasons {
        let _ = writeln!(text, "  {}: {}", reason.code(), reason.sentence());
    }
    for note in &rewritten.parts {
        let _ = writeln!(text, "  part {}: {}: {}", note.path, note.reason.code(), note.reason.sentence());
    }
    for link in &rewritten.links {
        let _ = match link.kept {
            None => writeln!(text, "  link {}: tracked: {}", link.index, printable(&link.href)),
            Some(reason) => writeln!(
                text,
                "  link {}: {}: {} {}",
                link.index,
                reason.code(),
                printable(&link.href),
                reason.sentence()
            ),
        };
    }
    text
}

/// The header's difference, then that of each displayed HTML part, decoded: what a reader of a diff wants to see.
fn difference(raw: &[u8], before: &[u8], rewritten: &Rewritten) -> String {
    let mut text = String::new();
    let header = |octets: &[u8]| {
        let end = octets.windows(4).position(|w| w == b"\r\n\r\n").map_or(octets.len(), |at| at + 2);
        String::from_utf8_lossy(&octets[..end]).into_owned()
    };
    unified(&mut text, "header", &header(raw), &header(&rewritten.content));
    let (old, new) = (mime::locate(before), mime::locate(&rewritten.content));
    for (was, is) in old.html.iter().zip(&new.html) {
        let decoded = |octets: &[u8], part: &mime::TextPart| {
            mime::decode(&octets[part.body.clone()], part.encoding)
                .map(|decoded| String::from_utf8_lossy(&decoded.octets).into_owned())
                .unwrap_or_default()
        };
        let name = format!("part {} (text/html, {:?}, decoded)", was.path, was.encoding);
        unified(&mut text, &name, &decoded(before, was), &decoded(&rewritten.content, is));
    }
    text.push_str(&decisions(rewritten));
    text
}

fn unified(text: &mut String, name: &str, was: &str, is: &str) {
    if was != is {
        let (was, is) = (was.replace('\r', ""), is.replace('\r', ""));
        let diff = TextDiff::from_lines(&was, &is);
        let shown = diff
            .unified_diff()
            .header(&format!("{name}, as written"), &format!("{name}, passed on"))
            .to_string();
        text.push_str(&shown);
        text.push('\n');
    }
}

fn as_json(rewritten: &Rewritten) -> serde_json::Value {
    serde_json::json!({
        "pixel": rewritten.pixel,
        "links_tracked": rewritten.links_tracked(),
        "history": rewritten.history,
        "reasons": rewritten.reasons.iter().map(|r| r.code()).collect::<Vec<_>>(),
        "parts": rewritten.parts,
        "links": rewritten.links,
    })
}
