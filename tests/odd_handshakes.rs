//! What strangers say to ports with TLS: garbage, half a handshake, names that are none, protocols that are not ours. It
//! costs them their connection, and nobody else anything.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{PATIENCE, Relay, free_address, plain_upstream, tls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

struct Setting {
    relay: Relay,
    /// 465, the tracking endpoint.
    doors: [SocketAddr; 2],
    plain: SocketAddr,
    certificate: String,
}

impl Setting {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (implicit, tracking, plain) = (free_address(), free_address(), free_address());
        let config = format!(
            "[server]\nhostname = \"relay.example.com\"\n\
             [[smtp]]\nlisten = \"{implicit}\"\ntls = \"implicit\"\n[tls]\nmode = \"self-signed\"\n\
             [tracking]\nbase_url = \"https://t.example.com\"\nlisten = \"{tracking}\"\nplain_http_listen = \"{plain}\"\n\
             [limits]\nconnections = 500\nconnections_per_address = 500\nshutdown_grace = \"1s\"\n\
             [store]\nurl = \"sqlite:waxseal.db\"\nspool = \"spool\"\nsigning_key_file = \"links.key\"\n{}",
            plain_upstream(free_address())
        );
        std::fs::write(folder.path().join("waxseal.toml"), config).unwrap();
        let relay = Relay::start_in(folder, implicit, tracking);
        let certificate = std::fs::read_to_string(relay.path("tls/self-signed.pem")).unwrap();
        Self { relay, doors: [implicit, tracking], plain, certificate }
    }

    fn client(&self) -> rustls::ClientConfig {
        tls::trusting(&[&self.certificate])
    }

    fn all_is_well(&mut self) {
        let client = self.client();
        for (door, name) in self.doors.into_iter().zip(["relay.example.com", "t.example.com"]) {
            let own = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
            assert_eq!(tls::shown(&client, door, name).unwrap(), own.to_vec());
        }
        let log = self.relay.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

/// Whatever comes until the end, or until nothing has come for a while.
fn answer(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = tls::tcp(address);
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let _ = stream.write_all(said);
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard);
    heard
}

/// The first record of a client, as rustls writes it.
fn hello(client: &rustls::ClientConfig, name: &str) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = rustls::ClientConnection::new(std::sync::Arc::new(client.clone()), name).unwrap();
    let mut octets = Vec::new();
    connection.write_tls(&mut octets).unwrap();
    octets
}

/// A hello of TLS 1.2 that asks for `name`, whatever that is.
fn hello_for(name: &[u8]) -> Vec<u8> {
    let field = |kind: u16, body: &[u8]| {
        [&kind.to_be_bytes(), &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
    };
    let of = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let name = [&[0], of(name.len()).as_slice(), name].concat();
    let names = [of(name.len()).as_slice(), &name].concat();
    let extensions = [
        field(0, &names),
        field(10, &[0, 4, 0, 0x1d, 0, 0x17]),
        field(13, &[0, 6, 4, 3, 8, 4, 5, 3]),
        field(11, &[1, 0]),
        field(23, &[]),
    ]
    .concat();
    let body = [
        &[3, 3][..],
        &[7; 32],
        &[0],
        &[0, 4, 0xc0, 0x2b, 0xc0, 0x2c],
        &[1, 0],
        &of(extensions.len()),
        &extensions,
    ]
    .concat();
    let handshake = [&[1, 0][..], &of(body.len()), &body].concat();
    [&[22, 3, 1][..], &of(handshake.len()), &handshake].concat()
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Closed, whether politely or not; out of patience is neither.
fn is_closed(read: std::io::Result<usize>) -> bool {
    match read {
        Ok(octets) => octets == 0,
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::WouldBlock),
                "{error}"
            );
            kind == std::io::ErrorKind::ConnectionReset
        }
    }
}

