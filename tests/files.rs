//! The room that a document's files are said to take, against files of full disks.
//!
//! Every format holds a disk of random bytes, which nothing can compress: no file is larger than
//! `manifest::room` says of a document with that format alone.

use std::sync::Arc;

use vmimage::engine::Media;
use vmimage::engine::base::{ByteSource, MemorySink, PositionalSink, SectorSource, Silent, Work};
use vmimage::engine::files::{self, Sinks};
use vmimage::manifest::{parse, room};

/// 3 MiB and a sector: more than one unit of every format, and never whole ones.
const LEN: u64 = (3 << 20) + 512;

/// Random bytes, by xorshift.
fn full() -> Arc<dyn SectorSource> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let words = (0..LEN / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    Arc::new(ByteSource::new(words.collect::<Vec<u8>>()))
}

#[test]
fn no_file_of_a_full_disk_is_larger_than_its_room() {
    let media = Media { disk: Some(full()), iso: None, beside: Vec::new() };
    let scratch = tempfile::tempdir().unwrap();
    for format in [
        "type: raw",
        "type: raw, preset: kubevirt",
        "type: qcow2",
        "type: qcow2, qcow2: {clusterSize: 512}",
        "type: qcow2, qcow2: {clusterSize: 2Mi, preallocation: full}",
        "type: qcow2, qcow2: {compression: zlib}",
        "type: qcow2, qcow2: {compression: zstd, clusterSize: 4Ki}",
        "type: vmdk",
        "type: vmdk, vmdk: {subformat: monolithicFlat}",
        "type: vmdk, vmdk: {subformat: streamOptimized}",
        "type: vhd",
        "type: vhd, vhd: {subformat: fixed, sizing: exact}",
        "type: vhdx",
        "type: vhdx, vhdx: {subformat: fixed, blockSize: 1Mi}",
        "type: vdi",
        "type: vdi, vdi: {subformat: static}",
        "type: ova",
        "type: box, box: {provider: libvirt}",
        "type: box, box: {provider: virtualbox}",
        "type: raw, wrap: gzip",
        "type: qcow2, wrap: xz",
        "type: vdi, wrap: zstd",
    ] {
        let text = format!(
            "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {{name: t}}\nspec: {{disk: {{size: {LEN}}}, formats: [{{{format}}}]}}\n"
        );
        let image = parse(&text, &[]).unwrap().remove(0).image;
        let planned = files::plan(&image, "0", &media).unwrap().remove(0);
        let (main, second) = (MemorySink::default(), MemorySink::default());
        let companion = planned.companion.as_ref().map(|_| &second as &dyn PositionalSink);
        let work = Work { threads: 2, progress: &Silent };
        let sinks = Sinks { main: &main, companion, scratch: scratch.path() };
        files::write(&planned, &media, &sinks, &work).unwrap();
        let size = main.into_bytes().len() + second.into_bytes().len();
        let room = room(&image.spec).unwrap().get();
        assert!(size as u64 >= LEN, "{format}: {size} is too little to prove something");
        assert!(size as u64 <= room, "{format}: {size} bytes, {room} were said to be enough");
    }
}
