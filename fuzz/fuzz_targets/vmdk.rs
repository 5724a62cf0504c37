//! The vmdk reader on broken files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vmimage_fuzz::files::VMDK.run(data));
