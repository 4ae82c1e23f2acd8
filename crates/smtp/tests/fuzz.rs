//! The fuzz target `session` without a fuzzer: every transcript, what proptest makes of pieces of them, and the seeds.
#![allow(clippy::unwrap_used)] // These are tests.

// A test binary has no outside.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/targets/session.rs"]
mod session;

use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// What the clients of the transcripts say, line by line; what is written there as an escape stays one.
static LINES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let texts =
        files("tests/transcripts", "smtp").into_iter().map(|path| std::fs::read_to_string(path).unwrap());
    let mut lines = Vec::new();
    for text in texts {
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("C: ") {
                lines.push(format!("{said}\r\n").into_bytes());
            } else if let Some(said) = line.strip_prefix("R: ") {
                let said = said.replace("\\r", "\r").replace("\\n", "\n").replace("\\0", "\0");
                lines.push(said.into_bytes());
            }
        }
    }
    assert!(lines.len() > 500);
    lines
});

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| extension.is_empty() || path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

#[test]
fn seeds() {
    let seeds = files("../../fuzz/seeds/session", "");
    assert!(seeds.len() >= 5);
    for seed in seeds {
        session::session(&std::fs::read(seed).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_clients(
        settings in any::<u8>(),
        answers in any::<u8>(),
        begins in any::<bool>(),
        picked in vec((any::<Index>(), 0..20_u8, any::<Index>(), any::<u8>()), 0..25),
    ) {
        let mut data = vec![settings, answers];
        if begins {
            data.extend_from_slice(b"EHLO client.example\r\n");
        }
        for (line, what, place, octet) in picked {
            let mut line = line.get(&LINES).clone();
            let at = place.index(line.len() + 1);
            match what {
                0 => line.insert(at, octet),
                1 => line.truncate(at),
                2 => { line.drain(..at); }
                _ => {}
            }
            data.extend(line);
        }
        session::session(&data);
    }

    #[test]
    fn any_octets(data in vec(any::<u8>(), 0..200)) {
        session::session(&data);
    }
}
