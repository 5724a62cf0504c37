//! Compute Engine's archive and wrapped images: judged by GNU tar and qemu-img.

use vmimage::engine::base::Kind;
use vmimage::engine::codec::wrap::Wrap;
use vmimage::engine::format::package::{Form, Recipe};
use vmimage::engine::format::{Params, qcow2, vhd, vmdk};

use super::made::{bytes, disk, write};
use super::tool::{check, compare, output, run, text};

const GCE: Recipe = Recipe { form: Form::GceTar, wrap: None };

#[test]
fn gce_is_what_gnu_tar_writes() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let path = write(directory.path(), "a.tar.gz", &GCE, 2).unwrap();
    run("gzip", "gzip", &["-t", text(&path)]);
    let ours = output("gzip", "gzip", &["-dc", text(&path)]).stdout;

    disk().reference(&at("disk.raw"));
    let their_file = at("theirs");
    let args = [
        "--format=oldgnu",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mode=0644",
        "--mtime=@0",
        "-C",
        text(directory.path()),
        "-cf",
        text(&their_file),
        "disk.raw",
    ];
    run("tar", "tar", &args);
    let theirs = fs_err::read(at("theirs")).unwrap();
    // GNU tar writes seven digits where the field has room for eight; both are octal.
    assert_eq!(ours.len(), theirs.len());
    assert!(ours[512..] == theirs[512..]);
    assert_eq!(&ours[257..265], b"ustar  \0");
    assert_eq!(&ours[257..265], &theirs[257..265]);
    assert_eq!(ours[..148], theirs[..148]);

    fs_err::remove_file(at("disk.raw")).unwrap();
    run("tar", "tar", &["-C", text(directory.path()), "-Sxzf", text(&path)]);
    assert!(fs_err::read(at("disk.raw")).unwrap() == bytes(&disk()));
}

#[test]
fn what_cannot_stream_is_wrapped_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let raw = directory.path().join("reference");
    disk().reference(&raw);
    for (wrap, program) in [(Wrap::Gzip, "gzip"), (Wrap::Xz, "xz"), (Wrap::Zstd, "zstd")] {
        let params = Params::Qcow2(qcow2::Params::default());
        let recipe = Recipe { wrap: Some(wrap), ..Recipe::from(params) };
        let name = format!("a.{}", recipe.extension());
        assert_eq!(name, format!("a.qcow2.{}", wrap.suffix()));
        let path = write(directory.path(), &name, &recipe, 2).unwrap();
        run(program, program, &["-df", text(&path)]);
        let image = directory.path().join("a.qcow2");
        check(&image);
        compare(&raw, &image, "qcow2");
    }
}

#[test]
fn a_descriptor_in_a_wrap_names_the_file_inside() {
    let directory = tempfile::tempdir().unwrap();
    let subformat = vmdk::Subformat::StreamOptimized;
    let params = Params::Vmdk(vmdk::Params { subformat, ..vmdk::Params::default() });
    let plain = write(directory.path(), "b.vmdk", &Recipe::from(params.clone()), 2).unwrap();
    let recipe = Recipe { wrap: Some(Wrap::Gzip), ..Recipe::from(params) };
    let path = write(directory.path(), "b.vmdk.gz", &recipe, 2).unwrap();
    let inside = output("gzip", "gzip", &["-dc", text(&path)]).stdout;
    assert!(inside == fs_err::read(&plain).unwrap());
}

#[test]
fn recipes_say_what_they_can_and_what_not() {
    let refused = |recipe: Recipe| {
        let error = recipe.check().unwrap_err();
        assert_eq!(error.kind(), Kind::Document);
        error.to_string()
    };
    let flat =
        vmdk::Params { subformat: vmdk::Subformat::MonolithicFlat, ..vmdk::Params::default() };
    let wrap = |wrap, form| Recipe { wrap: Some(wrap), form };
    assert_eq!(
        refused(wrap(Wrap::Lz4, Form::Image(Params::Raw))),
        "lz4 is only read; gzip, xz and zstd are written"
    );
    assert_eq!(
        refused(wrap(Wrap::Gzip, Form::Image(Params::Vmdk(flat)))),
        "gzip is around one file; vmdk of this subformat is two"
    );
    assert_eq!(
        refused(wrap(Wrap::Gzip, super::made::ova().form)),
        "an OVA cannot be wrapped in gzip: its disk is compressed already"
    );
    for (recipe, extension, streams) in [
        (Recipe::from(Params::Raw), "raw", true),
        (wrap(Wrap::Xz, Form::Image(Params::Raw)), "raw.xz", true),
        (wrap(Wrap::Zstd, Form::Image(Params::Vhd(vhd::Params::default()))), "vhd.zst", false),
        (GCE, "tar.gz", true),
        (super::made::ova(), "ova", false),
        (super::made::boxed(Default::default()), "box", false),
    ] {
        assert_eq!(recipe.extension(), extension);
        assert_eq!(recipe.streams().is_ok(), streams, "{extension}");
    }
}
