//! The configuration of the guest's init, of any text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::guest(data));
