//! Full images, refusals, damage, determinism.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vmimage::engine::base::tree::{Device, Kind, Limits, Meta, Tree};
use vmimage::engine::base::{ByteSource, Content, Late, SectorSource};
use vmimage::engine::filesystem::Room;
use vmimage::engine::filesystem::iso9660::{Params, look, read};

use super::sample::{FIT, TIME, bytes, empty, everything, plain, put, render};

fn whole(image: &dyn SectorSource) -> Vec<u8> {
    let mut bytes = vec![0; image.len() as usize];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_image_is_full_by_one_sector() {
    for tree in [empty, plain, everything] {
        let least = render(tree(), &Params::default(), FIT).unwrap().len();
        let exact = render(tree(), &Params::default(), Room::Exactly(least)).unwrap();
        assert_eq!(exact.len(), least);
        let error = render(tree(), &Params::default(), Room::Exactly(least - 2048)).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(&format!("needs {least} bytes, has {}", least - 2048)),
            "{message}"
        );
        let more = render(tree(), &Params::default(), Room::Exactly(least + 5000)).unwrap();
        assert_eq!(more.len(), least + 5000);
        assert!(read(more, &Limits::default()).is_ok());
        let fit = Room::Fit { percent: 50, bytes: 1 };
        let roomy = render(tree(), &Params::default(), fit).unwrap().len();
        assert_eq!(roomy, (least + least / 2 + 1).next_multiple_of(2048));
    }
}

/// Any piece of an image is the same whether it is read alone or with others, and every byte outside
/// of the extents is zero.
#[test]
fn pieces_agree_with_the_whole() {
    let image = render(everything(), &Params::default(), FIT).unwrap();
    let expected = whole(image.as_ref());
    assert_eq!(whole(render(everything(), &Params::default(), FIT).unwrap().as_ref()), expected);
    for size in [512, 2048, 4096 + 13, 65_536] {
        let mut at = 0;
        while at < expected.len() {
            let len = size.min(expected.len() - at);
            let mut piece = vec![0xee; len];
            image.read_at(at as u64, &mut piece).unwrap();
            assert_eq!(piece, expected[at..at + len], "{len} bytes at {at}");
            at += len;
        }
    }
    let mut from = 0;
    for extent in image.extents() {
        assert!(expected[from..extent.start() as usize].iter().all(|byte| *byte == 0));
        from = extent.end() as usize;
    }
    assert!(expected[from..].iter().all(|byte| *byte == 0));
}

#[test]
fn what_has_no_place_is_refused_by_its_path() {
    let refused = |kind: Kind, params: &Params| {
        let mut tree = empty();
        put(&mut tree, b"dir/odd", kind, Meta::file(TIME));
        let error = render(tree, params, FIT).unwrap_err();
        assert_eq!(error.origin().map(|origin| origin.as_str()), Some("test"));
        error.to_string()
    };
    let bare = Params { rock_ridge: false, ..Params::default() };
    let message = refused(Kind::Symlink(b"x"[..].into()), &bare);
    assert_eq!(message, "\"/dir/odd\" is a symbolic link, which needs Rock Ridge");
    let device = Kind::CharDevice(Device { major: 0, minor: 256 });
    assert!(refused(device, &Params::default()).contains("0:256"));

    let mut tree = empty();
    let id = put(&mut tree, b"tagged", bytes(b""), Meta::file(TIME));
    let (_, attributes) = tree.meta_mut(id);
    let one = (b"user.tag"[..].into(), b"1"[..].into());
    *attributes = Some(Box::new([one].into_iter().collect()));
    let error = render(tree.clone(), &Params::default(), FIT).unwrap_err().to_string();
    assert!(error.contains("\"/tagged\" has the extended attribute user.tag"), "{error}");
    assert!(render(tree, &Params { drop_attributes: true, ..Params::default() }, FIT).is_ok());

    let mut tree = empty();
    put(&mut tree, b"1/2/3/4/5/6/7/8/file", bytes(b""), Meta::file(TIME));
    let error = render(tree, &bare, FIT).unwrap_err().to_string();
    assert!(error.contains("\"/1/2/3/4/5/6/7/8\" lies 8 directories deep"), "{error}");

    let params = Params { volume_id: "x".repeat(33), ..Params::default() };
    let error = render(empty(), &params, FIT).unwrap_err().to_string();
    assert!(error.contains("has 33 bytes; ISO 9660 holds 32"), "{error}");
}

