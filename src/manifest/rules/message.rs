//! Messages that a CEL rule and a row of `check` share.
//!
//! Decides nothing. Invariant: each says what is allowed or what to add.

pub(in super::super) const BOOT: &str =
    "boot needs exactly one of: sector, grub, syslinux, efi, direct";
pub(in super::super) const SECTOR_KERNEL: &str = "a boot sector is the whole program: leave kernel, initrd and commandLine out, or use another loader";
pub(in super::super) const KERNEL: &str = "kernel needs exactly one of: source, from";
pub(in super::super) const INITRD: &str = "initrd needs exactly one of: source, build, from";
pub(in super::super) const GRUB_ENTRY: &str =
    "an entry needs exactly one of: linux, multiboot, multiboot2, chainload, commands";
pub(in super::super) const KERNEL_NEEDED: &str =
    "efi and direct start boot.kernel, and so do grub and syslinux without entries: add kernel";
pub(in super::super) const STUB: &str = "firmware gives a kernel no command line and no initrd: use style: UKI, add startupScript: true, or leave both out";
pub(in super::super) const APP: &str =
    "init: builtin starts an app and nothing else does: add app and init: builtin, or neither";
pub(in super::super) const BOOT_GROUND: &str = "a boot loader needs a place: disk.partitions or iso; GRUB for BIOS needs partitionTable: MBR, or GPT with a partition of type: biosBoot and about 1 MiB";
pub(in super::super) const BOOT_ESP: &str = "UEFI starts files of a FAT filesystem: add a partition of type: esp with filesystem: {type: vfat}";
pub(in super::super) const BOOT_ARM: &str =
    "arm64 has no BIOS: use grub with firmware: [uefi], efi or direct";
pub(in super::super) const LOADER_PARTITION: &str = "not a partition of this disk with a filesystem that the loader can read: GRUB ext2, ext3, ext4, vfat, btrfs; syslinux vfat, ext2, ext3, ext4";
pub(in super::super) const DEFAULT_TITLE: &str = "no entry has this title";
pub(in super::super) const SECTOR: &str = "sector needs exactly one of: message, source";
pub(in super::super) const SOURCE: &str =
    "source needs exactly one of: inline, configMapKeyRef, secretKeyRef, pvc, http, oci, file";
pub(in super::super) const INLINE: &str = "inline needs exactly one of: text, base64";
pub(in super::super) const TARGET: &str =
    "a publish entry needs exactly one of: pvc, files, containerDisk, kernelBoot";
pub(in super::super) const FILE: &str = "source.file works on a desk only; in a cluster use inline, configMapKeyRef, secretKeyRef, pvc, http or oci";
pub(in super::super) const ARM: &str =
    "boot.sector is a BIOS program for x86; arm64 has no BIOS: use architecture amd64 or i386";
pub(in super::super) const NOTHING: &str =
    "nothing to build: add boot.sector, disk.partitions, iso, or disk.size for an empty disk";
pub(in super::super) const OPTIONS: &str = "options stand in the member that is named after the type; those of another type need that type";
pub(in super::super) const QCOW2_PREALLOCATION: &str =
    "Compression and preallocation not supported at the same time";
pub(in super::super) const QCOW2_ZSTD: &str = "Non-zlib compression type is only supported with compatibility level 1.1 and above: use compat \"1.1\" or compression zlib";
pub(in super::super) const QCOW2_LAZY: &str =
    "Lazy refcounts only supported with compatibility level 1.1 and above: use compat \"1.1\"";
pub(in super::super) const QCOW2_CLUSTER: &str =
    "Cluster size must be a power of two between 512 and 2048k";
pub(in super::super) const VHDX_BLOCK: &str =
    "Block size must be a power of two between 1Mi and 256Mi";
pub(in super::super) const PRESET_TYPE: &str = "this preset is for other types: azure vhd; aws raw, vmdk, vhd, vhdx, ova; gce raw; vsphere vmdk, ova; virtualbox vdi, vmdk, vhd, ova; hyperv vhdx, vhd; kubevirt raw, qcow2";
pub(in super::super) const PRESET_OPTION: &str =
    "the preset needs another value here: leave the option out";
pub(in super::super) const PRESET_WRAP: &str =
    "the platform of this preset takes no wrapped file (only kubevirt does): leave wrap out";
pub(in super::super) const WRAP_TYPE: &str =
    "ova and box are archives of compressed disks already: leave wrap out";
pub(in super::super) const WRAP_FLAT: &str = "monolithicFlat makes two files, which cannot be wrapped as one: use another subformat or leave wrap out";
pub(in super::super) const MEMORY: &str =
    "machine.memory must be whole MiB, at least 4Mi and at most 6Ti";
pub(in super::super) const VSPHERE_VIRTIO: &str =
    "vSphere has no virtio: use another machine.diskBus and machine.nic, or no preset";
pub(in super::super) const ARM_FIRMWARE: &str = "arm64 has no BIOS: use firmware efi";
pub(in super::super) const MANIFEST_NAME: &str =
    "the name build.json is taken by the build manifest; choose another";
