//! Is a mail the same but for what Waxseal says it changes? Written without our own MIME code: parts by
//! mail-parser, transfer encodings by other crates, and a walk over both texts side by side.

use mail_parser::{MessageParser, MimeHeaders, PartType};

/// What was changed in a mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub pixels: Vec<String>,
    pub links: Vec<String>,
    /// Our own earlier pixels, or `data-waxseal` attributes, that are gone.
    pub removed: usize,
    /// Our own earlier links that became their target again.
    pub unwrapped: usize,
}

const CONTROL_FIELDS: [&str; 9] = [
    "x-waxseal-track",
    "x-waxseal-link",
    "x-waxseal-tag",
    "x-pm-trackopens",
    "x-pm-tracklinks",
    "x-mc-track",
    "x-mailgun-track",
    "x-mailgun-track-clicks",
    "x-mailgun-track-opens",
];

/// Compares a mail as it was submitted with the mail as the provider got it.
///
/// # Errors
/// The first difference that is not a pixel, a tracked link or a field of ours.
pub fn compare(submitted: &[u8], passed_on: &[u8], base_url: &str) -> Result<Changes, String> {
    let submitted = without_control_fields(submitted);
    let passed_on = without_received(passed_on)?;
    if submitted == passed_on {
        return Ok(Changes::default());
    }
    let parser = MessageParser::new();
    let (before, after) = (parser.parse(&submitted), parser.parse(passed_on));
    let (before, after) = (before.ok_or("nothing parses")?, after.ok_or("the result does not parse")?);
    if before.parts.len() != after.parts.len() {
        return Err(format!("{} parts became {}", before.parts.len(), after.parts.len()));
    }
    let mut changes = Changes::default();
    let (mut done_before, mut done_after) = (0, 0);
    for (old, new) in before.parts.iter().zip(&after.parts) {
        let is_leaf = !matches!(old.body, PartType::Multipart(_) | PartType::Message(_));
        if !is_leaf || (old.offset_body as usize) < done_before {
            continue;
        }
        let span_before = done_before..old.offset_body as usize;
        let span_after = done_after..new.offset_body as usize;
        if submitted[span_before.clone()] != passed_on[span_after.clone()] {
            return Err(format!("the octets between parts changed at {}", span_before.start));
        }
        let body_before = &submitted[old.offset_body as usize..old.offset_end as usize];
        let body_after = &passed_on[new.offset_body as usize..new.offset_end as usize];
        (done_before, done_after) = (old.offset_end as usize, new.offset_end as usize);
        if body_before == body_after {
            continue;
        }
        let media_type = old.content_type().map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()));
        let media_type = media_type.unwrap_or_default().to_ascii_lowercase();
        if media_type != "text/html" && media_type != "text/plain" && !media_type.is_empty() {
            return Err(format!("a part of type {media_type} changed"));
        }
        let encoding = old.content_transfer_encoding().unwrap_or("7bit").to_ascii_lowercase();
        check_lines(body_before, body_after, &encoding)?;
        let text_before = decode(body_before, &encoding)?;
        let text_after = decode(body_after, &encoding)?;
        walk(&text_before, &text_after, base_url, &mut changes)?;
    }
    if submitted[done_before..] != passed_on[done_after..] {
        return Err("the octets after the last part changed".into());
    }
    Ok(changes)
}

/// RFC 5322 §2.1.1 and RFC 2045 §6.7: no line newly longer than 998, none longer than 76 where none was.
fn check_lines(before: &[u8], after: &[u8], encoding: &str) -> Result<(), String> {
    let longest = |octets: &[u8]| {
        octets.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).len()).max()
    };
    let (before, after) = (longest(before).unwrap_or(0), longest(after).unwrap_or(0));
    let limit = if matches!(encoding, "quoted-printable" | "base64") { 76.max(before) } else { 998.max(before) };
    if after > limit { Err(format!("a line of {after} octets where the longest was {before}")) } else { Ok(()) }
}

fn decode(body: &[u8], encoding: &str) -> Result<Vec<u8>, String> {
    match encoding {
        "quoted-printable" => quoted_printable::decode(body, quoted_printable::ParseMode::Robust).map_err(|e| e.to_string()),
        "base64" => {
            use base64::Engine;
            let config = base64::engine::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
                .with_decode_allow_trailing_bits(true);
            let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, config);
            let text: Vec<u8> = body.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
            engine.decode(text).map_err(|e| e.to_string())
        }
        _ => Ok(body.to_vec()),
    }
}

/// Walks over both texts. Where they part, it must be at a pixel, a tracked link, or something of ours that goes.
fn walk(before: &[u8], after: &[u8], base_url: &str, changes: &mut Changes) -> Result<(), String> {
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        if before.get(i) == after.get(j) {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        if let Some((start, end)) = tag_around(after, j, base_url, "/o/") {
            changes.pixels.push(url_in(&after[start..end], base_url));
            (i, j) = (i - (j - start), end);
        } else if let Some((start, end)) = url_around(after, j, &format!("{base_url}/c/")) {
            changes.links.push(String::from_utf8_lossy(&after[start..end]).into_owned());
            i = resume(before, i - (j - start), &after[end..]).ok_or_else(|| lost(before, after, i, j))?;
            j = end;
        } else if let Some((start, end)) = tag_around(before, i, base_url, "/o/") {
            changes.removed += 1;
            (i, j) = (end, j - (i - start));
        } else if let Some((start, end)) = url_around(before, i, &format!("{base_url}/c/")) {
            changes.unwrapped += 1;
            j = resume(after, j - (i - start), &before[end..]).ok_or_else(|| lost(before, after, i, j))?;
            i = end;
        } else if let Some((start, end)) = attribute_around(before, i) {
            changes.removed += 1;
            (i, j) = (end, j - (i - start));
        } else {
            return Err(lost(before, after, i, j));
        }
    }
    Ok(())
}

