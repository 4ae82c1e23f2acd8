//! The fuzz targets without a fuzzer: every message, every seed, and the same mutations of them each time.
//!
//! `just fuzz-smoke` runs the targets under libFuzzer. `FUZZ_SECONDS=600 cargo test --release --test fuzz_corpus` goes on here with
//! further mutations for so long, without knowing what they reach. An input that fails stands in `target/tmp/fuzz/`; made small, it is
//! kept in `fuzz/seeds/`.
#![allow(
    clippy::duplicate_mod,
    clippy::naive_bytecount,
    clippy::type_complexity,
    clippy::doc_markdown,
    reason = "the targets are shared with fuzz/"
)]
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use harness::collection::cases;
use mime::TransferEncoding;
use targets::TARGETS;

type Target = fn(&[u8]);

/// Debug builds are slow: so many mutations take half a minute on two slow cores.
const MUTATIONS: usize = 4_000;

/// Longer seeds are run once, and not mutated.
const MAX_MUTATED_OCTETS: usize = 12_000;

#[test]
fn mime_locate() {
    run(0);
}

#[test]
fn splice() {
    run(1);
}

#[test]
fn rewrite() {
    run(2);
}

#[test]
fn survey() {
    run(3);
}

#[test]
fn token() {
    run(4);
}

fn run(number: usize) {
    let (name, target) = TARGETS[number];
    let seeds = seeds(name);
    let mut failures = Failures { name, target, found: vec![] };
    for seed in &seeds {
        failures.check(seed);
    }
    let short: Vec<&[u8]> =
        seeds.iter().map(Vec::as_slice).filter(|seed| seed.len() <= MAX_MUTATED_OCTETS).collect();
    let words = words();
    let mut chance = Chance(0x5eed + number as u64);
    let seconds = std::env::var("FUZZ_SECONDS").ok().map(|seconds| seconds.parse().unwrap());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut done = 0;
    while done < MUTATIONS || end.is_some_and(|end| Instant::now() < end) {
        failures.check(&mutated(&short, &words, &mut chance));
        done += 1;
    }
    println!("{name}: {} seeds, {done} mutations", seeds.len());
    assert!(failures.found.is_empty(), "{} inputs fail: {:#?}", failures.found.len(), failures.found);
}

struct Failures {
    name: &'static str,
    target: Target,
    found: Vec<PathBuf>,
}

impl Failures {
    fn check(&mut self, input: &[u8]) {
        let target = self.target;
        if self.found.len() < 20 && catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
            std::fs::create_dir_all(&folder).unwrap();
            let file = folder.join(format!("{}-{}", self.name, self.found.len()));
            std::fs::write(&file, input).unwrap();
            self.found.push(file);
        }
    }
}

/// What the targets begin with: the messages in the form each target takes, and those made by hand.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        cases().iter().flat_map(|case| from_message(name, &case.submitted)).collect();
    assert!(seeds.len() >= 150, "{} seeds for {name}", seeds.len());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds for {name}");
    seeds.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    seeds
}

fn from_message(name: &str, raw: &[u8]) -> Vec<Vec<u8>> {
    let located = mime::locate(raw);
    let parts = located.html.iter().chain(&located.plain);
    match name {
        // Everything wished for, then the same with text parts, and at the start.
        "rewrite" => [b"C", b"W", b"K"].map(|choices| [choices, raw].concat()).into(),
        "splice" => parts
            .map(|part| {
                let letter = match part.encoding {
                    TransferEncoding::SevenBit => b"7",
                    TransferEncoding::EightBit => b"8",
                    TransferEncoding::Binary => b"b",
                    TransferEncoding::QuotedPrintable => b"q",
                    TransferEncoding::Base64 => b"6",
                };
                // A replacement by a link in the first half, an insertion of a pixel near the end.
                [letter, b"2@@bb\xf0@@c".as_slice(), &raw[part.body.clone()]].concat()
            })
            .collect(),
        "survey" => located
            .html
            .iter()
            .map(|part| (part, b"A"))
            .chain(located.plain.iter().map(|part| (part, b"C")))
            .filter_map(|(part, choices)| {
                let text = mime::decode(&raw[part.body.clone()], part.encoding).ok()?.octets;
                let label = part.charset.as_deref().unwrap_or_default();
                Some([choices, label.as_bytes(), b"\n", &text].concat())
            })
            .collect(),
        _ => vec![raw.to_vec()],
    }
}

/// The words of `fuzz/waxseal.dict`.
fn words() -> Vec<Vec<u8>> {
    let file = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/waxseal.dict")).unwrap();
    let lines = file.split(|octet| *octet == b'\n');
    let quoted = lines.filter_map(|line| line.strip_prefix(b"\"")?.strip_suffix(b"\""));
    let words: Vec<Vec<u8>> = quoted.map(|word| unescaped(&String::from_utf8_lossy(word))).collect();
    assert!(words.len() > 50 && words.iter().all(|word| !word.is_empty()));
    words
}

/// `\"`, `\\` and `\x0a`.
fn unescaped(word: &str) -> Vec<u8> {
    let (mut out, mut rest) = (vec![], word);
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let (octet, length) = match &rest[at + 1..] {
            hex if hex.starts_with('x') => (u8::from_str_radix(&hex[1..3], 16).unwrap(), 4),
            other => (other.as_bytes()[0], 2),
        };
        out.push(octet);
        rest = &rest[at + length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// A seed with up to eight changes, most of which leave it a mail.
fn mutated(seeds: &[&[u8]], words: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut input = seeds[chance.below(seeds.len())].to_vec();
    for _ in 0..=chance.below(8) {
        let at = chance.below(input.len() + 1);
        let end = (at + chance.below(40)).min(input.len());
        match chance.below(8) {
            0 => {
                input.splice(at..at, words[chance.below(words.len())].iter().copied());
            }
            1 => {
                input.splice(at..end, words[chance.below(words.len())].iter().copied());
            }
            2 => {
                input.drain(at..end);
            }
            3 => {
                let twice = input[at..end].to_vec();
                input.splice(at..at, twice);
            }
            4 if at < input.len() => input[at] ^= 1 << chance.below(8),
            5 if at < input.len() => input[at] = u8::try_from(chance.below(256)).unwrap(),
            6 => {
                let other = seeds[chance.below(seeds.len())];
                let from = chance.below(other.len() + 1);
                let until = (from + chance.below(400)).min(other.len());
                input.splice(at..at, other[from..until].iter().copied());
            }
            // Cut off, but not often: little is left to be seen then.
            _ if chance.below(4) == 0 => input.truncate(at),
            _ => {
                let moved: Vec<u8> = input.drain(at..end).collect();
                let to = chance.below(input.len() + 1);
                input.splice(to..to, moved);
            }
        }
    }
    input
}

/// The same numbers each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

/// `fuzz/corpus/`, from which libFuzzer begins.
#[test]
#[ignore = "writes files for the fuzzer: just fuzz-smoke"]
fn the_fuzzers_corpus_is_written() {
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds(name).iter().enumerate().filter(|(_, seed)| seed.len() <= 32_768) {
            std::fs::write(folder.join(format!("seed-{number:04}")), seed).unwrap();
        }
    }
}
