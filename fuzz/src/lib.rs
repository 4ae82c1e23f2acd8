//! Fuzz targets, each a function of any octets at all. `just fuzz-smoke` runs them under libFuzzer, `tests/fuzz_corpus.rs` without.

pub mod targets;
