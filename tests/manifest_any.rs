//! Properties of parsing: any text is answered without a panic, and what is written is read back.
//!
//! Expects no message (see `manifest_parse`).

use proptest::prelude::*;
use vmimage::manifest::hash::{content_hash, known_digests};
use vmimage::manifest::parse;

/// A document with this spec, which begins in line 4.
fn with_spec(spec: &str) -> String {
    let head = "apiVersion: vmimage.dev/v1alpha1\nkind: VMImage\nmetadata: {name: t}\n";
    format!("{head}{spec}")
}

const WHOLE: &str = include_str!("../examples/hello.yaml");
const CONTENTS: &str = include_str!("../examples/mksmolnb.yaml");
const ROOT: &str = include_str!("../examples/debian-root.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_answered(text in ".*") {
        let _ = parse(&text, &[]);
    }

    #[test]
    fn any_yaml_like_text_is_answered(text in "[-a:b{}\\[\\],\"'|>&*!?#% \n\t~<=0.x_]{0,80}") {
        let _ = parse(&text, &[]);
        let _ = parse(&with_spec(&format!("spec: {text}")), &[]);
    }

    #[test]
    fn mutated_documents_are_answered(whole in prop::sample::select(vec![WHOLE, CONTENTS, ROOT]), at in 0..2000usize, len in 0..20usize, put in "[-a:{}\\[\\],\"'|&*! \n\t0é/$(]{0,6}") {
        let mut chars: Vec<char> = whole.chars().collect();
        let at = at % chars.len();
        let end = (at + len).min(chars.len());
        chars.splice(at.min(end)..end, put.chars());
        let text: String = chars.into_iter().collect();
        if let Ok(documents) = parse(&text, &[]) {
            for document in documents {
                let _ = vmimage::manifest::check(&document.image);
                let spec = &document.image.spec;
                let _ = vmimage::manifest::check_for_cluster(spec);
                let _ = content_hash(spec, &known_digests(spec));
                let text = serde_json::to_string(&document.image).unwrap();
                prop_assert_eq!(&parse(&text, &[]).unwrap()[0].image.spec, spec);
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(message in "[ -~]{1,40}", size in 1u64..1 << 40) {
        let mut image = parse(WHOLE, &[]).unwrap().remove(0).image;
        image.spec.boot.as_mut().unwrap().sector.as_mut().unwrap().message = Some(message);
        image.spec.disk = Some(vmimage::manifest::types::Disk {
            size: Some(vmimage::manifest::Size(vmimage::units::ByteSize::bytes(size * 512))),
            ..Default::default()
        });
        let text = serde_json::to_string(&image).unwrap();
        prop_assert_eq!(&parse(&text, &[]).unwrap()[0].image, &image);
    }
}