pub(in super::super) const FORMAT_NAMES: &str =
    "every format needs its own name (when none is given, it is made of type and wrap)";
pub(in super::super) const CLAIM_NAMES: &str =
    "two entries cannot share one claim: every pvc.name may be used once";
pub(in super::super) const OWN_KEYS: &str = "keys of kubernetes.io, k8s.io, kubevirt.io and vmimage.dev are set by the operators that own them: use a prefix of your own";
pub(in super::super) const LABEL_KEYS: &str = "a key has at most 63 characters after an optional prefix such as example.com/: letters, digits, -, _ and . with a letter or digit at both ends";
pub(in super::super) const DATA_VOLUME_NAME: &str =
    "dataVolume needs pvc.name: a DataVolume has the name of its claim";
pub(in super::super) const FILES_CLAIM: &str = "volumeMode, defaults, dataVolume and dataSource are about a disk: a directory of files has none of them";
pub(in super::super) const DATA_SOURCES: &str =
    "two entries cannot share one DataSource: every dataSource.name may be used once";
pub(in super::super) const IMAGE_TAGS: &str =
    "two entries cannot share one tag: every image and tag may be used once";
pub(in super::super) const KERNEL_BOOT: &str =
    "kernelBoot holds the kernel of boot.direct: add boot.direct";
pub(in super::super) const KERNEL_BOOT_DEFAULTS: &str =
    "KubeVirt takes defaults from disks only: leave them out of kernelBoot";
pub(in super::super) const PUSH_DEFAULTS: &str =
    "an image has no place for the kind of instance types and preferences: leave kind out";
pub(in super::super) const POD_ACCESS: &str =
    "ReadWriteOncePod cannot be combined with other access modes";
pub(in super::super) const SECTORS: &str =
    "disk.size must be whole sectors of 512 bytes, at least one";
pub(in super::super) const LARGEST: &str =
    "disk.size can be at most 8 EiB less 1 GiB, the largest disk of QEMU";
pub(in super::super) const LARGEST_QCOW2: &str = "a qcow2 file with clusters of 64 KiB holds at most 2 PiB, with 512 bytes 128 GiB, four times as much with each doubling; use larger clusters, type raw or a smaller disk.size";
pub(in super::super) const LARGEST_OTHER: &str =
    "the disk is larger than the format can tell: vhd 2040 GiB, vhdx 64 TiB, vdi 16 TiB";
pub(in super::super) const REQUEST: &str =
    "pvc.request must hold the disk, which is disk.size rounded up to whole MiB";
pub(in super::super) const FILES_REQUEST: &str =
    "files.pvc.request must be more than 0: leave it out, or ask for what the files need";
pub(in super::super) const TOLERATION_KEY: &str = "a toleration without key needs operator: Exists";
pub(in super::super) const TOLERATION_VALUE: &str =
    "a toleration with operator: Exists has no value";
pub(in super::super) const TOLERATION_SECONDS: &str = "tolerationSeconds needs effect: NoExecute";

pub(in super::super) const SOURCE_DIGEST: &str =
    "what lies outside can change: add digest, or allowMutable: true to take whatever is there";
pub(in super::super) const STEP: &str = "a step needs exactly one of: archive, image, fromImage, file, directory, symlink, hardlink, device, deviceSet, fstab, hostname, hosts, service, remove";
pub(in super::super) const FILE_MEMBER: &str =
    "a file needs exactly one of: text, source (for an empty file: text: \"\")";
pub(in super::super) const PATHS: &str = "exactly one of path and paths is needed";
pub(in super::super) const DEVICE: &str =
    "char and block need major and minor; fifo and socket have none";
pub(in super::super) const SECTOR_SIZE: &str = "disk.sectorSize must be 512 or 4096";
pub(in super::super) const LARGE_SECTORS: &str =
    "with disk.sectorSize 4096, sizes must be whole sectors of 4096 bytes";
pub(in super::super) const ALIGNMENT: &str =
    "disk.alignment must be whole sectors, at least one and at most 1Gi";
pub(in super::super) const NO_TABLE: &str =
    "without a partition table the disk holds one partition: add partitionTable: MBR or GPT";
pub(in super::super) const NO_TABLE_FIELDS: &str = "without a partition table the filesystem is the whole disk: leave type, size, grow, id, attributes, logical, diskId and hybrid out, or add partitionTable: MBR or GPT";
pub(in super::super) const DISK_ID: &str =
    "diskId is a GUID with GPT, and 0x with 8 hexadecimal digits with MBR";
pub(in super::super) const HYBRID: &str =
    "hybrid names partitions of this disk and needs partitionTable: GPT";
