//! How long reading the rules and judging take, over every case of `tests/cases`.
//! `cargo run --release -p waxseal-verdict --example speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use waxseal_verdict::{Evidence, Lists, Record, Rules, device, load_families};

const CASES: &[&str] = &[
    include_str!("../tests/cases/adversarial.jsonl"),
    include_str!("../tests/cases/apple.jsonl"),
    include_str!("../tests/cases/field.jsonl"),
    include_str!("../tests/cases/gateways.jsonl"),
    include_str!("../tests/cases/google.jsonl"),
    include_str!("../tests/cases/microsoft.jsonl"),
    include_str!("../tests/cases/people.jsonl"),
    include_str!("../tests/cases/previews.jsonl"),
    include_str!("../tests/cases/providers.jsonl"),
    include_str!("../tests/cases/self.jsonl"),
];

const ROUNDS: usize = 300;

fn main() {
    let (lists, took) = timed(Lists::builtin);
    println!("lists                 {took:>9.2?}");
    let (rules, took) = timed(|| Rules::parse_with(Rules::builtin_text(), &lists));
    let rules = rules.expect("the built-in rules parse");
    println!("rules                 {took:>9.2?}");
    println!("list of programs      {:>9.2?}", timed(load_families).1);

    let cases: Vec<Evidence> = CASES
        .iter()
        .flat_map(|file| file.lines())
        .map(|line| serde_json::from_str::<Record>(line).expect("a case").into())
        .collect();
    println!("first judgement       {:>9.2?}", timed(|| black_box(rules.judge(&cases[0]))).1);
    for evidence in &cases {
        black_box(rules.judge(evidence));
    }
    spread("judge", &cases, |evidence| {
        black_box(rules.judge(black_box(evidence)));
    });
    spread("device", &cases, |evidence| {
        black_box(evidence.user_agent.as_deref().and_then(|agent| device(black_box(agent))));
    });
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let made = work();
    (made, start.elapsed())
}

/// Each case by itself, many times: half are quicker than the median, one in a hundred is slower than p99.
fn spread(what: &str, cases: &[Evidence], work: impl Fn(&Evidence)) {
    let mut took: Vec<Duration> = Vec::with_capacity(cases.len() * ROUNDS);
    for _ in 0..ROUNDS {
        took.extend(cases.iter().map(|evidence| timed(|| work(evidence)).1));
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{what:<6} {} cases    median {:>8.2?}   p99 {:>8.2?}   longest {:>8.2?}",
        cases.len(),
        at(50),
        at(99),
        at(100)
    );
}
