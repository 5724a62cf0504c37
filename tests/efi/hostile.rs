//! Damaged files: reading ends with a result or an error, never with a panic.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::base::ByteSource;
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::efi::{Machine, Parts, kernel, read, unified};
use vmimage::engine::bootloader::grub::efi::{Params, image};

use crate::image::tight;
use crate::made::{bytes, kernel as kernel_file, stub};

/// Each byte of the front becomes each of these.
const VALUES: [fn(u8) -> u8; 3] = [|_| 0xff, |b| b ^ 0x81, |b| b.wrapping_add(9)];

fn changed(good: &[u8], front: usize, mut try_it: impl FnMut(Vec<u8>)) {
    for at in 0..front {
        for value in VALUES {
            let mut bad = good.to_vec();
            bad[at] = value(bad[at]);
            try_it(bad);
        }
    }
    for len in (0..front).chain([good.len() - 1]) {
        try_it(good[..len].to_vec());
    }
}

#[test]
fn pe_files() {
    // The first page holds all headers: what lies behind makes no difference.
    let small = fs::read(kernel_file()).unwrap()[..4096].to_vec();
    let (mut good, mut bad) = (0, 0);
    changed(&small, 0x240, |bytes| match kernel(&ByteSource::new(bytes), Machine::X64) {
        Ok(_) => good += 1,
        Err(_) => bad += 1,
    });
    // Its sections are cut off; without sections there is nothing to be cut off.
    assert!(good < 20 && bad > 1000, "{good} {bad}");
    for one in [stub().to_vec(), tight()] {
        let parts = Parts::new(bytes(&fs::read(kernel_file()).unwrap()));
        let (mut good, mut bad) = (0, 0);
        changed(&one, 0x400, |stub| {
            let _ = read(&ByteSource::new(stub.clone()));
            match unified(Machine::X64, &stub, parts.clone()) {
                Ok(made) => {
                    let found = read(made.as_ref()).unwrap().unwrap();
                    assert_eq!(found.sections.last().unwrap().name, ".linux");
                    good += 1;
                }
                Err(_) => bad += 1,
            }
        });
        assert!(good > 500 && bad > 100, "{good} {bad}");
    }
}

/// Every byte of the ELF header, the section table and some relocations of GRUB's kernel.
#[test]
fn kernels_of_grub() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("grub/x86_64-efi");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("moddep.lst"), "").unwrap();
    let from = Path::new("/usr/lib/grub/x86_64-efi/kernel.img");
    let good = fs::read(from).unwrap();
    let assets = Assets::only(vec![directory.path().to_owned()]);
    let params = Params { modules: &[], prefix: "/", config: "", sbat: None };
    let table = u64::from_le_bytes(good[40..48].try_into().unwrap()) as usize;
    let (mut fine, mut refused) = (0, 0);
    let spots = (0..64).chain(table..good.len()).chain((0x11050..0x11050 + 240).step_by(3));
    for at in spots {
        for value in [0xff, good[at] ^ 0x80] {
            let mut bad = good.clone();
            bad[at] = value;
            fs::write(own.join("kernel.img"), &bad).unwrap();
            match image(&assets, &params) {
                Ok(_) => fine += 1,
                Err(error) => {
                    assert!(error.to_string().contains("kernel.img"), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(fine > 100 && refused > 100, "{fine} {refused}");
}
