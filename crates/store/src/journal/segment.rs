use std::ops::Range;

/// One file of the journal: a header, then records, each `mark, length, checksum, payload`.
///
/// A mark holds octets that no UTF-8 text does, and payloads are text: after damage the next record is found again.
const HEADER: &[u8] = b"waxseal journal 1\n";
const MARK: [u8; 4] = [0xff, 0xfe, b'W', b'X'];
/// Mark, length and checksum: four octets each, little-endian.
const PREFIX: usize = 12;

/// The longest payload.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

/// What a file of the journal holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Where the payloads are, in order.
    pub payloads: Vec<Range<usize>>,
    /// What could not be read, if anything.
    pub damage: Option<Damage>,
}

/// Octets that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// How many.
    pub octets: usize,
    /// A crash in the middle of an append explains it: the last record is cut off, or zeros.
    pub torn: bool,
}

/// What a new file begins with.
pub(crate) fn header() -> &'static [u8] {
    HEADER
}

/// Appends one record to `octets`.
pub(crate) fn frame(payload: &[u8], octets: &mut Vec<u8>) {
    // Payloads over MAX_PAYLOAD are refused before they come here.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    octets.extend_from_slice(&MARK);
    octets.extend_from_slice(&length);
    octets.extend_from_slice(&checksum(&[&length, payload]).to_le_bytes());
    octets.extend_from_slice(payload);
}

/// Reads a whole file. Total: whatever cannot be read is damage.
pub(crate) fn parse(octets: &[u8]) -> Contents {
    let mut payloads = vec![];
    let mut damaged = 0;
    let mut torn = true;
    let mut at = if octets.starts_with(HEADER) { HEADER.len() } else { 0 };
    while at < octets.len() {
        if let Some(length) = record_at(&octets[at..]) {
            payloads.push(at + PREFIX..at + PREFIX + length);
            at += PREFIX + length;
            continue;
        }
        let next = octets[at + 1..].windows(MARK.len()).position(|window| window == MARK);
        let end = next.map_or(octets.len(), |next| at + 1 + next);
        torn &= next.is_none() && is_torn(&octets[at..]);
        damaged += end - at;
        at = end;
    }
    let damage = (damaged > 0).then_some(Damage { octets: damaged, torn });
    Contents { payloads, damage }
}

/// The length of the payload, if a whole and sound record begins here.
fn record_at(octets: &[u8]) -> Option<usize> {
    let (prefix, rest) = octets.split_first_chunk::<PREFIX>()?;
    let length = length_of(prefix)?;
    let payload = rest.get(..length)?;
    let sum = u32::from_le_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    (checksum(&[&prefix[4..8], payload]) == sum).then_some(length)
}

fn length_of(prefix: &[u8; PREFIX]) -> Option<usize> {
    let length = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
    let length = usize::try_from(length).ok().filter(|length| (1..=MAX_PAYLOAD).contains(length))?;
    prefix.starts_with(&MARK).then_some(length)
}

fn is_torn(rest: &[u8]) -> bool {
    let cut_off = match rest.first_chunk::<PREFIX>() {
        None => rest.len() < MARK.len() || rest.starts_with(&MARK),
        Some(prefix) => length_of(prefix).is_some_and(|length| rest.len() < PREFIX + length),
    };
    // Some file systems lengthen the file first and write what is in it later.
    cut_off || rest.iter().all(|octet| *octet == 0) || HEADER.starts_with(rest)
}

/// CRC-32 as in IEEE 802.3.
fn checksum(pieces: &[&[u8]]) -> u32 {
    let mut sum = u32::MAX;
    for octet in pieces.iter().flat_map(|piece| piece.iter()) {
        sum = (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ octet)];
    }
    !sum
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        // A const fn has no fallible conversion; the index is below 256.
        #[allow(clippy::cast_possible_truncation)]
        let mut entry = index as u32;
        let mut bit = 0;
        while bit < 8 {
            entry = if entry & 1 == 1 { 0xedb8_8320 ^ (entry >> 1) } else { entry >> 1 };
            bit += 1;
        }
        table[index] = entry;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(payloads: &[&str]) -> Vec<u8> {
        let mut octets = header().to_vec();
        for payload in payloads {
            frame(payload.as_bytes(), &mut octets);
        }
        octets
    }

    fn read(octets: &[u8]) -> (Vec<&str>, Option<Damage>) {
        let contents = parse(octets);
        let payloads =
            contents.payloads.into_iter().map(|range| std::str::from_utf8(&octets[range]).unwrap());
        (payloads.collect(), contents.damage)
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(checksum(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(checksum(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn what_is_read_of_a_damaged_file() {
        let whole = file(&["one", "two", "three"]);
        let (second, third) = (HEADER.len() + PREFIX + 3, HEADER.len() + 2 * (PREFIX + 3));
        let changed = |at: usize| {
            let mut octets = whole.clone();
            octets[at] ^= 0x20;
            octets
        };
        let mut zeros = whole.clone();
        zeros.extend([0; 100]);
        let all = vec!["one", "two", "three"];
        for (case, octets, payloads, damage) in [
            ("whole", whole.clone(), all.clone(), None),
            ("empty", vec![], vec![], None),
            ("header only", HEADER.to_vec(), vec![], None),
            ("cut header", HEADER[..5].to_vec(), vec![], Some((5, true))),
            ("cut payload", whole[..whole.len() - 1].to_vec(), vec!["one", "two"], Some((16, true))),
            ("cut prefix", whole[..third + 7].to_vec(), vec!["one", "two"], Some((7, true))),
            ("cut mark", whole[..third + 2].to_vec(), vec!["one", "two"], Some((2, true))),
            ("zeros after it", zeros, all.clone(), Some((100, true))),
            ("payload changed", changed(second + PREFIX), vec!["one", "three"], Some((15, false))),
            ("last payload changed", changed(third + PREFIX), vec!["one", "two"], Some((17, false))),
            ("mark changed", changed(second + 1), vec!["one", "three"], Some((15, false))),
            ("length changed", changed(second + 6), vec!["one", "three"], Some((15, false))),
            ("header changed", changed(0), all, Some((18, false))),
            ("another file", b"SQLite format 3\0 and so on".to_vec(), vec![], Some((26, false))),
        ] {
            let damage = damage.map(|(octets, torn)| Damage { octets, torn });
            assert_eq!(read(&octets), (payloads, damage), "{case}");
        }
    }

    proptest! {
        /// Whatever happens to a file, what stands before the damage is read, and nothing is made up.
        #[test]
        fn damage_takes_only_what_it_touches(
            payloads in prop::collection::vec("\\{[a-zé\"]{0,40}\\}", 0..12),
            cut in any::<prop::sample::Index>(),
            change in any::<prop::sample::Index>(),
            to in any::<u8>(),
        ) {
            let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
            let whole = file(&payloads);

            let end = cut.index(whole.len() + 1);
            let (left, damage) = read(&whole[..end]);
            prop_assert_eq!(&payloads[..left.len()], &left[..]);
            prop_assert!(damage.is_none_or(|damage| damage.torn), "a cut is torn: {:?}", damage);

            let mut changed = whole.clone();
            let at = change.index(changed.len());
            changed[at] = to;
            let (left, _) = read(&changed);
            prop_assert!(left.len() + 1 >= payloads.len());
            prop_assert!(left.iter().all(|payload| payloads.contains(payload)));
        }

        #[test]
        fn no_file_is_too_odd(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let contents = parse(&octets);
            prop_assert!(contents.payloads.iter().all(|range| range.end <= octets.len()));
        }
    }
}
