use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use envelope::RelayId;
use seal::{Keys, Recipient};

/// Whatever stands where a token should: it opens only if it is one that was made with these keys, in the one spelling
/// there is, as what it was made for; and nothing can be minted that is not safe in a `Location` field.
///
/// `data` is taken as a text, as the octets of a token, as a destination, and as changes to tokens that are good.
pub fn token(data: &[u8]) {
    let (old, new) = (Keys::generate([1; 32]), Keys::generate([2; 32]));
    let mut both = old.clone();
    both.rotate([2; 32]);
    if let Ok(text) = std::str::from_utf8(data) {
        lawful(&both, text);
        let _ = Keys::parse(text);
    }
    lawful(&both, &URL_SAFE_NO_PAD.encode(data));

    let mut head = [0; 20];
    let used = data.len().min(head.len());
    head[..used].copy_from_slice(&data[..used]);
    let rest = data.get(head.len()..).unwrap_or_default();
    let message = RelayId::from_bytes(*head.first_chunk().expect("twenty octets"));
    let index = u16::from_be_bytes([head[16], head[17]]);
    let recipient = if head[18] & 1 == 0 { Recipient::Index(index) } else { Recipient::Shared };
    minted(&both, &String::from_utf8_lossy(rest), message, recipient, index);

    let keys = if head[18] & 2 == 0 { old } else { new };
    let link = keys.seal_link(message, recipient, index, "https://example.com/a?b=c").expect("a URL");
    let good = [
        keys.seal_pixel(message, recipient),
        keys.seal_unsubscribe(message, recipient),
        keys.seal_refusal(message, recipient),
        link,
    ];
    for token in &good {
        assert_eq!(kinds(&both, token).into_iter().filter(|opens| *opens).count(), 1, "{token}");
        lawful(&both, token);
        let octets = URL_SAFE_NO_PAD.decode(token).expect("as we write it");
        let changed: Vec<u8> =
            octets.iter().zip(rest.iter().chain(std::iter::repeat(&0))).map(|(a, b)| a ^ b).collect();
        if changed != octets {
            assert_eq!(kinds(&both, &URL_SAFE_NO_PAD.encode(&changed)), [false; 4], "changed: {token}");
        }
        // Cut, and with something behind it.
        let at = usize::from(head[19]) % token.len();
        assert_eq!(kinds(&both, &token[..at]), [false; 4]);
        if let Ok(more) = std::str::from_utf8(rest)
            && !more.is_empty()
        {
            assert_eq!(kinds(&both, &format!("{token}{more}")), [false; 4], "{more:?} behind it");
        }
    }
}

fn minted(keys: &Keys, target: &str, message: RelayId, recipient: Recipient, link: u16) {
    for target in [target.to_owned(), format!("https://{target}"), format!("http://example.com/{target}")] {
        let Ok(token) = keys.seal_link(message, recipient, link, &target) else { continue };
        let opened = keys.open_link(&token).expect("what was minted opens");
        let text = opened.target.as_str();
        assert_eq!(text, target);
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{text:?}");
        let url = url::Url::parse(text).expect("a URL");
        assert!(matches!(url.scheme(), "http" | "https") && url.has_host(), "{text:?}");
        assert!(url.username().is_empty() && url.password().is_none(), "{text:?}");
        // No program could take another part of it for the host.
        assert_eq!(url.as_str(), text);
    }
}

/// What opens is what we write: no second spelling of a token is one.
fn lawful(keys: &Keys, text: &str) {
    let opens = kinds(keys, text);
    assert!(opens.iter().filter(|opens| **opens).count() <= 1, "{text:?} opens as several kinds");
    let made = [Keys::generate([1; 32]), Keys::generate([2; 32])];
    let is_ours = |make: &dyn Fn(&Keys) -> String| made.iter().any(|keys| make(keys) == text);
    if let Some(token) = keys.open_pixel(text) {
        assert!(is_ours(&|keys| keys.seal_pixel(token.message, token.recipient)), "{text:?}");
    }
    if let Some(token) = keys.open_unsubscribe(text) {
        assert!(is_ours(&|keys| keys.seal_unsubscribe(token.message, token.recipient)), "{text:?}");
    }
    if let Some(token) = keys.open_refusal(text) {
        assert!(is_ours(&|keys| keys.seal_refusal(token.message, token.recipient)), "{text:?}");
    }
    if let Some(token) = keys.open_link(text) {
        let target = token.target.as_str();
        let make = |keys: &Keys| keys.seal_link(token.message, token.recipient, token.link, target);
        assert!(is_ours(&|keys| make(keys).unwrap_or_default()), "{text:?}");
    }
}

fn kinds(keys: &Keys, text: &str) -> [bool; 4] {
    [
        keys.open_pixel(text).is_some(),
        keys.open_link(text).is_some(),
        keys.open_unsubscribe(text).is_some(),
        keys.open_refusal(text).is_some(),
    ]
}
