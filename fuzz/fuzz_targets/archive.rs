//! Archives, layers and images into a tree, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::archive(data));
