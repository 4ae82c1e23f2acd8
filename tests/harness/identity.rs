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

const CONTROL_FIELDS: [&str; 6] = [
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
        let media_type =
            old.content_type().map(|t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()));
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
    let longest = before
        .split(|octet| *octet == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).len())
        .max();
    let limit = match encoding {
        "quoted-printable" => 76,
        // A part keeps its own width, also where that is more than the 76 it should have.
        "base64" => 76.max(longest.unwrap_or(0)),
        _ => 998,
    };
    let over = |octets: &[u8]| {
        let lines = octets.split(|octet| *octet == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // Blanks that were added in transport are no text.
            if encoding == "quoted-printable" { line.trim_ascii_end().len() } else { line.len() }
        });
        lines.filter(|length| *length > limit).count()
    };
    let (before, after) = (over(before), over(after));
    if after > before {
        Err(format!("{after} lines over {limit} octets where {before} were"))
    } else {
        Ok(())
    }
}

fn decode(body: &[u8], encoding: &str) -> Result<Vec<u8>, String> {
    match encoding {
        "quoted-printable" => {
            quoted_printable::decode(body, quoted_printable::ParseMode::Robust).map_err(|e| e.to_string())
        }
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
    let link = format!("{base_url}/c/");
    let (mut i, mut j) = (0, 0);
    while i < before.len() || j < after.len() {
        if before.get(i) == after.get(j) {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // SMTP cannot carry a last line without an end: a pixel behind the last one gets one of its own.
        if i == before.len()
            && after[j..] == *b"\r\n"
            && after[..j].ends_with(b">")
            && !changes.pixels.is_empty()
        {
            return Ok(());
        }
        // A line that the link on it would make too long ends before it.
        if let Some((blanks, line_end)) = line_end_for_blanks(&before[i..], &after[j..]) {
            (i, j) = (i + blanks, j + line_end);
            continue;
        }
        let lost = || lost(before, after, i, j);
        // How far back the two texts may share the beginning of what differs.
        let (new_pixel, old_pixel) = (tag_around(after, j, base_url), tag_around(before, i, base_url));
        if let Some((start, end)) = new_pixel {
            changes.pixels.push(url_in(&after[start..end], base_url));
            i -= j - start;
            j = end;
            // A quoted one may have stood just where the new one stands.
            if let Some((old_start, old_end)) = old_pixel.filter(|(old_start, _)| *old_start == i) {
                changes.removed += 1;
                i = old_end.max(old_start);
            }
        } else if let Some((start, end)) = old_pixel {
            changes.removed += 1;
            j -= i - start;
            i = end;
        } else if let Some((start, end)) = url_around(after, j, &link) {
            changes.links.push(String::from_utf8_lossy(&after[start..end]).into_owned());
            i = end_of_value(before, i - (j - start), &after[end..]).ok_or_else(lost)?;
            j = end;
        } else if let Some((start, end)) = url_around(before, i, &link) {
            changes.unwrapped += 1;
            j = end_of_value(after, j - (i - start), &before[end..]).ok_or_else(lost)?;
            i = end;
        } else if let Some((start, end)) = attribute_around(before, i) {
            changes.removed += 1;
            j -= i - start;
            i = end;
        } else {
            return Err(lost());
        }
    }
    Ok(())
}

/// How many blanks before `href` in the one text became how long a line end in the other.
fn line_end_for_blanks(before: &[u8], after: &[u8]) -> Option<(usize, usize)> {
    let blanks = before.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let line_end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| after.starts_with(end))?.len();
    let (old, new) = (before.get(blanks..blanks + 4)?, after.get(line_end..line_end + 4)?);
    (blanks > 0 && old.eq_ignore_ascii_case(b"href") && old == new).then_some((blanks, line_end))
}

/// The end of the attribute value that begins at `start`, and where `text` goes on as `rest` does.
fn end_of_value(text: &[u8], start: usize, rest: &[u8]) -> Option<usize> {
    let before = text[..start].iter().rev().find(|octet| !octet.is_ascii_whitespace())?;
    let ends = |octet: &u8| match before {
        b'"' | b'\'' => octet == before,
        _ => octet.is_ascii_whitespace() || *octet == b'>',
    };
    let end = start + text[start..].iter().position(ends).unwrap_or(text.len() - start);
    // White space at the end of the value may have stayed.
    let white = text[start..end].iter().rev().take_while(|octet| octet.is_ascii_whitespace()).count();
    (end - white..=end).rev().find(|at| text.get(*at) == rest.first())
}

fn lost(before: &[u8], after: &[u8], i: usize, j: usize) -> String {
    let around = |text: &[u8], at: usize| {
        text[at.saturating_sub(30)..(at + 60).min(text.len())].escape_ascii().to_string()
    };
    format!("at {i}: {:?} became {:?}", around(before, i), around(after, j))
}

/// An `<img …>`, or Word's `<v:imagedata …>`, with one of our pixel URLs that `at` stands in, or before whose first octets it stands.
fn tag_around(text: &[u8], at: usize, base_url: &str) -> Option<(usize, usize)> {
    let back =
        text[..at.min(text.len())].iter().rev().take(2_000).position(|octet| *octet == b'>').unwrap_or(2_000);
    let starts = (at.saturating_sub(back)..=at).rev();
    let start = starts.into_iter().find(|start| {
        let begins = |name: &[u8]| {
            text.get(*start..*start + name.len()).is_some_and(|octets| octets.eq_ignore_ascii_case(name))
        };
        begins(b"<img") || begins(b"<v:imagedata")
    })?;
    let end = start + text[start..].iter().position(|octet| *octet == b'>')? + 1;
    let tag = String::from_utf8_lossy(&text[start..end]).to_ascii_lowercase();
    // Mail programs add a default port and write characters as references.
    let host = base_url.split("://").nth(1).unwrap_or_default().to_ascii_lowercase();
    let tag = tag
        .replace("&#58;", ":")
        .replace("&#47;", "/")
        .replace("&#x2f;", "/")
        .replace(":443/", "/")
        .replace("&period;", ".");
    tag.contains(&format!("{host}/o/")).then_some((start, end))
}

/// A URL beginning with `prefix` that stands around `at`.
fn url_around(text: &[u8], at: usize, prefix: &str) -> Option<(usize, usize)> {
    let in_token = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
    let back = text[..at.min(text.len())].iter().rev().take_while(in_token).count();
    let from = at.saturating_sub(prefix.len() + back);
    for start in (from..=at).rev() {
        let candidate = text.get(start..start + prefix.len());
        if candidate.is_some_and(|octets| octets.eq_ignore_ascii_case(prefix.as_bytes())) {
            let token = text[start + prefix.len()..].iter().take_while(in_token).count();
            return Some((start, start + prefix.len() + token));
        }
    }
    None
}

/// ` data-waxseal="off"`, whose first octets both texts may share.
fn attribute_around(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let from = at.saturating_sub(12);
    let window = text.get(from..(at + 40).min(text.len()))?.to_ascii_lowercase();
    let name = from + window.windows(12).position(|octets| octets == b"data-waxseal")?;
    let start = text[..name].iter().rposition(|octet| !octet.is_ascii_whitespace())? + 1;
    let blanks = |at: usize| text[at..].iter().take_while(|octet| octet.is_ascii_whitespace()).count();
    let mut end = name + 12;
    let equals = end + blanks(end);
    if text.get(equals) == Some(&b'=') {
        let value = equals + 1 + blanks(equals + 1);
        end = match text.get(value) {
            Some(quote @ (b'"' | b'\'')) => {
                value + 2 + text[value + 1..].iter().position(|octet| octet == quote)?
            }
            _ => {
                value
                    + text[value..].iter().position(|octet| octet.is_ascii_whitespace() || *octet == b'>')?
            }
        };
    }
    // The white space before it goes with it, unless the next attribute needs it, or a slash would end the element.
    let next_needs_it =
        text.get(end).is_some_and(|octet| !octet.is_ascii_whitespace() && !matches!(octet, b'>' | b'/'));
    let start = if next_needs_it || text[..start].ends_with(b"/") { name } else { start };
    (start <= at).then_some((start, end))
}

fn url_in(tag: &[u8], base_url: &str) -> String {
    let tag = String::from_utf8_lossy(tag);
    let start = tag.find(base_url).unwrap_or(0);
    tag[start..].split(['"', '\'', ' ', '>']).next().unwrap_or_default().to_owned()
}

/// Without our `Received` field: three lines, or the one line of a test.
fn without_received(mail: &[u8]) -> Result<&[u8], String> {
    if let Some(rest) = mail.strip_prefix(b"Received: by test\r\n") {
        return Ok(rest);
    }
    // A mail without a header to stand on gets none.
    let Some(mut rest) = mail.strip_prefix(b"Received: by ") else { return Ok(mail) };
    for _ in 0..3 {
        let end = rest.windows(2).position(|octets| octets == b"\r\n").ok_or("a header without an end")? + 2;
        rest = &rest[end..];
    }
    Ok(rest)
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
            dropping = name.starts_with("x-waxseal-") || CONTROL_FIELDS.contains(&name.as_str());
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
