#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_fuzz::targets;

fuzz_target!(|data: &[u8]| targets::token(data));
