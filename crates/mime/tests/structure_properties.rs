//! What holds for every message, sound or not: ranges are sane, octets outside stay, the tree of parts survives a change.

use mail_parser::{HeaderName, MessageParser, MessagePart, PartType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use waxseal_mime::{
    Edit, Located, decode, decode_words, field_bodies, header_end, header_fields, locate, remove_fields,
    splice, to_seven_bit,
};

/// A part of a message that mail programs would send.
#[derive(Clone, Debug)]
enum Part {
    Text { html: bool, body: String, encoding: u8 },
    File { html: bool },
    Message,
    Multipart { subtype: &'static str, parts: Vec<Part>, preamble: bool },
}

fn part() -> impl Strategy<Value = Part> {
    let body = "([a-zé]{0,9}[ =<>-]{0,2}|\r\n|-- \r\n|--\r\n|--x\r\n){0,12}";
    let text =
        (any::<bool>(), body, 0_u8..5).prop_map(|(html, body, encoding)| Part::Text { html, body, encoding });
    let leaf = prop_oneof![6 => text, 1 => any::<bool>().prop_map(|html| Part::File { html }), 1 => Just(Part::Message)];
    leaf.prop_recursive(4, 20, 4, |part| {
        let subtype = prop::sample::select(vec!["mixed", "alternative", "related"]);
        (subtype, vec(part, 1..4), any::<bool>()).prop_map(|(subtype, parts, preamble)| Part::Multipart {
            subtype,
            parts,
            preamble,
        })
    })
}

impl Part {
    /// Header and body; boundaries are made of `boundary` and the part's place, so that outer ones begin inner ones.
    fn write(&self, boundary: &str) -> String {
        match self {
            Self::Text { html, body, encoding } => {
                let (encoding, body) = match encoding {
                    0 => ("", body.clone()),
                    1 => ("Content-Transfer-Encoding: 8bit\r\n", body.clone()),
                    2 => (
                        "content-transfer-encoding:  Quoted-Printable\r\n",
                        quoted_printable::encode_to_str(body),
                    ),
                    3 => ("Content-Transfer-Encoding: base64\r\n", base64_of(body.as_bytes())),
                    _ => ("Content-Transfer-Encoding:\r\n\tbinary\r\n", body.clone()),
                };
                let subtype = if *html { "html" } else { "plain" };
                format!("Content-Type: text/{subtype}; charset=utf-8\r\n{encoding}\r\n{body}")
            }
            Self::File { html } => {
                let media_type = if *html { "text/html" } else { "image/png" };
                format!(
                    "Content-Type: {media_type}\r\nContent-Disposition: attachment; filename=x\r\n\r\nPK..é\0\r\n--"
                )
            }
            Self::Message => {
                "Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\n<p>\r\n".to_owned()
            }
            Self::Multipart { subtype, parts, preamble } => {
                let mut out =
                    format!("Content-Type: multipart/{subtype};\r\n boundary=\"{boundary}\"\r\n\r\n");
                if *preamble {
                    out += "This is MIME.\r\n";
                }
                for (at, part) in parts.iter().enumerate() {
                    let part = part.write(&format!("{boundary}.{at}"));
                    out.extend(["--", boundary, "\r\n", &part, "\r\n"]);
                }
                out + &format!("--{boundary}--\r\n")
            }
        }
    }
}

fn base64_of(text: &[u8]) -> String {
    use base64::Engine as _;
    let one_line = base64::engine::general_purpose::STANDARD.encode(text);
    one_line.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\r\n").collect()
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    part().prop_map(|part| format!("Subject: x\r\nX-Track: y\r\n{}", part.write("=_b")).into_bytes())
}

/// A message with something broken in it.
fn broken_message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "--=_b\r\n",
        "--=_b--\r\n",
        "--=_b.0\r\n",
        "--=_b.0.1--",
        "\r\n",
        "\n",
        "\r",
        " ",
        ";",
        "\"",
        "=",
        "=\r\n",
        "(",
        "\\",
        ":",
        "Content-Type: text/html\r\n",
        "Content-Type: multipart/mixed; boundary=\"=_b\"\r\n",
        "\r\n\r\n",
        "\0",
        "é",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Disposition: attachment\r\n",
        " boundary=",
        "name=x",
    ]);
    let change = (any::<Index>(), 0_usize..12, prop_oneof![piece, Just("")]);
    (message(), vec(change, 1..6)).prop_map(|(mut message, changes)| {
        for (at, octets, new) in changes {
            let start = at.index(message.len() + 1);
            let end = (start + octets).min(message.len());
            message.splice(start..end, new.bytes());
        }
        message
    })
}

/// Everything that must hold whatever the octets are.
fn assert_sane(raw: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(converted) = to_seven_bit(raw) {
        prop_assert!(converted.is_ascii());
        prop_assert_eq!(to_seven_bit(&converted), Ok(converted));
    }
    let located = locate(raw);
    let mut parts: Vec<_> = located.html.iter().chain(&located.plain).collect();
    parts.sort_by_key(|part| part.body.start);
    let (mut together, mut at) = (Vec::new(), 0);
    for part in &parts {
        let body = part.body.clone();
        prop_assert!(at <= body.start && body.start <= body.end && body.end <= raw.len(), "{:?}", part);
        // The proof of its end.
        let behind = &raw[body.end..];
        let delimited = [&b"\r\n--"[..], b"\n--"].iter().any(|delimiter| behind.starts_with(delimiter));
        let shares = body.is_empty() && raw[..body.start].ends_with(b"\n") && behind.starts_with(b"--");
        prop_assert!(behind.is_empty() || delimited || shares, "{:?}", part);
        together.extend_from_slice(&raw[at..body.start]);
        together.extend_from_slice(&raw[body.clone()]);
        at = body.end;
    }
    together.extend_from_slice(&raw[at..]);
    prop_assert_eq!(together, raw);

    assert_changes_stay_inside(raw, &located)?;

    let fields = header_fields(raw);
    let end = header_end(raw);
    prop_assert!(fields.iter().all(|field| field.whole.end <= end || end == 0));
    prop_assert!(
        fields.iter().all(|field| field.whole.start <= field.name.start && field.body.end <= field.whole.end)
    );
    let without = remove_fields(raw, &["x-track"]);
    prop_assert_eq!(field_bodies(&without, "X-Track"), Vec::<String>::new());
    prop_assert!(without.ends_with(&raw[end.max(fields.last().map_or(0, |field| field.whole.end))..]));
    for field in fields {
        decode_words(&String::from_utf8_lossy(&raw[field.body]));
    }
    Ok(())
}

