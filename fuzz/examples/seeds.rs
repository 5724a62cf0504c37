//! Writes the first inputs of every target below `corpus/`: the files of our writers as they are,
//! sealed, with one field of the header changed, and small ones as literal bytes.
//!
//! Invariant: writes the same names and bytes every time, and removes nothing.

use std::path::Path;

use uuid::Uuid;
use vmimage::engine::base::{ByteSource, MemorySink, Silent, StreamSink as _, Work};
use vmimage::engine::codec::wrap::{Wrap, Wrapper};
use vmimage::engine::format::package::{self, Form, Machine, Recipe, ova, vagrant};
use vmimage::engine::format::{Label, Output};
use vmimage::guest::Config;
use vmimage_fuzz::{Files, INDEX_KINDS, files, joined, kernels, loaders, made, modules, programs};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let targets: [(&str, &Files); 5] = [
        ("qcow2", &files::QCOW2),
        ("vmdk", &files::VMDK),
        ("vhd", &files::VHD),
        ("vhdx", &files::VHDX),
        ("vdi", &files::VDI),
    ];
    std::fs::create_dir_all(corpus.join("detect"))?;
    for (target, of) in targets {
        let directory = corpus.join(target);
        std::fs::create_dir_all(&directory)?;
        for file in 0..of.count() {
            let number = u8::try_from(file).unwrap_or(0);
            // As it is; with one edit (no more edits, sealed, nothing cut); cut.
            let edited =
                [&[0, number, 1][..], &[8, 0, 0, 0], &[0; 4], &[1; 8], &[0, 1, 0, 0]].concat();
            let recipes = [vec![0, number], edited, vec![0, number, 0, 1, 0, 2]];
            for (n, bytes) in recipes.iter().enumerate() {
                std::fs::write(directory.join(format!("seed-{file}-{n}")), bytes)?;
            }
            let literal = of.file(file);
            if literal.len() <= 16 << 10 {
                let bytes = [&[3], &literal[..]].concat();
                std::fs::write(directory.join(format!("seed-{file}-literal")), bytes)?;
                std::fs::write(corpus.join(format!("detect/{target}-{file}")), &literal)?;
            }
        }
    }
    packed(&corpus.join("unpack"))?;
    packages(&corpus.join("package"))?;
    filesystems(&corpus.join("filesystem"), vmimage_fuzz::filesystem::count())?;
    filesystems(&corpus.join("boot"), vmimage_fuzz::media::count())?;
    written(&corpus.join("kernel"), kernel_files(), |input| kernels::run(input) > 0)?;
    written(&corpus.join("program"), efi_programs(), programs::run)?;
    written(&corpus.join("module"), kernel_modules(), |input| modules::run(input) == 4)?;
    written(&corpus.join("loader"), loader_files(), loaders::run)?;
    written(&corpus.join("index"), tagged(), vmimage_fuzz::index)?;
    let good = |input: &[u8]| Config::parse(&String::from_utf8_lossy(input)).is_ok();
    written(&corpus.join("guest"), vec![("text", GUEST.into())], good)
}

/// Every key of the guest's configuration that has a form of its own.
const GUEST: &str = "# all\nhostname h\niso /iso=TINY BOOT\ndata /p=x\ndisk-wait 7\ndhcp off\n\
    address eth0=192.0.2.5/24\nroute eth0=0.0.0.0/0,192.0.2.1\ndns 192.0.2.53\nntp 192.0.2.9:1123\n\
    ntp 192.0.2.9\narg two\\nlines \\\\\\r\nclear arg\narg\nenv A=B=C\nuser 1000:100\non-exit restart\n\
    power-button ignore\nroot LABEL=r vmimage.arg=\"a b\" vmimage.seed=off\n";

/// What tags name: see `vmimage_fuzz::index` for the first byte.
fn tagged() -> Inputs {
    let digest = format!("sha256:{}", "1".repeat(64));
    let entry = |more: &str| format!(r#"{{"mediaType":"m","digest":"{digest}","size":7{more}}}"#);
    let platform =
        r#","platform":{"os":"linux","architecture":"arm64","variant":"v8","os.features":["f"]}"#;
    let windows = r#","platform":{"os":"windows","architecture":"amd64","os.version":"10"}"#;
    let all = [entry(platform), entry(windows), entry(""), entry(r#","annotations":{"a":"b"}"#)];
    let index = |kind: &str| {
        let all = all.join(",");
        format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","manifests":[{all}]}}"#).into_bytes()
    };
    let config = entry("").replace("\"m\"", "\"application/vnd.oci.image.config.v1+json\"");
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{config},"layers":[],"annotations":{{"vmimage.dev/content-hash":"1"}}}}"#
    );
    let config = r#"{"os":"linux","architecture":"amd64","rootfs":{}}"#;
    let typed = |kind: u8, text: &[u8]| [&[kind], text].concat();
    vec![
        ("index", typed(0, &index(INDEX_KINDS[0]))),
        ("docker-list", typed(1, &index(INDEX_KINDS[1]))),
        ("manifest", typed(2, manifest.as_bytes())),
        ("config", typed(3, config.as_bytes())),
    ]
}

type Inputs = Vec<(&'static str, Vec<u8>)>;

/// Writes them; each must be taken by its target's readers.
fn written(directory: &Path, inputs: Inputs, taken: impl Fn(&[u8]) -> bool) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, bytes) in inputs {
        assert!(taken(&bytes), "{}: {name} is refused", directory.display());
        std::fs::write(directory.join(format!("seed-{name}")), bytes)?;
    }
    Ok(())
}

fn packed_as(wrap: Wrap, bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    let mut wrapper = Wrapper::new(wrap, &mut packed, 1).expect("a codec of our own");
    wrapper.write(bytes).expect("memory takes everything");
    wrapper.finish().expect("memory takes everything");
    packed
}

