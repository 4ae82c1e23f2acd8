//! Certificates from a real ACME server on loopback, looked at by clients that nobody here wrote.
//!
//! Needs Pebble (Debian's package `pebble`), curl and openssl: `just e2e`, or `cargo test -- --ignored`. Without them it
//! fails, it does not pass. `acme.rs` has what can be shown without.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use harness::certificates::Authority;
use harness::certified_relay::{CertifiedRelay, MAIL, Plan, WEB};
use harness::pebble::{Pebble, curl};
use harness::run_to_end;

fn relay(challenge: &str) -> (Pebble, CertifiedRelay) {
    let plan = Plan::new();
    let pebble = Pebble::start(&plan);
    plan.write(&pebble.directory, &pebble.ca, challenge);
    (pebble, plan.start())
}

/// The serial number of what openssl is shown, once it has verified it against `root` and `name`.
fn serial(address: SocketAddr, name: &str, root: &Path, more: &[&str]) -> Result<String, String> {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address.to_string(), "-verify_return_error"])
        .args(["-verify_hostname", name, "-CAfile"])
        .arg(root)
        .args(more);
    if !more.contains(&"-noservername") {
        command.args(["-servername", name]);
    }
    let output = run_to_end(command, b"QUIT\r\n");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !said.contains("Verify return code: 0 (ok)") && !said.contains("Verification: OK") {
        return Err(said + &String::from_utf8_lossy(&output.stderr));
    }
    let mut command = Command::new("openssl");
    command.args(["x509", "-noout", "-serial", "-ext", "subjectAltName"]);
    let output = run_to_end(command, said.as_bytes());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("DNS:{name}\n")), "{text}");
    Ok(text.lines().next().unwrap().to_owned())
}

/// What the mail doors and the tracking endpoint show, verified.
fn serials(pebble: &Pebble, relay: &CertifiedRelay) -> [String; 2] {
    let root = relay.relay.path("root.pem");
    fs::write(&root, pebble.root()).unwrap();
    let mail = serial(relay.implicit, MAIL, &root, &[]).unwrap();
    assert_eq!(serial(relay.starttls, MAIL, &root, &["-starttls", "smtp"]).unwrap(), mail);
    let web = serial(relay.tracking, WEB, &root, &[]).unwrap();
    // No name asked for: each door shows the certificate of its own.
    assert_eq!(serial(relay.implicit, MAIL, &root, &["-noservername"]).unwrap(), mail);
    assert_eq!(serial(relay.tracking, WEB, &root, &["-noservername"]).unwrap(), web);
    let page = curl(&[
        "--cacert",
        &root.display().to_string(),
        "--connect-to",
        &format!("{WEB}:443:{}", relay.tracking),
        &format!("https://{WEB}/robots.txt"),
    ]);
    assert!(page.contains("Disallow"), "{page}");
    [mail, web]
}

fn wait_for_both(relay: &mut CertifiedRelay) {
    for name in [MAIL, WEB] {
        relay.relay.wait_for_log(&format!("a new certificate is in use name=\"{name}\""));
    }
}

#[test]
#[ignore = "needs Pebble: just e2e"]
fn tls_alpn_01_restart_and_renewal() {
    let (pebble, mut relay) = relay("tls-alpn-01");
    wait_for_both(&mut relay);
    let first = serials(&pebble, &relay);
    assert_eq!(pebble.orders(), 2);

    let mut relay = relay.stopped().start();
    relay.relay.wait_for_log("a kept certificate is in use");
    assert_eq!(serials(&pebble, &relay), first);
    assert_eq!(pebble.orders(), 2, "a restart asks for nothing");

    // In the last third of its life.
    let plan = relay.stopped();
    let (certificate, key) = Authority::new().issue_for(WEB, 2000, 2039);
    let folder = plan.folder.path().join("tls");
    fs::write(folder.join(format!("{WEB}.pem")), certificate + &key).unwrap();
    fs::write(folder.join(format!("{WEB}.json")), format!("{{\"issued_by\":\"{}\"}}", pebble.directory))
        .unwrap();
    let mut relay = plan.start();
    relay.relay.wait_for_log(&format!("a new certificate is in use name=\"{WEB}\""));
    let renewed = serials(&pebble, &relay);
    assert_eq!(renewed[0], first[0], "the other name's is left alone");
    assert_ne!(renewed[1], first[1]);
    assert_eq!(pebble.orders(), 3);
    assert!(pebble.log().contains("Configured to reject 5% of good nonces"));
}

#[test]
#[ignore = "needs Pebble: just e2e"]
fn http_01_and_the_plain_listener() {
    let (pebble, mut relay) = relay("http-01");
    wait_for_both(&mut relay);
    serials(&pebble, &relay);
    let at = |name: &str| format!("{name}:80:{}", relay.plain);
    let headers = curl(&["-i", "--connect-to", &at(WEB), &format!("http://{WEB}/o/x.gif")]);
    assert!(headers.contains(&format!("Location: https://{WEB}/o/x.gif\r\n")), "{headers}");
    let mut foreign = Command::new("curl");
    foreign.args(["-sS", "-i", "--connect-to", &at("evil.example"), "http://evil.example/o/x.gif"]);
    let answer = String::from_utf8(run_to_end(foreign, b"").stdout).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("Location"), "{answer}");
}

#[test]
#[ignore = "needs Pebble: just e2e"]
fn a_name_that_leads_elsewhere() {
    let plan = Plan::new();
    let pebble = Pebble::start(&plan);
    plan.write(&pebble.directory, &pebble.ca, "tls-alpn-01");
    pebble.lead(MAIL, "127.0.0.9");
    let mut relay = plan.start();
    let line = relay.relay.wait_for_log("there is no certificate name=");
    assert!(
        line.contains(MAIL)
            && line.contains("Failed to connect to 127.0.0.9")
            && line.contains("must lead to this machine"),
        "{line}"
    );
    relay.relay.wait_for_log(&format!("a new certificate is in use name=\"{WEB}\""));
    let root = relay.relay.path("root.pem");
    fs::write(&root, pebble.root()).unwrap();
    serial(relay.tracking, WEB, &root, &[]).unwrap();
    serial(relay.implicit, MAIL, &root, &[]).unwrap_err();
    // The name leads here now; the operator says that it is to be tried again at once, as the handbook tells.
    pebble.lead(MAIL, "127.0.0.1");
    let plan = relay.stopped();
    fs::remove_file(plan.folder.path().join(format!("tls/{MAIL}.json"))).unwrap();
    let mut relay = plan.start();
    relay.relay.wait_for_log(&format!("a new certificate is in use name=\"{MAIL}\""));
    serials(&pebble, &relay);
}
