#![no_main]

#[path = "../src/targets/session.rs"]
mod session;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| session::session(data));
