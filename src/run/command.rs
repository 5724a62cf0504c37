//! A machine as QEMU's command line, and that as text for a shell.
//!
//! Looks at no file. Invariant: a path means the file of this name, whatever characters it has: no
//! comma of it begins an option, no colon a protocol.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::machine::{Architecture, Bus, Disk, Line, Machine, Network, Start};
use crate::engine::base::{Error, Kind};

/// Sectors that every bus has.
const COMMON_SECTOR: u64 = 512;

/// The command's words, the program first.
pub fn command(machine: &Machine) -> Result<Vec<OsString>, Error> {
    let mut words = Words(vec![machine.program.clone()]);
    // Nothing is there that nobody asked for: no floppy drive, no empty CD drive, no network card.
    words.plain(&["-nodefaults", "-no-user-config"]);
    board(machine, &mut words);
    words.pair("-m", machine.memory.to_string());
    words.pair("-smp", machine.cpus.to_string());
    start(machine, &mut words)?;
    let mut controllers = Controllers { board: Board::of(machine), ..Controllers::default() };
    for (at, disk) in machine.disks.iter().enumerate() {
        self::disk(disk, at, machine.direct.is_none(), &mut controllers, &mut words)?;
    }
    network(machine.network.as_ref(), &mut words);
    screen(machine, &mut words);
    serial(machine, &mut words);
    if let Some(path) = &machine.monitor {
        words.value("-qmp", Value::new("unix:").path(path).text(",server=on,wait=off"));
    }
    words.0.extend(machine.more.iter().cloned());
    Ok(words.0)
}

