//! What Azure says about a disk that it takes, as a judge of bytes.
//!
//! Written from Microsoft's references of `Add-AzVhd` ("in size N * Mib + 512 bytes", fixed) and of
//! `DiskCreationData.UploadSizeBytes` (at least 20 MiB and the footer). The upper limit of 4095 GiB
//! is this project's; that reference names 32 TiB. No file was ever given to Azure. Knows nothing
//! of our writer.

/// Why Azure would refuse a file of `len` bytes whose last 512 are `footer`.
pub(crate) fn refusals(footer: &[u8; 512], len: u64) -> Vec<String> {
    let number = |at: usize, bytes: usize| {
        footer[at..at + bytes].iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    let mut refusals = Vec::new();
    let mut refuse = |when: bool, why: String| refusals.extend(when.then_some(why));
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    let others: u32 = sum - footer[64..68].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let size = number(48, 8);
    refuse(&footer[..8] != b"conectix", "no footer".to_owned());
    refuse(number(64, 4) != u64::from(!others), "checksum of the footer".to_owned());
    refuse(number(60, 4) != 2, format!("disk type {}, not fixed", number(60, 4)));
    refuse(number(12, 4) != 0x0001_0000, format!("version {:#x}", number(12, 4)));
    refuse(number(16, 8) != u64::MAX, format!("data offset {:#x}", number(16, 8)));
    refuse(!size.is_multiple_of(1 << 20), format!("{size} bytes are not whole MiB"));
    refuse(size + 512 != len, format!("{size} bytes in a file of {len}"));
    refuse(size > 4095 << 30, format!("{size} bytes are more than 4095 GiB"));
    refuse(size < 20 << 20, format!("{size} bytes are fewer than 20 MiB"));
    refusals
}

mod tests {
    use vmimage::engine::format;
    use vmimage::engine::format::vhd::{Params, Sizing, Subformat};

    use super::refusals;
    use crate::media::Patched;
    use crate::support::{bytes, vhd_params};

    fn judge(file: &[u8]) -> Vec<String> {
        refusals(file.last_chunk().unwrap(), file.len() as u64)
    }

    #[test]
    fn the_preset_is_what_azure_takes() {
        let azure = format::Params::Vhd(Params::azure());
        let medium = |len| Patched { name: "azure", len, patches: vec![(0, b"boot".to_vec())] };
        assert_eq!(judge(&bytes(&medium(20 << 20), &azure).unwrap()), Vec::<String>::new());

        // The judge can refuse: what the preset is made to avoid.
        let odd = judge(&bytes(&medium((20 << 20) + 512), &azure).unwrap());
        assert_eq!(odd, ["20972032 bytes are not whole MiB"]);
        let chs =
            judge(&bytes(&medium(20 << 20), &vhd_params(Subformat::Fixed, Sizing::Chs)).unwrap());
        assert_eq!(chs.len(), 1, "{chs:?}");
        assert!(chs[0].ends_with(" bytes are not whole MiB"), "{chs:?}");
        let small = judge(&bytes(&medium(19 << 20), &azure).unwrap());
        assert_eq!(small, ["19922944 bytes are fewer than 20 MiB"]);
        let dynamic = vhd_params(Subformat::Dynamic, Sizing::Exact);
        let dynamic = judge(&bytes(&medium(20 << 20), &dynamic).unwrap());
        assert_eq!(dynamic[0], "disk type 3, not fixed");
        let error = bytes(&medium(4096 << 30), &azure).unwrap_err().to_string();
        let says = "4398046511104 bytes are too many for this VHD, at most 4396972769280 fit";
        assert_eq!(error, says);
    }
}