pub(in super::super) const MBR_FIELDS: &str = "with partitionTable: MBR a partition has no id, a type that is a name or a byte such as 0x83 (biosBoot needs GPT), and no attributes but active and hidden";
pub(in super::super) const GPT_FIELDS: &str = "with partitionTable: GPT a partition is not logical, has a type that is a name or a GUID, and not the attribute active (legacyBoot is alike)";
pub(in super::super) const MBR_COUNT: &str = "an MBR holds 4 partitions, or 3 and logical ones behind each other: add logical: true, or use partitionTable: GPT";
pub(in super::super) const ONE_ACTIVE: &str = "one partition can be active";
pub(in super::super) const ONE_GROW: &str = "one partition can grow";
pub(in super::super) const GROW_SIZE: &str =
    "a partition that grows needs room: add disk.size or disk.headroom";
pub(in super::super) const SCRIPT_PARTITION: &str = "a script changes the tree of a partition with a filesystem: name it, unless one is mounted at / or only one has a tree";
pub(in super::super) const SCRIPT_ENV: &str =
    "a variable of a script has a name of letters, digits and _ that does not begin with a digit";
pub(in super::super) const MOUNT_PATHS: &str = "every mountPath may be used once";
pub(in super::super) const PARTITION_MEMBER: &str =
    "a partition holds either a filesystem or the bytes of source";
pub(in super::super) const CONTENTS: &str =
    "contents and mountPath need a filesystem that holds files: add filesystem, not of type swap";
pub(in super::super) const PARTITION_SECTORS: &str =
    "a partition's size must be whole sectors of 512 bytes, at least one";
pub(in super::super) const PARTITION_TYPE: &str = "not a known type of partitions: use a name of the list in docs/contents.md, a GUID, or a byte such as 0x83";
pub(in super::super) const ATTRIBUTE: &str = "not a known attribute: active, hidden, required, noBlockIo, legacyBoot, bootme, growFileSystem, readOnly, noAutomount, or a bit from 0 to 63";
pub(in super::super) const FS_OPTIONS: &str = "options of a filesystem stand in the member that is named after its type, ext for ext2, ext3 and ext4; those of another type need that type";
pub(in super::super) const FS_LABEL: &str = "the label is too long: ext2, ext3, ext4, erofs and swap have 16 bytes, vfat 11, btrfs 255, ffs 31, squashfs none";
pub(in super::super) const FS_UUID: &str = "uuid is a UUID; for vfat a serial number such as 1234-ABCD, for ffs 16 hexadecimal digits; squashfs has none";
pub(in super::super) const FS_HEADROOM: &str =
    "squashfs and erofs are read-only: room for more files has no use there";
pub(in super::super) const EXT2_JOURNAL: &str =
    "ext2 has no journal: use type ext3 or ext4, or leave journalSize out";
pub(in super::super) const EXT_BLOCK: &str = "ext.blockSize must be 1Ki, 2Ki or 4Ki";
pub(in super::super) const EXT_INODE: &str = "ext.inodeSize must be 128 or 256";
pub(in super::super) const EXT_INODES: &str = "use one of: inodes, bytesPerInode";
pub(in super::super) const FAT_BITS: &str = "vfat.bits must be 12, 16 or 32";
pub(in super::super) const FAT_CLUSTER: &str =
    "vfat.clusterSize must be a power of two between 512 and 64Ki";
pub(in super::super) const FAT_ROOT: &str =
    "vfat.rootEntries must be a multiple of 16; FAT32 has none";
pub(in super::super) const FAT_FLOPPY: &str =
    "vfat.floppy sets bits, clusterSize and rootEntries: leave them out";
pub(in super::super) const BTRFS_NODE: &str =
    "btrfs.nodeSize must be a power of two between 4Ki and 64Ki";
pub(in super::super) const FFS_BLOCK: &str =
    "ffs.blockSize must be a power of two between 4Ki and 64Ki";
pub(in super::super) const FFS_FRAGMENT: &str = "ffs.fragmentSize must be a power of two between 512 and 64Ki, and the block's size, a half, a quarter or an eighth of it";
pub(in super::super) const SQUASHFS_BLOCK: &str =
    "squashfs.blockSize must be a power of two between 4Ki and 1Mi";
pub(in super::super) const SQUASHFS_LEVEL: &str =
    "squashfs.level is 1 to 9 for gzip and 1 to 22 for zstd; xz, lz4 and none have no level";
pub(in super::super) const SWAP_PAGE: &str = "swap.pageSize must be 4Ki, 16Ki or 64Ki";
pub(in super::super) const ISO_TYPE: &str =
    "a format of type iso needs spec.iso or boot.sector, and of: disk is not for it";
pub(in super::super) const ISO_PACKAGE: &str =
    "ova and box hold a disk: add disk or boot, and of: disk";
pub(in super::super) const OF_MISSING: &str =
    "the document has a disk and an iso: add of: disk or of: iso to every format but type iso";
pub(in super::super) const OF_WITHOUT: &str = "of: disk needs disk or boot, of: iso needs iso";
pub(in super::super) const FIT_REQUEST: &str =
    "the size is known only after the build: add pvc.request, or disk.size";
pub(in super::super) const SECTOR_DISK: &str = "boot.sector is the first sector of the disk: with it leave disk.partitionTable out, and of disk.partitions all but one with filesystem: {type: vfat}";