#[test]
fn strangers_lose_their_connection_and_nothing_else() {
    let mut setting = Setting::start();
    setting.all_is_well();
    let client = setting.client();

    // Names: any that can be asked for gets a certificate, one that cannot be a name gets an alert.
    for door in setting.doors {
        for (name, first) in [
            (b"t.example.com".to_vec(), HANDSHAKE),
            (b"T.EXAMPLE.COM".to_vec(), HANDSHAKE),
            (b"nobody.example".to_vec(), HANDSHAKE),
            ([&[b'a'; 63][..], b".", &[b'b'; 63], b".", &[b'c'; 63], b".", &[b'd'; 61]].concat(), HANDSHAKE),
            (vec![b'a'; 255], ALERT),
            (vec![b'a'; 16_000], ALERT),
            (b"\xff\xfe\x00".to_vec(), ALERT),
            (b"a..b".to_vec(), ALERT),
            (vec![], ALERT),
        ] {
            let heard = answer(door, &hello_for(&name));
            let shown = String::from_utf8_lossy(&name[..name.len().min(30)]).into_owned();
            // Some of what is no name may be passed over (RFC 6066 §3 leaves it to the server); never a panic.
            match first {
                HANDSHAKE => assert_eq!(heard.first(), Some(&HANDSHAKE), "{shown} at {door}"),
                _ => assert!(matches!(heard.first(), None | Some(&(ALERT | HANDSHAKE))), "{shown} at {door}"),
            }
        }
    }
    setting.all_is_well();

    // Protocols: the authority's, when nobody asked it; one we do not speak; one that is everybody's.
    for (protocols, web, mail) in [
        (&[b"acme-tls/1".to_vec()][..], false, false),
        (&[b"h2".to_vec()], false, true),
        (&[b"h2".to_vec(), b"http/1.1".to_vec()], true, true),
        (&[b"http/1.0".to_vec()], true, true),
        (&[vec![b'x'; 255]], false, true),
    ] {
        let mut client = client.clone();
        client.alpn_protocols = protocols.to_vec();
        let [implicit, tracking] = setting.doors;
        assert_eq!(tls::shown(&client, tracking, "t.example.com").is_ok(), web, "{protocols:?}");
        assert_eq!(tls::shown(&client, implicit, "relay.example.com").is_ok(), mail, "{protocols:?}");
    }
    setting.all_is_well();

    // Damaged hellos: each octet in turn, and cut at places.
    let whole = hello(&client, "t.example.com");
    let mut said = 0;
    for door in setting.doors {
        for at in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            let mut stream = tls::tcp(door);
            let _ = stream.write_all(&damaged);
            said += 1;
        }
        for garbage in [
            b"GET / HTTP/1.1\r\nHost: t.example.com\r\n\r\n".to_vec(),
            b"EHLO client.test\r\n".to_vec(),
            vec![0; 70_000],
            vec![0xff; 70_000],
            [&[22, 3, 1, 0xff, 0xff][..], &vec![1; 65_535]].concat(),
            whole.repeat(50),
        ] {
            let heard = answer(door, &garbage);
            assert!(heard.len() < 4_000, "{} octets for garbage", heard.len());
            said += 1;
        }
    }
    for garbage in [
        &b"\x16\x03\x01"[..],
        &vec![0; 20_000],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n\r\n",
    ] {
        let heard = answer(setting.plain, garbage);
        assert!(!String::from_utf8_lossy(&heard).contains("Location"), "{heard:?}");
    }
    eprintln!("{said} damaged or no handshakes");
    setting.all_is_well();
}

#[test]
fn slow_handshakes_end_and_keep_nobody_out() {
    let mut setting = Setting::start();
    let whole = hello(&setting.client(), "t.example.com");
    let tracking = setting.doors[1];
    let mut slow: Vec<_> = setting
        .doors
        .iter()
        .cycle()
        .take(200)
        .map(|door| {
            let mut stream = tls::tcp(*door);
            stream.write_all(&whole[..whole.len() / 2]).unwrap();
            (*door, stream)
        })
        .collect();
    for _ in 0..20 {
        let began = Instant::now();
        setting.all_is_well();
        assert!(began.elapsed() < PATIENCE / 4, "kept waiting for {:?}", began.elapsed());
    }
    // Whoever holds all places of plain HTTP that one may have keeps out himself.
    let mut idle: Vec<_> = (0..30).map(|_| tls::tcp(setting.plain)).collect();
    let closed = |stream: &mut std::net::TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        is_closed(stream.read(&mut [0]))
    };
    let refused = idle.iter_mut().filter_map(|stream| closed(stream).then_some(())).count();
    assert_eq!(refused, 14);
    drop(idle);
    // The endpoint's patience for a handshake is ten seconds; a mail client has longer.
    slow.retain(|(door, _)| *door == tracking);
    for (_, stream) in &mut slow {
        let mut heard = [0; 100];
        let began = Instant::now();
        while !is_closed(stream.read(&mut heard)) {
            assert!(began.elapsed() < PATIENCE, "not closed in time");
        }
    }
    setting.all_is_well();
}