/// A late content learns where it came to lie.
#[test]
fn late_contents_are_settled() {
    let mut tree = empty();
    let finish = |placement: &vmimage::engine::base::Placement| {
        placement.extents[0].start().to_le_bytes().to_vec()
    };
    let late = Late { len: 8, align: 8192, contiguous: true, finish: Box::new(finish) };
    put(&mut tree, b"a", bytes(b"before"), Meta::file(TIME));
    put(&mut tree, b"late", Kind::File(Content::Late(Arc::new(late))), Meta::file(TIME));
    let image = whole(render(tree, &Params::default(), FIT).unwrap().as_ref());
    let at = (0..image.len())
        .step_by(8192)
        .skip(1)
        .find(|at| image.get(*at..at + 8) == Some(&(*at as u64).to_le_bytes()[..]));
    assert!(at.is_some());
}

/// Reads everything that a damaged image still gives.
fn drain(image: Vec<u8>) -> Result<usize, String> {
    let medium: Arc<dyn SectorSource> = Arc::new(ByteSource::new(image));
    look(medium.as_ref()).map_err(|e| e.to_string())?;
    let limits = Limits { nodes: 10_000, ..Limits::default() };
    let tree: Tree = read(medium, &limits).map_err(|e| e.to_string())?;
    for step in tree.walk() {
        if let Kind::File(Content::Sectors(source)) = &tree.node(step.node).kind {
            let mut start = vec![0; source.len().min(4096) as usize];
            source.read_at(0, &mut start).map_err(|e| e.to_string())?;
        }
    }
    Ok(tree.count())
}

/// No flipped byte makes the reader panic, hang or take much memory.
#[test]
fn flipped_bytes_end_well() {
    let image = whole(render(everything(), &Params::default(), FIT).unwrap().as_ref());
    let intact = drain(image.clone()).unwrap();
    let began = Instant::now();
    let (mut refused, mut tried) = (0, 0);
    // Descriptors, path tables and directories; the files lie behind. The order is a stride through
    // them, so that a slow machine tries fewer bytes but of all parts.
    let first = 16 * 2048;
    let places: Vec<usize> =
        (first..image.len().min(130 * 2048)).filter(|at| image[*at] != 0 || at % 61 == 0).collect();
    for step in 0..places.len() {
        let at = places[step * 7919 % places.len()];
        for flip in [0xff, 0x01, 0x80] {
            let mut damaged = image.clone();
            damaged[at] ^= flip;
            tried += 1;
            match drain(damaged) {
                Ok(count) => assert!(count <= intact + 200, "{count} nodes with byte {at} flipped"),
                Err(_) => refused += 1,
            }
        }
        if began.elapsed() > Duration::from_secs(12) {
            break;
        }
    }
    // The format has no checksums: only what is no structure any more can be noticed.
    assert!(refused > 20 && tried > 300, "{refused} of {tried} were noticed");
}

#[test]
fn a_directory_that_holds_itself_is_refused() {
    let mut tree = empty();
    put(&mut tree, b"outer/inner/file", bytes(b"x"), Meta::file(TIME));
    let params = Params { joliet: false, ..Params::default() };
    let mut image = whole(render(tree, &params, FIT).unwrap().as_ref());
    // The record of `inner` gets the place of `outer`: both are in the path table before it.
    let record = |image: &[u8], id: &[u8]| {
        let at = image.windows(id.len()).enumerate().skip(20 * 2048);
        at.filter(|(at, window)| *window == id && image[at - 1] == 5)
            .map(|(at, _)| at - 33)
            .next()
            .unwrap()
    };
    let (outer, inner) = (record(&image, b"OUTER"), record(&image, b"INNER"));
    let place = image[outer + 2..outer + 10].to_vec();
    image[inner + 2..inner + 10].copy_from_slice(&place);
    let error = drain(image).unwrap_err();
    assert!(error.contains("second name"), "{error}");
}
