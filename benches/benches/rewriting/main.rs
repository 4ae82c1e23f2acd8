//! `cargo bench -p waxseal-bench --bench rewriting`: rewriting step by step, beside yardsticks of the same run.
//!
//! First `divan` measures each by itself; then the ratios are printed, which is what one may quote (docs/benchmarks.md).
#![allow(unreachable_pub, reason = "a binary of several files")]

mod hostile;
mod mail;
mod ratios;
mod steps;

use std::sync::LazyLock;

use divan::{Bencher, black_box};
use ratios::{measured, print};
use steps::Steps;

const KB: usize = 1_000;
const MB: usize = 1_000_000;

static LETTER: LazyLock<Steps> =
    LazyLock::new(|| Steps::of(mail::quoted_printable(&mail::newsletter(20 * KB, 20))));

fn main() {
    divan::main();
    // With a filter, or as a test, only what was asked for.
    if std::env::args().skip(1).any(|argument| argument != "--bench") {
        return;
    }
    letter("20 KB of HTML, 20 links, quoted-printable", &LETTER, 2_000);
    letter("the same, base64", &Steps::of(mail::base64(&mail::newsletter(20 * KB, 20))), 1_000);
    letter("the same, 8bit", &Steps::of(mail::unencoded(&mail::newsletter(20 * KB, 20))), 1_000);
    sizes();
    attachment();
}

fn letter(title: &str, steps: &Steps, rounds: usize) {
    assert_eq!((steps.links(), steps.rewrite().links_tracked()), (20, 20));
    print(
        title,
        steps.decoded.octets.len(),
        rounds,
        &[
            measured("lol_html, a handler for every element", || steps.scan_every_element()),
            measured("lol_html, a handler for `a[href]`", || steps.scan_links()),
            measured("locate", || steps.locate()),
            measured("decode", || steps.decode()),
            measured("survey", || steps.survey()),
            measured("mint 20 links", || steps.mint()),
            measured("splice, with its check", || steps.splice()),
            measured("locate, decode, survey, splice", || steps.all_but_minting()),
            measured("relay::rewrite: all of it, 21 tokens minted", || steps.rewrite()),
        ],
    );
}

/// Linear: twice the HTML, twice the time.
fn sizes() {
    for (octets, links, rounds) in [(20 * KB, 20, 500), (250 * KB, 50, 100), (MB, 200, 40), (4 * MB, 800, 10)]
    {
        let steps = Steps::of(mail::quoted_printable(&mail::newsletter(octets, links)));
        assert_eq!(steps.rewrite().links_tracked(), links);
        print(
            &format!("{} KB of HTML, {links} links, quoted-printable", octets / KB),
            steps.decoded.octets.len(),
            rounds,
            &[
                measured("lol_html, a handler for every element", || steps.scan_every_element()),
                measured("relay::rewrite", || steps.rewrite()),
            ],
        );
    }
}

fn attachment() {
    let steps = Steps::of(mail::with_attachment(&mail::newsletter(20 * KB, 20), 30 * MB));
    print(
        "20 KB of HTML and 30 MB of attachment",
        steps.mail.len(),
        20,
        &[
            measured("memchr over its octets, counting lines", || {
                memchr::memchr_iter(b'\n', &steps.mail).count()
            }),
            measured("a copy of it", || steps.mail.to_vec()),
            measured("locate", || steps.locate()),
            measured("relay::rewrite", || steps.rewrite()),
        ],
    );
}

#[divan::bench]
fn yardstick_every_element() -> usize {
    LETTER.scan_every_element()
}

#[divan::bench]
fn yardstick_links_only() -> usize {
    LETTER.scan_links()
}

#[divan::bench]
fn locate() -> mime::Located {
    LETTER.locate()
}

#[divan::bench]
fn decode() -> mime::Decoded {
    LETTER.decode()
}

#[divan::bench]
fn survey() -> rewrite::Survey {
    LETTER.survey()
}

#[divan::bench]
fn mint() -> Vec<Option<String>> {
    LETTER.mint()
}

#[divan::bench]
fn splice() -> Vec<u8> {
    LETTER.splice()
}

#[divan::bench]
fn all_but_minting() -> Vec<u8> {
    LETTER.all_but_minting()
}

#[divan::bench]
fn rewrite() -> relay::Rewritten {
    LETTER.rewrite()
}

#[divan::bench(sample_count = 3, sample_size = 1, args = hostile::NAMES)]
fn hostile(bencher: Bencher<'_, '_>, name: &str) {
    let hostile::Hostile { mail, reason, .. } = hostile::of(name);
    let tracking = mail::tracking();
    bencher.bench(|| {
        let rewritten = relay::rewrite(black_box(&mail), &tracking);
        assert_eq!(rewritten.reasons.first().copied(), reason, "{name}");
        assert!(reason.is_none() || rewritten.content == mail, "{name}");
        rewritten
    });
}
