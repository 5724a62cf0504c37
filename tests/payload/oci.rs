//! Container images: what umoci and skopeo write, and layouts that lie.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use vmimage::engine::base::tree::{Limits, Tree};
use vmimage::engine::base::{Beneath, ByteSource, Error, Origin, Scratch};
use vmimage::engine::payload::{Archive, Unpack, apply_layer, image_tree};
use vmimage::oci::{Layout, Platform};

use crate::foreign::{empty, source};
use crate::forged::{Tar, entry};
use crate::made::{ALL, Wants, fill};
use crate::rows::{assert_same, of_host, of_tree};
use crate::shell::shell;

/// The tree of the image in a layout.
fn tree(layout: &Layout, reference: Option<&str>) -> Result<Tree, Error> {
    let platform = Platform::linux("amd64");
    let image = layout.image(&platform, reference)?;
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 1 << 30);
    image_tree(&image, layout, &Unpack::default(), &scratch, &Origin::new("contents[0].image"))
}

fn of_archive(path: &Path) -> Layout {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(directory.path(), 1 << 30);
    let archive = Archive::open(source(path), &Unpack::default(), &scratch).unwrap();
    Layout::archive(Arc::clone(archive.source())).unwrap()
}

/// Rows of a tree of which umoci keeps whole seconds or nanoseconds; the root is its own.
fn rows(tree: &Tree) -> crate::rows::Rows {
    let mut rows = of_tree(tree);
    rows.remove(&b""[..]);
    rows
}

#[test]
fn umoci_and_skopeo() {
    let wants = Wants { sparse: false, odd_names: false, ..ALL };
    let made = tempfile::tempdir().unwrap();
    let root = made.path().join("rootfs");
    fs::create_dir(&root).unwrap();
    fill(&root, 3, wants);
    let umoci = |command: &str| shell(made.path(), "umoci", command);
    umoci("umoci init --layout image && umoci new --image image:one");
    umoci("umoci config --image image:one --os linux --architecture amd64");
    umoci("umoci insert --image image:one rootfs /a");
    // A layer that takes things away and puts others there.
    umoci("umoci insert --image image:one --whiteout /a/gone");
    fs::write(made.path().join("file"), "second layer").unwrap();
    umoci("umoci insert --image image:one file /a/second");
    umoci(
        "umoci insert --image image:one file /a/third && umoci insert --image image:one --whiteout /a/third",
    );
    let layout = Layout::directory(Beneath::new(&made.path().join("image"), &[]).unwrap());
    let ours = tree(&layout, Some("one")).unwrap();
    let mut theirs = of_host(&root);
    let mut ours = rows(&ours);
    // The directory that holds all was implied.
    ours.retain(|name, _| name.starts_with(b"a/"));
    let second = ours.remove(&b"a/second"[..]).unwrap();
    assert_eq!(second.bytes, b"second layer");
    theirs = theirs
        .into_iter()
        .map(|(name, mut row)| {
            row.first = [b"a/", &row.first[..]].concat();
            // umoci rounds to the nearest second.
            row.time = (row.time.0 + i64::from(row.time.1 >= 500_000_000), 0);
            ([b"a/", &name[..]].concat(), row)
        })
        .filter(|(name, _)| name != b"a/")
        .collect();
    ours.values_mut().for_each(|row| row.time.1 = 0);
    assert_same(&ours, &theirs, "umoci");
    assert!(tree(&layout, Some("two")).unwrap_err().to_string().contains("\"one\""));
    // The same image in every form that skopeo writes.
    let before = of_tree(&tree(&layout, None).unwrap());
    for (form, command) in [
        ("oci-archive", "skopeo copy -q oci:image:one oci-archive:two.tar"),
        ("docker-archive", "skopeo copy -q oci:image:one docker-archive:two.tar:a:b"),
        (
            "gzip",
            "skopeo copy -q oci:image:one docker-archive:b.tar:a:b && gzip -c b.tar > two.tar",
        ),
        ("zstd", "skopeo copy -q --dest-compress-format zstd oci:image:one oci-archive:two.tar"),
    ] {
        let _ = fs::remove_file(made.path().join("two.tar"));
        shell(made.path(), "skopeo", command);
        let layout = of_archive(&made.path().join("two.tar"));
        assert_same(&of_tree(&tree(&layout, None).unwrap()), &before, form);
    }
}

