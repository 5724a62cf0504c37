//! EFI programs and unified kernel images, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vmimage_fuzz::programs::run(data);
});
