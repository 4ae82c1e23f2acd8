//! What the body of a one-click unsubscribe says (RFC 8058 §3.1, §3.2).

const NAME: &str = "List-Unsubscribe";
const VALUE: &str = "One-Click";

/// Is it `List-Unsubscribe=One-Click`, as a form of one part (`application/x-www-form-urlencoded`) or of several
/// (`multipart/form-data`, RFC 7578)?
pub(crate) fn is_one_click(media_type: &str, body: &[u8]) -> bool {
    let (kind, parameters) = media_type.split_once(';').unwrap_or((media_type, ""));
    if kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return boundary(parameters).is_some_and(|boundary| in_parts(boundary, body));
    }
    body.split(|octet| *octet == b'&').any(|pair| {
        let mut halves = pair.trim_ascii().splitn(2, |octet| *octet == b'=');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        is(&undone(name), NAME) && is(&undone(value), VALUE)
    })
}

/// The value of a field of a form (`application/x-www-form-urlencoded`), if it is text.
pub(crate) fn field(body: &[u8], wanted: &str) -> Option<String> {
    body.split(|octet| *octet == b'&').find_map(|pair| {
        let mut halves = pair.splitn(2, |octet| *octet == b'=');
        let name = undone(halves.next()?);
        (name == wanted.as_bytes()).then(|| String::from_utf8(undone(halves.next()?)).ok())?
    })
}

fn is(octets: &[u8], word: &str) -> bool {
    octets.trim_ascii().eq_ignore_ascii_case(word.as_bytes())
}

/// Percent-encoding and `+` undone, as a form has them.
fn undone(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(octet)) => {
                octets.push(octet);
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'+', _) => octets.push(b' '),
            (other, _) => octets.push(other),
        }
    }
    octets
}

/// The parameter, with its quotes undone.
fn boundary(parameters: &str) -> Option<&str> {
    let found = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    let bare = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(found);
    (1..=70).contains(&bare.len()).then_some(bare)
}

fn in_parts(boundary: &str, body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
    text.split(&format!("--{boundary}")).skip(1).any(|part| {
        let Some((header, value)) = part.split_once("\n\n") else { return false };
        let names_it = header.lines().any(|line| {
            line.split_once(':').is_some_and(|(name, body)| {
                name.trim().eq_ignore_ascii_case("content-disposition") && is_named(body)
            })
        });
        names_it && is(value.as_bytes(), VALUE)
    })
}

/// `form-data; name="List-Unsubscribe"`.
fn is_named(disposition: &str) -> bool {
    disposition.split(';').any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("name") && is(value.trim().trim_matches('"').as_bytes(), NAME)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn as_programs_send_it() {
        let parts = "multipart/form-data; boundary=---FormBoundaryjWmhtjORrn";
        for (media_type, body) in [
            (FORM, "List-Unsubscribe=One-Click"),
            ("Application/X-WWW-Form-URLEncoded; charset=utf-8", "List-Unsubscribe=One-Click\r\n"),
            ("", "List-Unsubscribe=One-Click"),
            (FORM, "a=b&List-Unsubscribe=One-Click&c"),
            (FORM, "List%2DUnsubscribe=One%2dClick"),
            (FORM, "list-unsubscribe=one-click"),
            // The example of RFC 8058 §8.2, with its line ends.
            (
                parts,
                "-----FormBoundaryjWmhtjORrn\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\n\
                 One-Click\r\n-----FormBoundaryjWmhtjORrn--\r\n",
            ),
            (
                "multipart/form-data; boundary=\"a b\"",
                "--a b\nContent-Type: text/plain\ncontent-disposition: form-data; name=List-Unsubscribe\n\nOne-Click\n--a b--",
            ),
        ] {
            assert!(is_one_click(media_type, body.as_bytes()), "{media_type}: {body}");
        }
    }

    #[test]
    fn what_says_something_else() {
        for (media_type, body) in [
            (FORM, ""),
            (FORM, "List-Unsubscribe"),
            (FORM, "List-Unsubscribe="),
            (FORM, "List-Unsubscribe=no"),
            (FORM, "One-Click=List-Unsubscribe"),
            (FORM, "List-Unsubscribe=One-Click-Not"),
            (FORM, "List-Unsubscribe%=One-Click"),
            ("application/json", "{\"List-Unsubscribe\":\"One-Click\"}"),
            ("multipart/form-data", "List-Unsubscribe=One-Click"),
            ("multipart/form-data; boundary=", "List-Unsubscribe=One-Click"),
            ("multipart/form-data; boundary=x", "List-Unsubscribe=One-Click"),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nOne-Click\r\n--x--",
            ),
        ] {
            assert!(!is_one_click(media_type, body.as_bytes()), "{media_type}: {body}");
        }
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd(media_type in "(multipart/form-data; ?boundary=)?\\PC{0,20}", body: Vec<u8>) {
            let _ = is_one_click(&media_type, &body);
        }
    }
}
