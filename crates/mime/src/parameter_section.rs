use crate::quoted_printable::hex_octet;

/// A piece of a parameter (RFC 2231 §3), or one with its charset and language (§4): `name*0`, `name*0*`, `name*`.
pub(crate) struct Section {
    name: String,
    number: usize,
    encoded: bool,
    pub(crate) value: Vec<u8>,
}

impl Section {
    /// What a parameter's name says; none if it is a plain one.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (name, rest) = name.split_once('*')?;
        let (number, encoded) = match rest.strip_suffix('*') {
            Some(number) => (number, true),
            None => (rest, rest.is_empty()),
        };
        let number = if number.is_empty() { 0 } else { number.parse().unwrap_or(usize::MAX) };
        Some(Self { name: name.to_owned(), number, encoded, value: Vec::new() })
    }
}

/// Puts the pieces of parameters together. False if they leave room for two readings.
pub(crate) fn put_together(mut sections: Vec<Section>, parameters: &mut Vec<(String, Vec<u8>)>) -> bool {
    sections.sort_by(|one, other| (&one.name, one.number).cmp(&(&other.name, other.number)));
    let mut sound = true;
    let mut next_number = 0;
    for Section { name, number, encoded, mut value } in sections {
        let begins = number == 0;
        if encoded {
            if begins {
                // charset'language'value
                match value.iter().enumerate().filter(|(_, octet)| **octet == b'\'').nth(1) {
                    Some((quote, _)) => drop(value.drain(..=quote)),
                    None => sound = false,
                }
            }
            sound &= without_percent(&mut value);
        }
        if begins {
            sound &= !name.is_empty() && !has(parameters, &name);
            parameters.push((name, value));
            next_number = 1;
        } else if let (true, Some((_, whole))) =
            (number == next_number, parameters.last_mut().filter(|(last, _)| *last == name))
        {
            whole.extend(value);
            next_number += 1;
        } else {
            sound = false;
        }
    }
    sound
}

/// Undoes percent-encoding in place. False if there is a percent sign that encodes nothing.
fn without_percent(value: &mut Vec<u8>) -> bool {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.as_slice();
    let mut sound = true;
    while let [octet, after @ ..] = rest {
        let encoded = match after {
            [high, low, after @ ..] if *octet == b'%' => hex_octet(*high, *low).map(|octet| (octet, after)),
            _ => None,
        };
        sound &= *octet != b'%' || encoded.is_some();
        let (octet, after) = encoded.unwrap_or((*octet, after));
        decoded.push(octet);
        rest = after;
    }
    *value = decoded;
    sound
}

pub(crate) fn has(parameters: &[(String, Vec<u8>)], name: &str) -> bool {
    parameters.iter().any(|(known, _)| known == name)
}

#[cfg(test)]
mod tests {
    use crate::media_type::Parameterized;

    #[test]
    fn parameters_of_rfc_2231_are_put_together() {
        for (case, body, name, parameter, sound) in [
            ("pieces", "a/b; boundary*1=\"c d\"; boundary*0=ab", "boundary", Some("abc d"), true),
            (
                "encoded pieces",
                "a/b; boundary*0*=us-ascii''%3D%3d; boundary*1*=%41b",
                "boundary",
                Some("==Ab"),
                true,
            ),
            ("mixed pieces", "a/b; name*0*=utf-8''%C3%BC; name*1=%41", "name", Some("ü%41"), true),
            ("charset and language", "a/b; charset*=us-ascii'en'utf-8", "charset", Some("utf-8"), true),
            ("a piece missing", "a/b; name*0=a; name*2=c", "name", Some("a"), false),
            ("the first missing", "a/b; name*1=b", "name", None, false),
            ("a piece twice", "a/b; name*0=a; name*0=b", "name", Some("a"), false),
            ("beside the plain one", "a/b; name*=utf-8''a; name=b", "name", Some("b"), false),
            ("no charset", "a/b; name*=a", "name", Some("a"), false),
            ("a lone percent sign", "a/b; name*=utf-8''a%4", "name", Some("a%4"), false),
            ("an odd number", "a/b; name*x=a", "name", None, false),
        ] {
            let parsed = Parameterized::parse(body.as_bytes());
            assert_eq!(parsed.parameter(name), parameter.map(str::as_bytes), "{case}");
            assert_eq!(parsed.sound, sound, "{case}");
        }
    }
}
