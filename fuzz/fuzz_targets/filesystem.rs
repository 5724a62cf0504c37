//! Filesystems, of broken images and of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::filesystem::run(data));
