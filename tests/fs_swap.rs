//! Swap areas compared with those of `mkswap`, byte for byte, and shown to `blkid` and `swaplabel`.
//!
//! Invariant: no swap is switched on.
#![expect(clippy::unwrap_used, reason = "a test program: a failed unwrap is a failed test")]

#[path = "support/tool.rs"]
mod tool;

use std::sync::Arc;

use vmimage::engine::base::tree::{Kind, Limits, Meta, Name, Time, Tree};
use vmimage::engine::base::{
    ByteSource, Error, Extent, Origin, Placement, Scratch, SectorSource, Silent, Work,
};
use vmimage::engine::filesystem::{
    Identity, Params, Planned, Request, Room, look, plan, read, swap,
};

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

fn empty() -> Tree {
    Tree::new(Meta::directory(Time::default()), Origin::new("root"))
}

fn planned(
    page_size: u64,
    label: Option<&str>,
    uuid: Option<&str>,
    room: Room,
    tree: Tree,
) -> Result<Box<dyn Planned>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let request = Request {
        tree: Arc::new(tree),
        identity: Identity {
            label: label.map(str::to_owned),
            uuid: uuid.map(str::to_owned),
            seed: uuid::Uuid::from_u128(7),
        },
        room,
        time: Time::default(),
        sector: 512,
        scratch: &Scratch::new(directory.path(), 0),
        work: Work { threads: 1, progress: &Silent },
    };
    plan(&Params::Swap(swap::Params { page_size }), &request)
}

fn rendered(planned: Box<dyn Planned>) -> Arc<dyn SectorSource> {
    let extents = Extent::new(0, planned.len()).into_iter().collect();
    let place = Placement { extents, medium: planned.len(), volume: 0 };
    planned.render(&place).unwrap()
}

fn bytes(source: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![1; source.len() as usize];
    source.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn areas_are_those_of_mkswap() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("swap");
    let text = path.to_str().unwrap();
    for (page, label, len) in [
        (4096, Some("fifteen letters"), 1 << 20),
        (4096, None, 40960),
        (4096, Some("odd"), 100_000),
        (16384, Some("sixteen"), 1 << 20),
        (65536, Some("arm"), 1 << 20),
    ] {
        let _ = fs_err::remove_file(&path);
        fs_err::File::create(&path).unwrap().set_len(len).unwrap();
        let page_text = page.to_string();
        let mut arguments = vec!["-q", "-p", &page_text, "-U", UUID];
        arguments.extend(label.into_iter().flat_map(|label| ["-L", label]));
        arguments.push(text);
        tool::run("util-linux", "mkswap", &arguments);
        let ours = planned(page, label, Some(UUID), Room::Exactly(len), empty()).unwrap();
        assert_eq!(ours.uuid().as_deref(), Some(UUID));
        let ours = rendered(ours);
        assert!(bytes(ours.as_ref()) == fs_err::read(&path).unwrap(), "{page} {label:?} {len}");
        let facts = look(ours.as_ref()).unwrap().unwrap();
        assert_eq!((facts.kind, facts.block_size), ("swap", page));
        assert_eq!((facts.label.as_deref(), facts.uuid.as_deref()), (label, Some(UUID)));
        assert_eq!((facts.size, facts.free), (len / page * page, Some((len / page - 1) * page)));
        fs_err::write(&path, bytes(ours.as_ref())).unwrap();
        let said = tool::run("util-linux", "blkid", &["-p", "-o", "export", text]);
        assert!(said.contains("TYPE=swap") && said.contains(UUID), "{said}");
        let said = tool::run("util-linux", "swaplabel", &[text]);
        assert!(said.contains(UUID) && label.is_none_or(|label| said.contains(label)), "{said}");
        assert_eq!(read(&ours, &Limits::default()).unwrap().unwrap().count(), 1);
    }
}

#[test]
fn sizes_and_ids_nobody_gave() {
    let fit = |bytes| Room::Fit { percent: 10, bytes };
    let area = planned(4096, None, None, fit(0), empty()).unwrap();
    let again = planned(4096, None, None, fit(5000), empty()).unwrap();
    assert_eq!((area.len(), again.len()), (1 << 20, (1 << 20) + 8192));
    assert_eq!(area.uuid(), again.uuid());
    let area = rendered(area);
    assert_eq!(area.extents().collect::<Vec<_>>(), [Extent::new(0, 4096).unwrap()]);
}

#[test]
fn what_cannot_be_is_refused() {
    let exactly = |len| Room::Exactly(len);
    for (page, label, uuid, room, says) in [
        (4096, None, None, exactly(40959), "needs 40960 bytes, it has 40959"),
        (4096, None, None, exactly(1), "0 pages"),
        (4096, None, None, exactly(1 << 45), "8589934592 pages"),
        (5000, None, None, exactly(1 << 20), "5000 bytes"),
        (4096, Some("sixteen letters!"), None, exactly(1 << 20), "at most 15 bytes"),
        (4096, None, Some("abc"), exactly(1 << 20), "the UUID \"abc\""),
    ] {
        let error = planned(page, label, uuid, room, empty()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let mut tree = empty();
    let origin = Origin::new("files[0]");
    let meta = Meta::file(Time::default());
    tree.put(Tree::ROOT, Name::new(b"file").unwrap(), Kind::Fifo, meta, &origin).unwrap();
    let error = planned(4096, None, None, exactly(1 << 20), tree).unwrap_err();
    assert_eq!(error.origin(), Some(&origin));
}

#[test]
fn any_changed_byte_is_answered() {
    let area =
        bytes(rendered(planned(4096, None, None, Room::Exactly(40960), empty()).unwrap()).as_ref());
    let mut answers = [0; 3];
    for at in 0..4096 {
        let mut area = area.clone();
        area[at] ^= 0xFF;
        answers[match look(&ByteSource::new(area)) {
            Ok(Some(_)) => 0,
            Ok(None) => 1,
            Err(_) => 2,
        }] += 1;
    }
    // The magic's ten bytes; the version's four and the last page's.
    assert_eq!(answers, [4096 - 18, 10, 8]);
}
