//! Kernel modules and the lists beside them, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vmimage_fuzz::modules::run(data);
});
