//! How long reading the rules and judging take. `cargo run --release -p waxseal-verdict --example speed`

use std::hint::black_box;
use std::time::Instant;

use waxseal_verdict::{Evidence, Kind, Lists, Rules, device};

const HITS: &[(&str, Kind, &str, &str)] = &[
    (
        "browser at home",
        Kind::Click,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/154.0.0.0 Safari/537.36",
        "203.0.113.7",
    ),
    (
        "Safe Links",
        Kind::Click,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/72.0.3626.109 Safari/537.36",
        "40.94.89.21",
    ),
    ("Apple", Kind::Open, "Mozilla/5.0", "104.28.42.1"),
    (
        "Gmail",
        Kind::Open,
        "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "2607:f8b0:4864::1",
    ),
    (
        "crawler",
        Kind::Click,
        "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
        "2001:db8::1",
    ),
];

const ROUNDS: u32 = 100_000;

fn main() {
    let start = Instant::now();
    let lists = Lists::builtin();
    println!("lists                {:>9.2?}", start.elapsed());

    let start = Instant::now();
    let rules = Rules::parse_with(Rules::builtin_text(), &lists).expect("the built-in rules parse");
    println!("rules                {:>9.2?}", start.elapsed());

    let start = Instant::now();
    let again = Rules::builtin();
    println!("Rules::builtin()     {:>9.2?}", start.elapsed());
    let start = Instant::now();
    black_box(Rules::builtin());
    println!("  again              {:>9.2?}", start.elapsed());

    let start = Instant::now();
    black_box(again.judge(&evidence(HITS[0])));
    println!("first judgement      {:>9.2?}", start.elapsed());

    for hit in HITS {
        let evidence = evidence(*hit);
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(rules.judge(black_box(&evidence)));
        }
        println!("judge {:<15}{:>9.2?}", hit.0, start.elapsed() / ROUNDS);
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(device(black_box(HITS[0].2)));
    }
    println!("device               {:>9.2?}", start.elapsed() / ROUNDS);
}

fn evidence((_, kind, agent, address): (&str, Kind, &str, &str)) -> Evidence {
    Evidence {
        user_agent: Some(agent.to_owned()),
        address: address.parse().ok(),
        since_accept_ms: Some(40_000),
        headers: Some(vec![
            ("accept".to_owned(), "text/html,application/xhtml+xml".to_owned()),
            ("accept-language".to_owned(), "de".to_owned()),
            ("sec-fetch-mode".to_owned(), "navigate".to_owned()),
            ("sec-fetch-user".to_owned(), "?1".to_owned()),
        ]),
        ..Evidence::new(kind)
    }
}