/// Writes into every HTML part and looks at the result.
fn assert_changes_stay_inside(raw: &[u8], located: &Located) -> Result<(), TestCaseError> {
    let (mut changed, mut at) = (Vec::new(), 0);
    for part in &located.html {
        let encoded = &raw[part.body.clone()];
        changed.extend_from_slice(&raw[at..part.body.start]);
        at = part.body.end;
        let mut spliced = None;
        if let Ok(decoded) = decode(encoded, part.encoding) {
            prop_assert_eq!(splice(encoded, &decoded, &[]), Ok(encoded.to_vec()));
            let middle = decoded.octets.len() / 2;
            let middle = middle - usize::from(decoded.octets[middle..].starts_with(b"\n")).min(middle);
            let edit = |at| Edit { range: at..at, replacement: b"<img src=\"https://t.example/o/AbC\">" };
            spliced = splice(encoded, &decoded, &[edit(middle), edit(decoded.octets.len())]).ok();
        }
        changed.extend_from_slice(spliced.as_deref().unwrap_or(encoded));
    }
    changed.extend_from_slice(&raw[at..]);
    let again = locate(&changed);
    let paths = |located: &Located| -> Vec<String> {
        located.html.iter().chain(&located.plain).map(|part| part.path.clone()).collect()
    };
    prop_assert_eq!(paths(&again), paths(located));
    prop_assert_eq!(&again.left, &located.left);
    for (before, after) in located.plain.iter().zip(&again.plain) {
        prop_assert_eq!(&raw[before.body.clone()], &changed[after.body.clone()]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_messages_are_found_whole(raw in message()) {
        assert_sane(&raw)?;
        let located = locate(&raw);
        prop_assert_eq!(located.sealed, None);
        // mail-parser, given the whole message: what it displays we found, and where it says it stands.
        let message = MessageParser::new().parse(&raw).unwrap();
        let theirs: Vec<_> = message
            .html_body
            .iter()
            .filter_map(|&id| message.part(id))
            .filter(|part| matches!(part.body, PartType::Html(_)) && !part.is_encoding_problem)
            .map(|part| part.offset_body as usize..part.offset_end as usize)
            .collect();
        for part in &located.html {
            prop_assert!(theirs.contains(&part.body), "{:?} is not in {:?}", part, theirs);
        }
        // What it displays and we leave is an attachment or a resource to us, nothing else.
        for body in theirs {
            let found = located.html.iter().any(|part| part.body == body);
            let left = located.left.iter().any(|part| part.obstacle == waxseal_mime::Obstacle::Attachment);
            prop_assert!(found || left, "{:?} is missing", body);
        }
    }

    #[test]
    fn seven_bit_messages_say_the_same(raw in message(), long in 0_usize..2_000) {
        let mut raw = [b"MIME-Version: 1.0\r\n".to_vec(), raw].concat();
        // A long line, if there is a place for one.
        if let Some(at) = raw.windows(2).position(|octets| octets == "é".as_bytes()) {
            raw.splice(at..at, std::iter::repeat_n(b'y', long));
        }
        let converted = to_seven_bit(&raw);
        prop_assert!(converted.is_ok(), "{:?}", converted);
        let converted = converted.unwrap();
        prop_assert!(converted.is_ascii());
        if raw.is_ascii() {
            prop_assert_eq!(&converted, &raw);
        }
        prop_assert_eq!(&to_seven_bit(&converted).unwrap(), &converted);
        let before = MessageParser::new().parse(&raw).unwrap();
        let after = MessageParser::new().parse(&converted).unwrap();
        prop_assert_eq!(before.parts.len(), after.parts.len());
        for (before, after) in before.parts.iter().zip(&after.parts) {
            let fields = |part: &MessagePart<'_>| {
                let others = part.headers.iter().filter(|field| field.name != HeaderName::ContentTransferEncoding);
                others.map(|field| format!("{:?} {:?}", field.name, field.value)).collect::<Vec<_>>()
            };
            prop_assert_eq!(fields(before), fields(after));
            if !matches!(before.body, PartType::Multipart(_)) {
                prop_assert_eq!(before.contents(), after.contents());
            }
        }
        for line in converted.split(|octet| *octet == b'\n') {
            prop_assert!(line.len() <= 999, "{}", line.len());
        }
    }

    #[test]
    fn broken_messages_stay_sane(raw in broken_message()) {
        assert_sane(&raw)?;
        let lf: Vec<u8> = raw.iter().copied().filter(|&octet| octet != b'\r').collect();
        assert_sane(&lf)?;
    }

    #[test]
    fn any_octets_stay_sane(raw: Vec<u8>) {
        assert_sane(&raw)?;
    }
}
