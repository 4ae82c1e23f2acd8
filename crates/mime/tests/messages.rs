//! The project's example messages: each is located, and every displayed part reads back and can be written into.

use std::fs;
use std::path::Path;

use waxseal_mime::{Edit, decode, locate, splice};

#[test]
fn example_messages_read_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/messages");
    let Ok(cases) = fs::read_dir(folder) else { return };
    let mut html_parts = 0;
    for case in cases {
        let path = case.unwrap().path().join("in.eml");
        let Ok(written) = fs::read(&path) else { continue };
        let lf: Vec<u8> = written.iter().copied().filter(|&octet| octet != b'\r').collect();
        let crlf =
            lf.split_inclusive(|&octet| octet == b'\n').flat_map(|line| match line.strip_suffix(b"\n") {
                Some(line) => [line, b"\r\n"].concat(),
                None => line.to_vec(),
            });
        for raw in [crlf.collect::<Vec<u8>>(), lf.clone(), written] {
            let located = locate(&raw);
            let mut changed = Vec::new();
            let mut at = 0;
            for part in &located.html {
                let encoded = &raw[part.body.clone()];
                changed.extend_from_slice(&raw[at..part.body.start]);
                at = part.body.end;
                let Ok(decoded) = decode(encoded, part.encoding) else {
                    changed.extend_from_slice(encoded);
                    continue;
                };
                assert_eq!(splice(encoded, &decoded, &[]).as_deref(), Ok(encoded), "{}", path.display());
                let end = Edit { range: decoded.octets.len()..decoded.octets.len(), replacement: b"<i></i>" };
                changed.extend(splice(encoded, &decoded, &[end]).unwrap_or_else(|_| encoded.to_vec()));
                html_parts += 1;
            }
            changed.extend_from_slice(&raw[at..]);
            let again = locate(&changed);
            assert_eq!(again.html.len(), located.html.len(), "{}", path.display());
            assert_eq!(again.left, located.left, "{}", path.display());
            assert_eq!(again.sealed, located.sealed, "{}", path.display());
        }
    }
    assert!(html_parts > 0, "there are messages, and none of them shows HTML");
}
