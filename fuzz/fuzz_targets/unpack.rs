//! What wraps are unpacked by, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::unpack(data));
