//! Kernels for the tests: C structs compiled for both machines, and gdb as the witness of what a
//! kernel's table says.
//!
//! Invariant: offsets come from the compiler, states from gdb with the compiler's debug information.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::{ByteSource, SectorSource};

use crate::tool;

/// Which kernel is compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) wide: bool,
    pub(crate) layout: u32,
    pub(crate) stars: bool,
}

/// All that are understood.
pub(crate) const GOOD: [Kind; 4] = [
    Kind { wide: false, layout: 9, stars: true },
    Kind { wide: true, layout: 9, stars: true },
    Kind { wide: false, layout: 10, stars: true },
    Kind { wide: true, layout: 10, stars: true },
];

/// An entry as gdb prints it: name, unit, state.
pub(crate) type Row = (String, u32, u32);

/// The kernel, with debug information if it is for gdb.
pub(crate) fn compile(kind: Kind, directory: &Path, debug: bool) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netbsd");
    let out = directory.join(format!("netbsd-{kind:?}-{debug}").replace([' ', ':', '{', '}'], ""));
    let (machine, base) = match kind.wide {
        false => (vec!["-m32"], "0xc0000000"),
        true => (vec!["-m64", "-mcmodel=kernel"], "0xffffffff80000000"),
    };
    let mut arguments = machine.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    arguments.extend([
        format!("-DLAYOUT={}", kind.layout),
        format!("-DSTARS={}", u8::from(kind.stars)),
        format!("-Wl,--defsym=BASE={base}"),
        format!("-Wl,-T,{}", source.join("kernel.ld").display()),
        (if debug { "-g" } else { "-g0" }).to_owned(),
        "-o".to_owned(),
        out.display().to_string(),
        source.join("kernel.c").display().to_string(),
    ]);
    arguments.extend(
        ["-ffreestanding", "-fno-pie", "-no-pie", "-nostdlib", "-static", "-Wall", "-Werror"]
            .map(str::to_owned),
    );
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    tool::run("gcc-multilib", "gcc", &arguments);
    out
}

/// The bytes of such a kernel without debug information.
pub(crate) fn kernel(kind: Kind) -> Vec<u8> {
    let desk = tempfile::tempdir().unwrap();
    fs::read(compile(kind, desk.path(), false)).unwrap()
}

/// What gdb says the table of the kernel at `path` holds.
pub(crate) fn gdb(path: &Path) -> Vec<Row> {
    let script = [
        "set $i = 0",
        "while cfdata[$i].cf_name != 0\nprintf \"%s %d %d\\n\", cfdata[$i].cf_name, \
         cfdata[$i].cf_unit, cfdata[$i].cf_fstate\nset $i = $i + 1\nend\n",
    ];
    let commands = path.with_extension("gdb");
    fs::write(&commands, script.join("\n")).unwrap();
    let (commands, path) = (commands.display().to_string(), path.display().to_string());
    let printed = tool::run("gdb", "gdb", &["-nx", "-batch", "-x", &commands, &path]);
    let row = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        (words[0].to_owned(), words[1].parse().unwrap(), words[2].parse().unwrap())
    };
    printed.lines().map(row).collect()
}

pub(crate) fn source(bytes: &[u8]) -> Arc<dyn SectorSource> {
    Arc::new(ByteSource::new(bytes))
}

pub(crate) fn bytes(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

pub(crate) fn names(names: &str) -> Vec<String> {
    names.split(' ').map(str::to_owned).collect()
}
