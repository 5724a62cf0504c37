//! Guessing a format, and the reader that is guessed, on any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::detect(data));
