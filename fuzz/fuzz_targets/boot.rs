//! How a broken disk or disc boots, as `inspect` tells it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::media::run(data));
