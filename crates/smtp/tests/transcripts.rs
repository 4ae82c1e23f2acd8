//! Plays every transcript of `tests/transcripts`, however its octets arrive.
#![allow(clippy::unwrap_used)] // These are tests.

mod transcript;

use std::path::PathBuf;

use transcript::{Cut, Pace, Transcript};

/// Cutting a turn in two at every place is a square of its length.
const MAX_OCTETS_TO_CUT: usize = 4_096;

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "smtp"));
    files.sort();
    files
}

/// Every way to play it that must come to the same.
fn play(transcript: &Transcript) -> Result<(), String> {
    for pace in [Pace::Patient, Pace::Hasty] {
        let longest = transcript.longest_turn(pace);
        let places = if longest <= MAX_OCTETS_TO_CUT { 1..longest } else { 1..16 };
        for cut in [Cut::Nowhere, Cut::Everywhere].into_iter().chain(places.map(Cut::At)) {
            transcript.play(pace, cut).map_err(|error| format!("{pace:?}, cut {cut:?}: {error}"))?;
        }
    }
    Ok(())
}

#[test]
fn every_transcript_comes_true_however_its_octets_arrive() {
    let files = files();
    assert!(files.len() >= 70, "only {} transcripts were found", files.len());
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Transcript::read(path)
                .and_then(|transcript| play(&transcript))
                .err()
                .map(|error| format!("{name}: {error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), files.len(), wrong.join("\n"));
}

/// A runner that lets everything pass would look just like a good server.
#[test]
fn a_transcript_that_is_not_true_is_noticed() {
    let good = "S: 220 relay.example ESMTP\nC: NOOP\nS: 250 *\nC: QUIT\nS: 221 2.0.0 *\nE: closed\n";
    assert_eq!(Transcript::parse(good).and_then(|transcript| play(&transcript)), Ok(()));
    for (from, to) in [
        ("S: 220 relay.example ESMTP", "S: 220 relay.example"),
        ("S: 220 relay.example ESMTP\n", ""),
        ("S: 250 *", "S: 251 *"),
        ("S: 250 *", "S: 250-*\nS: 250 *"),
        ("S: 250 *", "H: reset"),
        ("S: 221 2.0.0 *", "S: 221 *\nS: 221 *"),
        ("E: closed\n", ""),
        ("C: QUIT", "C: NOOP"),
        ("C: NOOP", "T: handshake\nC: NOOP"),
        ("C: NOOP", "G: NOOP"),
        ("C: NOOP", "C: \\q"),
        ("S: 250 *", "S: 250-*"),
        ("S: 220", "# config: colour=red\nS: 220"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert!(Transcript::parse(&bad).and_then(|transcript| play(&transcript)).is_err(), "{bad}");
    }
}

/// The page of standards names transcripts; each has to be there.
#[test]
fn what_the_page_of_standards_names_is_there() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/standards.md");
    let page = std::fs::read_to_string(page).unwrap();
    let names: Vec<String> =
        files().iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    let named: Vec<&str> = page
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.strip_suffix(".smtp").is_some_and(|name| !name.is_empty())
                || (name.ends_with("_*") && !name.contains('/'))
        })
        .collect();
    assert!(named.len() > 50, "{named:?}");
    for name in named {
        let found = match name.strip_suffix('*') {
            Some(beginning) => names.iter().any(|other| other.starts_with(beginning)),
            None => names.iter().any(|other| other == name),
        };
        assert!(found, "{name}");
    }
}
