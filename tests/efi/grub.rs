//! GRUB's programs, compared with those of grub-mkimage.

use std::path::Path;

use fs_err as fs;
use vmimage::engine::bootloader::assets::Assets;
use vmimage::engine::bootloader::grub::efi::{MENU, Params, image};

use crate::image::judge;
use crate::tool;

#[test]
fn programs_are_those_of_grub_mkimage() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let sbat = &b"sbat,1,SBAT Version,sbat,1,test\n"[..];
    let long = "set a=b\n".repeat(700);
    for (number, (modules, prefix, config, sbat)) in [
        (MENU, "/boot/grub", "search --fs-uuid --set=root 1234-5678\n", None),
        (&["ext2", "fat"][..], "(hd0,gpt2)/boot/grub", "", None),
        (&["normal", "linux"], "/EFI/x", long.as_str(), Some(sbat)),
        (&["normal", "configfile", "all_video"], "", "x", Some(sbat)),
        (&["normal", "multiboot", "multiboot2"], "/1234567", "1234567", None),
    ]
    .into_iter()
    .enumerate()
    {
        let (ours, theirs) = (path("ours.efi"), path("theirs.efi"));
        let made = image(&Assets::default(), &Params { modules, prefix, config, sbat }).unwrap();
        fs::write(&ours, &made).unwrap();
        fs::write(path("config"), config).unwrap();
        fs::write(path("sbat"), sbat.unwrap_or_default()).unwrap();
        let (config_file, sbat_file) = (path("config"), path("sbat"));
        let mut arguments = vec!["-O", "x86_64-efi", "-p", prefix, "-o", &theirs];
        if !config.is_empty() {
            arguments.extend(["-c", &config_file]);
        }
        if sbat.is_some() {
            arguments.extend(["-s", &sbat_file]);
        }
        arguments.extend(modules);
        tool::run("grub-common", "grub-mkimage", &arguments);
        let wanted = fs::read(&theirs).unwrap();
        let differ = made.iter().zip(&wanted).position(|(a, b)| a != b);
        assert_eq!((differ, made.len()), (None, wanted.len()), "image {number}");
        judge(Path::new(&ours), Some(Path::new(&theirs)));
    }
}

#[test]
fn what_grub_does_not_have_is_refused() {
    let with = |modules: &[&str], config: &str| {
        let params = Params { modules, prefix: "/", config, sbat: None };
        image(&Assets::default(), &params).unwrap_err().to_string()
    };
    assert!(with(&["ext2", "nothing"], "").contains("no module \"nothing\""));
    assert!(with(&[], "a\0b").contains("config holds a zero byte"));
    let own = Assets::only(vec!["/nonexistent".into()]);
    let params = Params { modules: &[], prefix: "/", config: "", sbat: None };
    let error = image(&own, &params).unwrap_err().to_string();
    assert!(error.contains("grub-efi-amd64-bin"), "{error}");
}