/// A layout of JSON texts and layers.
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("blobs/sha256")).unwrap();
        Self(directory)
    }

    /// A blob's descriptor.
    fn blob(&self, kind: &str, bytes: &[u8]) -> String {
        let name = hash(bytes);
        let path = self.0.path().join("blobs/sha256").join(&name["sha256:".len()..]);
        fs::write(path, bytes).unwrap();
        let size = bytes.len();
        format!(r#"{{"mediaType":"{kind}","digest":"{name}","size":{size}}}"#)
    }

    /// The descriptor of an image with these layers.
    fn image(&self, architecture: &str, layers: &[Vec<u8>]) -> String {
        let ids: Vec<_> = layers.iter().map(|layer| format!("\"{}\"", hash(layer))).collect();
        let config = format!(
            r#"{{"os":"linux","architecture":"{architecture}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
            ids.join(",")
        );
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let layers: Vec<_> = layers.iter().map(|layer| self.blob(LAYER, layer)).collect();
        self.manifest(&config, &layers.join(","))
    }

    fn manifest(&self, config: &str, layers: &str) -> String {
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#);
        self.blob(MANIFEST, text.as_bytes())
    }

    fn index(&self, descriptors: &str) -> Layout {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{descriptors}]}}"#);
        fs::write(self.0.path().join("index.json"), text).unwrap();
        Layout::directory(Beneath::new(self.0.path(), &[]).unwrap())
    }

    fn nested(&self, descriptors: &str) -> String {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{descriptors}]}}"#);
        self.blob(INDEX, text.as_bytes())
    }
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hash(bytes: &[u8]) -> String {
    use std::io::Write as _;
    // By another program than ours.
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("sha256:{}", &String::from_utf8(output.stdout).unwrap()[..64])
}

fn with(descriptor: &str, more: &str) -> String {
    format!("{},{more}}}", descriptor.strip_suffix('}').unwrap())
}

fn layer(name: &str) -> Vec<u8> {
    Tar::default().add(entry(name, b'0', 1), b"x").end()
}

