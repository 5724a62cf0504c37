//! What a tag of a registry names, of any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _taken = vmimage_fuzz::index(data);
});
