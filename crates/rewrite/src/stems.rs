/// A table of lower-case stems of four octets or more, looked for anywhere in a text.
pub(crate) struct Stems {
    table: &'static [&'static str],
    /// Which hashes of four octets a stem begins with: nearly every place of a text is ruled out by one look.
    starts: [u64; BITS / 64],
}

const BITS: usize = 16_384;

impl Stems {
    pub(crate) const fn new(table: &'static [&'static str]) -> Self {
        let mut starts = [0; BITS / 64];
        let mut at = 0;
        while at < table.len() {
            let Some(start) = table[at].as_bytes().first_chunk() else { panic!("a stem is too short") };
            let bit = bit(*start);
            starts[bit / 64] |= 1 << (bit % 64);
            at += 1;
        }
        Self { table, starts }
    }

    /// Is one of the stems in this text, which is in lower case?
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let octets = text.as_bytes();
        octets.array_windows::<4>().enumerate().any(|(at, start)| {
            let bit = bit(*start);
            self.starts[bit / 64] & (1 << (bit % 64)) != 0
                && self.table.iter().any(|stem| octets[at..].starts_with(stem.as_bytes()))
        })
    }
}

/// Fibonacci hashing, to one of [`BITS`].
#[allow(clippy::cast_possible_truncation, reason = "the shift leaves fourteen bits")]
const fn bit(start: [u8; 4]) -> usize {
    (u32::from_le_bytes(start).wrapping_mul(0x9e37_79b1) >> (32 - BITS.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_found_anywhere() {
        const STEMS: Stems = Stems::new(&["unsub", "émail"]);
        for (text, found) in [
            ("", false),
            ("unsub", true),
            ("unsu", false),
            ("uns", false),
            ("a-unsubscribe", true),
            ("un émail", true),
            ("e\u{301}", false),
        ] {
            assert_eq!(STEMS.are_in(text), found, "{text}");
        }
    }
}
