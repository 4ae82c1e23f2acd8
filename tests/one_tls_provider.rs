//! Decision 0005: aws-lc-rs is the one TLS provider of the whole program.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::process::Command;

#[test]
fn no_second_tls_library_is_compiled_in() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let has = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    assert!(has("aws-lc-rs") && has("rustls"), "the tree is not that of this program");
    for other in ["ring", "openssl", "openssl-sys", "native-tls", "boring"] {
        assert!(!has(other), "{other} is compiled in: cargo tree -i {other}");
    }
}