fn lost(before: &[u8], after: &[u8], i: usize, j: usize) -> String {
    let around = |text: &[u8], at: usize| {
        text[at.saturating_sub(30)..(at + 60).min(text.len())].escape_ascii().to_string()
    };
    format!("at {i}: {:?} became {:?}", around(before, i), around(after, j))
}

/// An `<img …>` that holds one of our URLs and whose first octets both texts may share.
fn tag_around(text: &[u8], at: usize, base_url: &str, path: &str) -> Option<(usize, usize)> {
    let from = at.saturating_sub(8);
    let window = text.get(from..(at + 8).min(text.len()))?.to_ascii_lowercase();
    let start = from + window.windows(4).position(|octets| octets == b"<img").filter(|found| from + found <= at)?;
    let end = start + text[start..].iter().position(|octet| *octet == b'>')? + 1;
    let tag = String::from_utf8_lossy(&text[start..end]).into_owned();
    tag.to_ascii_lowercase().contains(&format!("{base_url}{path}").to_ascii_lowercase()).then_some((start, end))
}

/// A URL beginning with `prefix` that stands around `at`.
fn url_around(text: &[u8], at: usize, prefix: &str) -> Option<(usize, usize)> {
    let from = at.saturating_sub(prefix.len());
    for start in (from..=at).rev() {
        let candidate = text.get(start..start + prefix.len());
        if candidate.is_some_and(|octets| octets.eq_ignore_ascii_case(prefix.as_bytes())) {
            let token = &text[start + prefix.len()..];
            let length = token.iter().position(|o| !(o.is_ascii_alphanumeric() || matches!(o, b'-' | b'_'))).unwrap_or(token.len());
            return Some((start, start + prefix.len() + length));
        }
    }
    None
}

/// ` data-waxseal="off"`, whose first octet both texts may share.
fn attribute_around(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let from = at.saturating_sub(2);
    let window = text.get(from..(at + 16).min(text.len()))?.to_ascii_lowercase();
    let name = from + window.windows(12).position(|octets| octets == b"data-waxseal")?;
    let start = text[..name].iter().rposition(|octet| !octet.is_ascii_whitespace())? + 1;
    let rest = &text[name..];
    let end = rest.iter().position(|octet| octet.is_ascii_whitespace() || matches!(octet, b'>' | b'/'))?;
    Some((start, name + end))
}

/// Where `text` goes on as `rest` does: the first place from `from` on, within one attribute value.
fn resume(text: &[u8], from: usize, rest: &[u8]) -> Option<usize> {
    let needle = &rest[..rest.len().min(24)];
    (from..=text.len()).find(|at| {
        let here = &text[*at..];
        here.starts_with(needle) || (rest.len() < 24 && here == rest) || same_until_next_of_ours(here, needle)
    })
}

/// The next change may be so near that fewer than 24 octets agree.
fn same_until_next_of_ours(here: &[u8], needle: &[u8]) -> bool {
    let agree = here.iter().zip(needle).take_while(|(a, b)| a == b).count();
    agree >= 2 && matches!(needle.first(), Some(b'"' | b'\'')) && needle[agree..].iter().any(|o| *o == b'h' || *o == b'<')
        && needle[1..].starts_with(b">") && agree >= 6
}

fn url_in(tag: &[u8], base_url: &str) -> String {
    let tag = String::from_utf8_lossy(tag);
    let start = tag.find(base_url).unwrap_or(0);
    tag[start..].split(['"', '\'', ' ', '>']).next().unwrap_or_default().to_owned()
}

fn without_received(mail: &[u8]) -> Result<&[u8], String> {
    if !mail.starts_with(b"Received: by ") {
        return Err("no Received field of ours on top".into());
    }
    let mut rest = mail;
    loop {
        let end = rest.windows(2).position(|octets| octets == b"\r\n").ok_or("a header without an end")? + 2;
        rest = &rest[end..];
        if !rest.starts_with(b" ") && !rest.starts_with(b"\t") {
            return Ok(rest);
        }
    }
}

fn without_control_fields(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len());
    let mut lines = mail.split_inclusive(|octet| *octet == b'\n');
    let mut dropping = false;
    for line in lines.by_ref() {
        if line == b"\r\n" || line == b"\n" {
            out.extend_from_slice(line);
            break;
        }
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|octet| *octet == b':').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
            dropping = CONTROL_FIELDS.contains(&name.as_str());
        }
        if !dropping {
            out.extend_from_slice(line);
        }
    }
    for line in lines {
        out.extend_from_slice(line);
    }
    out
}
