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

# The real binary and clients we did not write: needs curl, python3 and swaks
e2e:
    cargo test --locked --test '*' -- --include-ignored

# The first five minutes, by itself
demo:
    cargo run --locked -- demo --script

# Measures; see docs/benchmarks.md
bench *ARGS:
    cargo run --release --locked -p waxseal-bench -- {{ARGS}}

# Writes the expectations anew; read the diff as code
bless:
    UPDATE=1 cargo test --locked
