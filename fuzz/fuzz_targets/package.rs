//! OVA files and boxes, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::package(data));