/// A kernel of each kind.
fn kernel_files() -> Inputs {
    vec![
        ("netbsd9-amd64", made::netbsd(true, true)),
        ("netbsd9-i386", made::netbsd(false, true)),
        ("netbsd10-amd64", made::netbsd(true, false)),
        ("netbsd10-i386", made::netbsd(false, false)),
        ("netbsd10-gzip", packed_as(Wrap::Gzip, &made::netbsd(true, false))),
        ("multiboot-raw", made::multiboot(1, true)),
        ("multiboot-elf", made::multiboot(1, false)),
        ("multiboot2-raw", made::multiboot(2, true)),
        ("multiboot2-elf", made::multiboot(2, false)),
        ("bzimage", made::bzimage()),
        ("arm64", made::arm64()),
    ]
}

/// A stub and a kernel for each machine: see `programs::run` for the first byte.
fn efi_programs() -> Inputs {
    vec![
        ("stub-x64", joined(0, &[&made::program(0x8664, &[made::CODE])])),
        ("stub-arm64", joined(4, &[&made::program(0xaa64, &[made::CODE, (".data", &[1; 600])])])),
        ("kernel-x64", joined(1, &[&made::bzimage()])),
        ("kernel-arm64", joined(5, &[&made::arm64()])),
        ("both", joined(2, &[&made::bzimage()])),
    ]
}

/// Two modules that need each other, in one class, packed and with the lists beside them.
fn kernel_modules() -> Inputs {
    let one = b"vermagic=6 SMP\0depends=b-c\0alias=fs-fuzz\0alias=pci:v*d[0-9]\0firmware=a.bin\0";
    let other = b"vermagic=6 SMP\0softdep=pre: nil fs-built post: a\0alias=pci:v1\0";
    let lists: [&[u8]; 3] =
        [b"kernel/d.ko\n", b"d.alias=fs-built\0", b"kernel/b-c.ko\nkernel/a.ko\n"];
    let input = |kind: u8, one: &[u8], other: &[u8]| {
        joined(kind, &[one, other, lists[0], lists[1], lists[2]])
    };
    let (wide, narrow) = (made::module(true, one), made::module(false, one));
    let (wide_other, narrow_other) = (made::module(true, other), made::module(false, other));
    assert_eq!(modules::SUFFIXES, ["", ".gz", ".xz", ".zst"]);
    vec![
        ("64", input(0, &wide, &wide_other)),
        ("32", input(0, &narrow, &narrow_other)),
        ("gzip", input(1, &packed_as(Wrap::Gzip, &wide), &wide_other)),
        ("xz", input(2, &packed_as(Wrap::Xz, &wide), &wide_other)),
        ("zstd", input(3, &packed_as(Wrap::Zstd, &wide), &wide_other)),
    ]
}

/// Files of loaders: see `loaders::run` for the first byte.
fn loader_files() -> Inputs {
    let (image, sector, module) = (made::ldlinux(), made::ldlinux_sector(), made::c32());
    let needs = b"m: n\nn:\n";
    let elf = b"\x7fELF".as_slice();
    vec![
        ("installer", joined(0, &[&made::installer()])),
        ("files", joined(1, &[&image, &sector, &module])),
        ("c32", joined(2, &[&module])),
        ("grub-pc", joined(3, &[b"m:\n", &made::grub_pc(), elf])),
        ("grub-efi", joined(3, &[b"m:\n", &made::grub_efi(), elf])),
        ("moddep", joined(4, &[needs])),
    ]
}

/// Every image as it is, with one edit, and sealed.
fn filesystems(directory: &Path, count: usize) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for file in 0..count {
        let number = u8::try_from(file).unwrap_or(0);
        let edited =
            |sealed| [&[0, number, 1][..], &[8, 0, 0, 0], &[0; 4], &[1; 8], &[sealed, 0]].concat();
        for (n, bytes) in [vec![0, number], edited(0), edited(1)].iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{file}-{n}")), bytes)?;
        }
    }
    Ok(())
}

/// A text in every wrap that is written.
fn packed(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (kind, wrap) in (0u8..).zip(Wrap::ALL).filter(|(_, wrap)| wrap.writes()) {
        let mut bytes = vec![kind];
        let mut wrapper = Wrapper::new(wrap, &mut bytes, 1).expect("a codec of our own");
        wrapper.write(&b"a little text, ".repeat(40)).expect("memory takes everything");
        wrapper.finish().expect("memory takes everything");
        std::fs::write(directory.join(format!("seed-{wrap}")), bytes)?;
    }
    Ok(())
}

/// A package of each kind with a disk of 64 KiB.
fn packages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let boxed = |provider| Form::Box(vagrant::Params { provider, machine: Machine::default() });
    for (name, kind, form) in [
        ("ova", 0u8, Form::Ova(ova::Params::new(Machine::default()))),
        ("libvirt", 1, boxed(vagrant::Provider::Libvirt)),
        ("virtualbox", 1, boxed(vagrant::Provider::VirtualBox)),
    ] {
        let sink = MemorySink::default();
        let label = Label { name: "disk", id: Uuid::from_u128(7) };
        let output = Output { label, sink: &sink, companion: None };
        let work = Work { threads: 1, progress: &Silent };
        let disk = ByteSource::new(vec![1; 64 << 10]);
        let recipe = Recipe { form, wrap: None };
        package::write(&disk, &output, &recipe, &std::env::temp_dir(), &work)
            .expect("our writer writes its own seeds");
        let bytes = [&[kind], &sink.into_bytes()[..]].concat();
        std::fs::write(directory.join(format!("seed-{name}")), bytes)?;
    }
    Ok(())
}
