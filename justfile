# What CI runs, piece by piece. `just` lists the recipes.

_default:
    @just --list

# Everything CI checks, without installing anything
check: fmt clippy doc deny test

fmt:
    cargo fmt --all --check

clippy:
    cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

deny:
    cargo deny check licenses bans sources

# The README's second command
test:
    cargo test --locked

# The real binary, clients we did not write, and a browser: what they need is at the top of .ci/run
e2e:
    npm ci --prefix tests/clients --no-audit --no-fund --silent
    npm ci --prefix tests/browser --no-audit --no-fund --silent
    npm ci --prefix tests/browser/render --no-audit --no-fund --silent
    cargo test --locked --package waxseal --test clients_nobody_here_wrote --test unsubscribing --test real_clients --test full_disk --test clients_and_bad_providers --test bad_days --test demo_in_a_browser --test acme_pebble --test looks_the_same -- --ignored
    cargo test --locked --package waxseal-store --test full_journal -- --ignored --exact a_full_disk_loses_nothing_that_was_acknowledged_and_is_not_littered

# The first five minutes, by itself
demo:
    cargo run --locked -- demo --script

# Measures; see docs/benchmarks.md
bench *ARGS:
    cargo build --release --locked -p waxseal
    cargo run --release --locked -p waxseal-bench -- {{ARGS}}

# Once before `just bench pixel`: the yardstick's own dependencies; the machine also needs nginx (nginx-light)
bench-yardsticks:
    npm ci --prefix benches/fastify --no-audit --no-fund --silent

# Rewriting alone, step by step beside yardsticks, and the memory it takes
bench-rewriting:
    cargo bench --locked -p waxseal-bench --bench rewriting --bench memory

# How often the rules are right: both halves of the labelled cases, beside three simple filters; see docs/verdicts.md
verdicts:
    cargo test --locked --quiet --package waxseal-verdict --test quality -- --nocapture --test-threads 1

# How long a verdict takes
bench-verdicts:
    cargo run --release --locked --package waxseal-verdict --example speed

# Writes the expectations anew; read the diff as code
bless:
    UPDATE=1 cargo test --locked --test messages --test config
    UPDATE=1 cargo test --locked --package waxseal-verdict --lib

# Each parser under libFuzzer for a minute: needs cargo-fuzz (cargo install --locked cargo-fuzz); RUSTC_BOOTSTRAP lets a stable compiler do it
fuzz-smoke SECONDS="60":
    cargo test --locked --test fuzz_corpus -- --ignored --exact the_fuzzers_corpus_is_written
    cd fuzz && for target in mime_locate splice rewrite survey session token; do RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $target -- -max_total_time={{SECONDS}} -max_len=16384 -timeout=10 -dict=waxseal.dict || exit 1; done

# Seeds a bug at a time into a copy and demands that the tests see it; a quarter of an hour
mutations:
    tests/mutations/run.sh
