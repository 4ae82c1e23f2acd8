//! Ratios: each step right beside its yardstick, round after round, so that a machine's moods hit both.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Something to measure, by name.
pub struct Measured<'a> {
    pub name: &'a str,
    pub run: Box<dyn Fn() + 'a>,
}

pub fn measured<'a, T>(name: &'a str, run: impl Fn() -> T + 'a) -> Measured<'a> {
    Measured { name, run: Box::new(move || drop(black_box(run()))) }
}

/// Prints medians over `rounds`, and how many times the first one each takes. `octets` are those of the HTML or the mail.
pub fn print(title: &str, octets: usize, rounds: usize, all: &[Measured<'_>]) {
    let mut took: Vec<Vec<Duration>> = vec![vec![]; all.len()];
    for round in 0..=rounds {
        for (one, took) in all.iter().zip(&mut took) {
            let started = Instant::now();
            (one.run)();
            // The first is to warm up.
            if round > 0 {
                took.push(started.elapsed());
            }
        }
    }
    println!("\n{title} ({octets} octets)\n\n| | µs | MB/s | x the first |\n|---|---:|---:|---:|");
    let yardstick = took[0].clone();
    for (one, took) in all.iter().zip(&took) {
        let ratios = took.iter().zip(&yardstick).map(|(one, first)| one.as_secs_f64() / first.as_secs_f64());
        let (micros, ratio) = (median(took.iter().map(|took| took.as_secs_f64() * 1e6)), median(ratios));
        #[expect(clippy::cast_precision_loss, reason = "to print")]
        let speed = octets as f64 / micros;
        println!("| {} | {micros:.1} | {speed:.0} | {ratio:.2} |", one.name);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