/// The words as one line for a POSIX shell.
#[must_use]
pub fn shell(words: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let text = word.to_string_lossy();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
        match !text.is_empty() && text.chars().all(is_plain) {
            true => text.into_owned(),
            false => format!("'{}'", text.replace('\'', "'\\''")),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Words of a command.
struct Words(Vec<OsString>);

impl Words {
    fn plain(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn pair(&mut self, option: &str, value: impl Into<OsString>) {
        self.0.extend([option.into(), value.into()]);
    }

    fn value(&mut self, option: &str, value: Value) {
        self.pair(option, value.0);
    }
}

/// An option's value: names and values with commas between them.
struct Value(OsString);

impl Value {
    fn new(text: &str) -> Self {
        Self(text.into())
    }

    fn text(mut self, text: &str) -> Self {
        self.0.push(text);
        self
    }

    /// A path, its commas doubled: that is how QEMU reads one comma.
    fn path(mut self, path: &Path) -> Self {
        self.0.push(doubled(path.as_os_str()));
        self
    }
}

fn doubled(text: &OsStr) -> OsString {
    let twice = |byte: &u8| std::iter::repeat_n(*byte, 1 + usize::from(*byte == b','));
    OsString::from_vec(text.as_bytes().iter().flat_map(twice).collect())
}

/// The board that devices are put on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Board {
    /// A PC of 1996, with IDE and a floppy controller.
    Pc,
    /// A PC of 2009, with AHCI.
    #[default]
    Q35,
    /// QEMU's own for Arm: nothing but PCI Express.
    Virt,
}

impl Board {
    fn of(machine: &Machine) -> Self {
        let old = |disk: &Disk| matches!(disk.bus, Bus::Ide | Bus::Floppy);
        match machine.architecture {
            Architecture::Arm64 => Self::Virt,
            _ if machine.disks.iter().any(old) => Self::Pc,
            _ => Self::Q35,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
            Self::Virt => "virt",
        }
    }
}

fn board(machine: &Machine, words: &mut Words) {
    let secure = matches!(&machine.start, Start::Uefi(flash) if flash.secure);
    let board = Board::of(machine);
    let smm = if secure && board != Board::Virt { ",smm=on" } else { "" };
    words.pair("-machine", format!("{}{smm}", board.name()));
    words.pair("-accel", if machine.accelerated { "kvm" } else { "tcg" });
    match (machine.accelerated, machine.architecture) {
        (true, _) => words.pair("-cpu", "host"),
        // The board's own default is a 32-bit processor.
        (false, Architecture::Arm64) => words.pair("-cpu", "cortex-a57"),
        (false, _) => {}
    }
}

fn start(machine: &Machine, words: &mut Words) -> Result<(), Error> {
    match &machine.start {
        Start::Bios if machine.architecture == Architecture::Arm64 && machine.direct.is_none() => {
            let message = "firmware bios: arm64 machines have none; use uefi, or start a kernel";
            return Err(Error::new(Kind::Document, message));
        }
        Start::Bios => {}
        Start::Uefi(flash) => {
            let code = Value::new("if=pflash,unit=0,format=raw,readonly=on,file.driver=file");
            words.value("-drive", code.text(",file.filename=").path(&flash.code));
            // The template of the variables is not ours to write: what the machine writes is forgotten.
            let vars = Value::new("if=pflash,unit=1,format=raw,snapshot=on,file.driver=file");
            words.value("-drive", vars.text(",file.filename=").path(&flash.vars));
            if flash.secure && machine.architecture != Architecture::Arm64 {
                words.pair("-global", "driver=cfi.pflash01,property=secure,value=on");
            }
        }
    }
    if let Some(direct) = &machine.direct {
        words.pair("-kernel", &direct.kernel);
        if let Some(initrd) = &direct.initrd {
            words.pair("-initrd", initrd);
        }
        if !direct.command_line.is_empty() {
            words.pair("-append", &direct.command_line);
        }
    }
    Ok(())
}

/// Which controllers there are, and how many disks hang on each.
#[derive(Debug, Default)]
struct Controllers {
    board: Board,
    ide: usize,
    sata: usize,
    scsi: usize,
    virtio_scsi: usize,
    usb: usize,
}

/// Counts one more disk; whether it is the first of its controller.
fn next(count: &mut usize) -> (usize, bool) {
    let at = *count;
    *count += 1;
    (at, at == 0)
}

impl Controllers {
    /// The device that a disk is, its controller put in place before.
    fn device(&mut self, disk: &Disk, words: &mut Words) -> Result<String, Error> {
        let cd = disk.cd;
        let unit = |hd: &str, cd_name: &str| if cd { cd_name } else { hd }.to_owned();
        Ok(match disk.bus {
            Bus::Ide if self.board == Board::Pc => {
                let (at, _) = next(&mut self.ide);
                format!("{},bus=ide.{},unit={}", unit("ide-hd", "ide-cd"), at / 2, at % 2)
            }
            Bus::Floppy if self.board == Board::Pc && !cd => "floppy".to_owned(),
            Bus::Sata => {
                let (at, first) = next(&mut self.sata);
                // A q35 has the controller on board; its ports are called ide.
                let own = self.board == Board::Q35;
                if first && !own {
                    words.pair("-device", "ahci,id=sata");
                }
                let bus = if own { "ide" } else { "sata" };
                format!("{},bus={bus}.{at}", unit("ide-hd", "ide-cd"))
            }
            Bus::Scsi => {
                let (at, first) = next(&mut self.scsi);
                if first {
                    words.pair("-device", "lsi53c895a,id=scsi");
                }
                format!("{},bus=scsi.0,scsi-id={at}", unit("scsi-hd", "scsi-cd"))
            }
            Bus::VirtioScsi => {
                let (at, first) = next(&mut self.virtio_scsi);
                if first {
                    words.pair("-device", "virtio-scsi-pci,id=virtio-scsi");
                }
                format!("{},bus=virtio-scsi.0,scsi-id={at}", unit("scsi-hd", "scsi-cd"))
            }
            Bus::Usb => {
                let (_, first) = next(&mut self.usb);
                if first {
                    words.pair("-device", "qemu-xhci,id=usb");
                }
                "usb-storage,bus=usb.0".to_owned()
            }
            Bus::Nvme if !cd => "nvme,serial=vmimage".to_owned(),
            Bus::Virtio if !cd => "virtio-blk-pci".to_owned(),
            bus => {
                let what = if cd { "a CD" } else { "a disk" };
                let (bus, board) = (bus.as_str(), self.board.name());
                let message = format!("bus {bus}: no place for {what} on the machine {board}");
                return Err(Error::new(Kind::Document, message));
            }
        })
    }
}

fn disk(
    disk: &Disk,
    at: usize,
    boots: bool,
    controllers: &mut Controllers,
    words: &mut Words,
) -> Result<(), Error> {
    // The file is named as a file: QEMU would take "nbd:…" for a server.
    let mut drive = format!("if=none,id=disk{at},format={}", disk.driver);
    drive.push_str(match (disk.cd, disk.write) {
        (true, _) => ",media=cdrom,readonly=on",
        (false, true) => "",
        (false, false) => ",snapshot=on",
    });
    let drive = Value(drive.into()).text(",file.driver=file,file.filename=").path(&disk.path);
    words.value("-drive", drive);
    let mut device = controllers.device(disk, words)?;
    device.push_str(&format!(",drive=disk{at}"));
    if disk.sector_size != COMMON_SECTOR && !disk.cd {
        if matches!(disk.bus, Bus::Ide | Bus::Sata | Bus::Floppy) {
            let (size, bus) = (disk.sector_size, disk.bus.as_str());
            let message = format!(
                "bus {bus}: its sectors have 512 bytes, the disk's {size}; use virtio, virtio-scsi, scsi, nvme or usb"
            );
            return Err(Error::new(Kind::Document, message));
        }
        let size = disk.sector_size;
        device.push_str(&format!(",logical_block_size={size},physical_block_size={size}"));
    }
    if boots {
        device.push_str(&format!(",bootindex={at}"));
    }
    words.pair("-device", device);
    Ok(())
}

fn network(network: Option<&Network>, words: &mut Words) {
    let Some(Network { card, forwards }) = network else {
        words.pair("-nic", "none");
        return;
    };
    let mut value = format!("user,model={}", card.device());
    for forward in forwards {
        let kind = if forward.udp { "udp" } else { "tcp" };
        let (host, guest) = (forward.host, forward.guest);
        value.push_str(&format!(",hostfwd={kind}:127.0.0.1:{host}-:{guest}"));
    }
    words.pair("-nic", value);
}

fn screen(machine: &Machine, words: &mut Words) {
    match machine.architecture {
        Architecture::Arm64 => {
            words.pair("-device", "virtio-gpu-pci");
            words.pair("-device", "qemu-xhci,id=input");
            words.pair("-device", "usb-kbd,bus=input.0");
        }
        _ => words.pair("-vga", "std"),
    }
    words.pair("-display", &machine.display);
}

fn serial(machine: &Machine, words: &mut Words) {
    let mut value = Value::new("stdio,id=console,signal=off");
    if machine.line == Line::Terminal {
        value = value.text(",mux=on");
    }
    if let Some(path) = &machine.log {
        // A name without a directory must not be read as anything else.
        let path = if path.is_absolute() { path.clone() } else { PathBuf::from(".").join(path) };
        value = value.text(",logfile=").path(&path).text(",logappend=off");
    }
    words.value("-chardev", value);
    words.pair("-serial", "chardev:console");
    if machine.line == Line::Terminal {
        words.pair("-mon", "chardev=console,mode=readline");
    }
}

#[cfg(test)]
mod tests {
    use super::super::firmware::Flash;
    use super::super::machine::{Card, Direct, Forward};
    use super::*;

    fn machine() -> Machine {
        Machine {
            program: "qemu-system-x86_64".into(),
            architecture: Architecture::Amd64,
            accelerated: false,
            start: Start::Bios,
            memory: 512,
            cpus: 1,
            disks: vec![disk(Bus::Sata)],
            network: None,
            direct: None,
            display: "none".to_owned(),
            line: Line::Watched,
            log: None,
            monitor: None,
            more: Vec::new(),
        }
    }

    fn disk(bus: Bus) -> Disk {
        let path = "a.raw".into();
        Disk { path, driver: "raw", bus, cd: false, sector_size: 512, write: false }
    }

    fn text(machine: &Machine) -> String {
        shell(&command(machine).unwrap())
    }

    #[test]
    fn a_plain_machine() {
        assert_eq!(
            text(&machine()),
            "qemu-system-x86_64 -nodefaults -no-user-config -machine q35 -accel tcg -m 512 -smp 1 \
             -drive if=none,id=disk0,format=raw,snapshot=on,file.driver=file,file.filename=a.raw \
             -device ide-hd,bus=ide.0,drive=disk0,bootindex=0 -nic none -vga std -display none \
             -chardev stdio,id=console,signal=off -serial chardev:console"
        );
    }

    #[test]
    fn names_mean_files() {
        let mut odd = machine();
        odd.disks[0].path = "nbd:a,b 'c'.raw".into();
        odd.log = Some("l,og".into());
        let text = text(&odd);
        assert!(text.contains(r"file.filename=nbd:a,,b '\''c'\''.raw'"), "{text}");
        assert!(text.contains("logfile=./l,,og,logappend=off"), "{text}");
        assert_eq!(shell(&["".into(), "a$b".into(), "é".into()]), "'' 'a$b' 'é'");
    }

    #[test]
    fn buses_bring_their_controllers() {
        for (bus, cd, expected) in [
            (Bus::Ide, false, "-machine pc "),
            (Bus::Ide, false, "ide-hd,bus=ide.0,unit=0,drive=disk0"),
            (Bus::Sata, true, "-device ide-cd,bus=ide.0,drive=disk0"),
            (Bus::Scsi, false, "-device lsi53c895a,id=scsi -device scsi-hd,bus=scsi.0,scsi-id=0"),
            (Bus::VirtioScsi, true, "-device virtio-scsi-pci,id=virtio-scsi -device scsi-cd,bus="),
            (Bus::Nvme, false, "-device nvme,serial=vmimage,drive=disk0"),
            (Bus::Virtio, false, "-device virtio-blk-pci,drive=disk0"),
            (Bus::Usb, true, "media=cdrom,readonly=on"),
            (Bus::Usb, false, "-device qemu-xhci,id=usb -device usb-storage,bus=usb.0,drive=disk0"),
            (Bus::Floppy, false, "-device floppy,drive=disk0"),
        ] {
            let mut one = machine();
            one.disks[0] = Disk { bus, cd, ..disk(bus) };
            let text = text(&one);
            assert!(text.contains(expected), "{bus:?}: {text}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let refused = |machine: &Machine| command(machine).unwrap_err().to_string();
        let mut cd = machine();
        cd.disks[0] = Disk { cd: true, ..disk(Bus::Nvme) };
        assert_eq!(refused(&cd), "bus nvme: no place for a CD on the machine q35");
        let mut large = machine();
        large.disks[0].sector_size = 4096;
        assert!(
            refused(&large).starts_with("bus sata: its sectors have 512 bytes, the disk's 4096")
        );
        large.disks[0].bus = Bus::Virtio;
        assert!(text(&large).contains("logical_block_size=4096,physical_block_size=4096"));
        let mut arm = Machine { architecture: Architecture::Arm64, ..machine() };
        assert!(refused(&arm).starts_with("firmware bios: arm64"));
        arm.start = Start::Uefi(Flash { code: "c".into(), vars: "v".into(), secure: false });
        arm.disks[0].bus = Bus::Ide;
        assert_eq!(refused(&arm), "bus ide: no place for a disk on the machine virt");
    }

    #[test]
    fn everything_at_once() {
        let mut all = machine();
        all.start = Start::Uefi(Flash { code: "c.fd".into(), vars: "v.fd".into(), secure: true });
        let forwards = vec![
            Forward { udp: false, host: 8080, guest: 80 },
            Forward { udp: true, host: 5353, guest: 53 },
        ];
        all.network = Some(Network { card: Card::Virtio, forwards });
        let command_line = "console=ttyS0 quiet".to_owned();
        all.direct = Some(Direct { kernel: "k".into(), initrd: Some("i".into()), command_line });
        all.line = Line::Terminal;
        all.monitor = Some("/t/qmp".into());
        all.more = vec!["-snapshot".into()];
        let text = text(&all);
        for expected in [
            "-machine q35,smm=on ",
            "-drive if=pflash,unit=0,format=raw,readonly=on,file.driver=file,file.filename=c.fd ",
            "-drive if=pflash,unit=1,format=raw,snapshot=on,file.driver=file,file.filename=v.fd ",
            "-global driver=cfi.pflash01,property=secure,value=on ",
            "-kernel k -initrd i -append 'console=ttyS0 quiet' ",
            "-nic user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:5353-:53 ",
            "-chardev stdio,id=console,signal=off,mux=on -serial chardev:console -mon chardev=console,mode=readline ",
            "-qmp unix:/t/qmp,server=on,wait=off -snapshot",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("bootindex"), "{text}");
    }
}