#[test]
fn platforms_are_chosen() {
    let made = Made::new();
    let platform = |architecture: &str, variant: &str| {
        let variant =
            if variant.is_empty() { String::new() } else { format!(r#","variant":"{variant}""#) };
        format!(r#""platform":{{"os":"linux","architecture":"{architecture}"{variant}}}"#)
    };
    let amd = made.image("amd64", &[layer("amd")]);
    let arm = made.image("arm64", &[layer("arm")]);
    let all = [
        with(&arm, &platform("arm64", "v8")),
        with(&amd, r#""platform":{"os":"unknown","architecture":"unknown"}"#),
        with(&amd, &platform("amd64", "")),
    ];
    let index = made.index(&made.nested(&made.nested(&all.join(","))));
    let has = |architecture: &str, name: &str| {
        let image = index.image(&Platform::linux(architecture), None).unwrap();
        let scratch = Scratch::new(Path::new("/nowhere"), 0);
        let options = Unpack::default();
        let tree = image_tree(&image, &index, &options, &scratch, &Origin::new("x")).unwrap();
        assert!(of_tree(&tree).contains_key(name.as_bytes()), "{architecture}");
    };
    has("amd64", "amd");
    has("arm64", "arm");
    let error = index.image(&Platform::linux("s390x"), None).unwrap_err().to_string();
    assert!(error.contains("for linux/s390x") && error.contains("linux/arm64/v8"), "{error}");
    // An image that says what it is in its configuration alone.
    let error = made.index(&arm).image(&Platform::linux("amd64"), None).unwrap_err().to_string();
    assert!(error.contains("the image is for linux/arm64"), "{error}");
    let error = made.index(&[amd.clone(), arm].join(",")).image(&Platform::linux("amd64"), None);
    assert!(error.unwrap_err().to_string().contains("name one of"));
    // Too deep.
    let deep = (0..5).fold(amd, |inner, _| made.nested(&inner));
    let error = made.index(&deep).image(&Platform::linux("amd64"), None).unwrap_err().to_string();
    assert!(error.contains("more than 4 deep"), "{error}");
}

#[test]
fn lies_are_told() {
    let made = Made::new();
    let amd = made.image("amd64", &[layer("a"), layer("b")]);
    let open = |descriptor: &str| tree(&made.index(descriptor), None);
    assert!(open(&amd).is_ok());
    let error = |descriptor: &str| open(descriptor).unwrap_err().to_string();
    let config = made.blob("x", br#"{"rootfs":{"diff_ids":[]}}"#);
    for (descriptor, why) in [
        (made.manifest(&config, &made.blob(LAYER, b"x")), "1 layers and its configuration 0"),
        (made.manifest(&config, &made.blob("text/plain", b"x")), "tar, plain or with gzip"),
        (made.manifest(&config, &made.blob(&format!("{LAYER}+xz"), b"x")), "gzip or zstd"),
        (made.blob(MANIFEST, b"{"), "the image manifest is not as it should be"),
        (made.blob(MANIFEST, &[b' '; 5 << 20]), "at most 4194304 are allowed"),
        (made.blob("text/plain", b"x"), "no image"),
        (amd.replace("sha256:", "sha256:../../"), "no digest"),
        (amd.replace("\"size\":", "\"size\":1"), "bytes instead of 1"),
    ] {
        let error = error(&descriptor);
        assert!(error.contains(why), "{why}: {error}");
    }
    // The layer's inner digest.
    let id = hash(b"something else");
    let config = made.blob("x", format!(r#"{{"rootfs":{{"diff_ids":["{id}"]}}}}"#).as_bytes());
    let wrong = error(&made.manifest(&config, &made.blob(LAYER, &layer("a"))));
    assert!(wrong.contains("layer 1 of 1") && wrong.contains(&id), "{wrong}");
    // One byte of each blob.
    for file in fs::read_dir(made.0.path().join("blobs/sha256")).unwrap() {
        let path = file.unwrap().path();
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        bytes[before.len() / 2] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Err(error) = open(&amd) {
            assert!(error.to_string().contains(&format!("instead of sha256:{name}")), "{error}");
        } else {
            // Blobs of the other images.
            assert!(!amd.contains(name));
        }
        fs::write(&path, &before).unwrap();
    }
}

/// Applies layers to an empty tree.
fn layers(layers: &[Vec<u8>]) -> Result<Vec<String>, Error> {
    let mut tree = empty();
    for layer in layers {
        let layer = Arc::new(ByteSource::new(layer.clone()));
        let scratch = Scratch::new(Path::new("/nowhere"), 0);
        let limits = Limits { nodes: 1000, ..Limits::default() };
        let options = Unpack { limits, ..Unpack::default() };
        apply_layer(&mut tree, layer, &options, &scratch, &Origin::new("x"))?;
    }
    let rows = of_tree(&tree).into_iter().filter(|(_, row)| !row.what.starts_with("dir"));
    Ok(rows
        .map(|(name, row)| format!("{}={}", name.escape_ascii(), row.bytes.escape_ascii()))
        .collect())
}

/// A layer of files with their own name as bytes; `a>b` is a link, `a=b` a hard link.
fn of(names: &[&str]) -> Vec<u8> {
    let tar = names.iter().fold(Tar::default(), |tar, name| {
        if let Some((name, target)) = name.split_once('>') {
            return tar.add(entry(name, b'2', 0).link(target), b"");
        }
        if let Some((name, target)) = name.split_once('=') {
            return tar.add(entry(name, b'1', 0).link(target), b"");
        }
        match name.strip_suffix('/') {
            Some(name) => tar.add(entry(name, b'5', 0), b""),
            None => tar.add(entry(name, b'0', 1), b"1"),
        }
    });
    tar.end()
}

#[test]
fn whiteouts_are_about_lower_layers() {
    let two = |lower: &[&str], upper: &[&str]| layers(&[of(lower), of(upper)]).unwrap().join(" ");
    for (lower, upper, wanted) in [
        (&["a", "b"][..], &[".wh.a"][..], "b=1"),
        (&["d/a", "d/b"], &["d/.wh.a"], "d/b=1"),
        // A directory goes with all that is in it; files of the same layer stay, before and behind.
        (&["d/a", "d/e/b"], &["d/new", ".wh.d", "d/newer"], "d/new=1 d/newer=1"),
        (&["d/a", "d/b"], &["d/b", "d/.wh..wh..opq", "d/c"], "d/b=1 d/c=1"),
        (&["d/a", "e"], &[".wh..wh..opq", "f"], "f=1"),
        (&["a"], &["a", ".wh.a"], "a=1"),
        (&["a"], &[".wh.missing", "x/.wh.y"], "a=1"),
        // AUFS' own files.
        (&["a"], &[".wh..wh.plnk/1.2", ".wh..wh.aufs", ".wh..wh.orph/"], "a=1"),
        (&[], &[".wh..wh.plnk/1.2", "a=.wh..wh.plnk/1.2", "b=.wh..wh.plnk/1.2"], "a=1 b=1"),
        // A link that stays leads to what is hidden; one that is replaced does not.
        (&["real/a", "real/b", "l>real"], &["l/.wh.a"], "l= real/b=1"),
        (&["real/a", "l>real"], &["l/", "l/.wh.a", "l/n"], "l/n=1 real/a=1"),
        // Everything replaces everything.
        (&["d/a"], &["d"], "d=1"),
        (&["d"], &["d/", "d/a"], "d/a=1"),
        (&["t/a", "d>t"], &["d/", "d/b"], "d/b=1 t/a=1"),
        // A name of a lower layer's file.
        (&["a"], &["b=a", ".wh.c"], "a=1 b=1"),
    ] {
        assert_eq!(two(lower, upper), wanted, "{lower:?} {upper:?}");
    }
    for (upper, why) in [
        (&[".wh."][..], "no whiteout"),
        (&[".wh..."], "no whiteout"),
        (&["d/.wh..", "d/x"], "no whiteout"),
        (&[".wh.a", "b=a"], "not in the archive"),
        (&["../.wh.a"], "upwards"),
    ] {
        let error = layers(&[of(&["a"]), of(upper)]).unwrap_err().to_string();
        assert!(error.contains(why), "{upper:?}: {error}");
    }
}
