//! Kernels and what disables their drivers, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vmimage_fuzz::kernels::run(data);
});
