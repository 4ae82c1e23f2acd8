/// Octets as a transcript writes them: `\r \n \t \0 \\ \xff`, and `\{2000 x}` for x 2,000 times.
pub fn octets(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        octets.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (octet, length) = match escape.chars().next() {
            Some('r') => (b'\r', 1),
            Some('n') => (b'\n', 1),
            Some('t') => (b'\t', 1),
            Some('0') => (0, 1),
            Some('\\') => (b'\\', 1),
            Some('x') => {
                let digits = escape.get(1..3).ok_or("\\x needs two digits")?;
                (u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?, 3)
            }
            Some('{') => {
                let end = escape.find('}').ok_or("\\{ without }")?;
                let (times, what) = escape[1..end].split_once(' ').ok_or("\\{times what}")?;
                let times = times.parse().map_err(|_| format!("{times}: not a number"))?;
                octets.extend(self::octets(what)?.repeat(times));
                rest = &escape[end + 1..];
                continue;
            }
            _ => return Err(format!("no such escape: \\{escape}")),
        };
        octets.push(octet);
        rest = &escape[length..];
    }
    octets.extend_from_slice(rest.as_bytes());
    Ok(octets)
}

/// Does `text` match, where `*` in the pattern is any text?
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}
