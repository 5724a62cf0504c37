//! Files of GRUB and syslinux, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    vmimage_fuzz::loaders::run(data);
});
