//! `cargo bench -p waxseal-bench --bench memory`: the most memory that rewriting a mail takes, the mail itself counted.
#![allow(unreachable_pub, reason = "a binary of several files")]
#![allow(dead_code, reason = "the other binary uses the rest")]

#[path = "rewriting/hostile.rs"]
mod hostile;
#[path = "rewriting/mail.rs"]
mod mail;

use std::sync::Arc;

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const KB: usize = 1_000;
const MB: usize = 1_000_000;

fn main() {
    println!("| mail | octets | at most | x the mail |\n|---|---:|---:|---:|");
    let html = mail::newsletter(20 * MB, 4_000);
    weigh("20 MB of HTML, quoted-printable", || mail::quoted_printable(&html));
    weigh("the same, base64", || mail::base64(&html));
    weigh("the same, 8bit", || mail::unencoded(&html));
    let html = mail::newsletter(20 * KB, 20);
    weigh("20 KB of HTML and 30 MB of attachment", || mail::with_attachment(&html, 30 * MB));
    for name in hostile::NAMES {
        weigh(name, || hostile::of(name).mail);
    }
}

fn weigh(name: &str, mail: impl Fn() -> Arc<Vec<u8>>) {
    let mail = mail();
    let tracking = mail::tracking();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(relay::rewrite(&mail, &tracking));
    let most = MEMORY.peak_usage() - before + mail.len();
    #[expect(clippy::cast_precision_loss, reason = "to print")]
    let share = most as f64 / mail.len() as f64;
    println!("| {name} | {} | {most} | {share:.2} |", mail.len());
}
