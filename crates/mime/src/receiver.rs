use std::ops::Range;

use crate::position_map::PositionMap;

/// Takes decoded octets, as they come.
pub(crate) trait Receiver {
    /// The next ones.
    fn take(&mut self, octets: &[u8]);

    /// The octet that comes `ahead` octets behind those taken begins to stand at `encoded`.
    fn place(&mut self, ahead: usize, encoded: usize) {
        let _ = (ahead, encoded);
    }
}

/// Keeps them, and where they stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) octets: Vec<u8>,
    pub(crate) map: PositionMap,
}

impl Kept {
    pub(crate) fn with_capacity(octets: usize) -> Self {
        Self { octets: Vec::with_capacity(octets), map: PositionMap::default() }
    }
}

impl Receiver for Kept {
    fn take(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    fn place(&mut self, ahead: usize, encoded: usize) {
        self.map.note(self.octets.len() + ahead, encoded);
    }
}

/// Compares them with a text that comes in pieces, and keeps nothing.
pub(crate) struct Comparison<'a, P> {
    /// What is still to come of the piece that was begun.
    rest: &'a [u8],
    pieces: P,
    differs: bool,
}

impl<'a, P: Iterator<Item = &'a [u8]>> Comparison<'a, P> {
    pub(crate) fn with(pieces: P) -> Self {
        Self { rest: b"", pieces, differs: false }
    }

    /// Nothing was different, and nothing is missing.
    pub(crate) fn ends_the_same(mut self) -> bool {
        !self.differs && self.rest.is_empty() && self.pieces.all(<[u8]>::is_empty)
    }
}

impl<'a, P: Iterator<Item = &'a [u8]>> Receiver for Comparison<'a, P> {
    fn take(&mut self, octets: &[u8]) {
        let mut octets = octets;
        while !octets.is_empty() && !self.differs {
            let (now, later) = octets.split_at(octets.len().min(self.rest.len()));
            let (expected, rest) = self.rest.split_at(now.len());
            self.differs = now != expected;
            (octets, self.rest) = (later, rest);
            if self.rest.is_empty() && !octets.is_empty() {
                match self.pieces.next() {
                    Some(piece) => self.rest = piece,
                    None => self.differs = true,
                }
            }
        }
    }
}

/// Gathers octets that are decoded a few at a time: handing on each few would take longer than to decode them.
pub(crate) struct Block<'r, R> {
    out: &'r mut R,
    octets: [u8; BLOCK_OCTETS + SHORT_OCTETS],
    filled: usize,
}

const BLOCK_OCTETS: usize = 4096;
/// Most runs are no longer, and copying always so many takes no call.
const SHORT_OCTETS: usize = 32;

impl<'r, R: Receiver> Block<'r, R> {
    pub(crate) fn before(out: &'r mut R) -> Self {
        Self { out, octets: [0; BLOCK_OCTETS + SHORT_OCTETS], filled: 0 }
    }

    pub(crate) fn octet(&mut self, octet: u8) {
        self.make_room(1);
        self.octets[self.filled] = octet;
        self.filled += 1;
    }

    /// Octets of `text`, as they are.
    pub(crate) fn run(&mut self, text: &[u8], run: Range<usize>) {
        let length = run.len();
        self.make_room(length);
        let short = text.get(run.start..run.start + SHORT_OCTETS).filter(|_| length <= SHORT_OCTETS);
        if let Some(octets) = short {
            // What is too much is written over by what comes next.
            self.octets[self.filled..self.filled + SHORT_OCTETS].copy_from_slice(octets);
        } else if length <= BLOCK_OCTETS {
            self.octets[self.filled..self.filled + length].copy_from_slice(&text[run]);
        } else {
            return self.out.take(&text[run]);
        }
        self.filled += length;
    }

    /// The next octet begins to stand at `encoded`.
    pub(crate) fn place(&mut self, encoded: usize) {
        self.out.place(self.filled, encoded);
    }

    pub(crate) fn hand_on(&mut self) {
        self.out.take(&self.octets[..self.filled]);
        self.filled = 0;
    }

    fn make_room(&mut self, octets: usize) {
        if self.filled + octets > BLOCK_OCTETS {
            self.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn same(pieces: &[&str], taken: &[&str]) -> bool {
        let mut comparison = Comparison::with(pieces.iter().map(|piece| piece.as_bytes()));
        for octets in taken {
            comparison.take(octets.as_bytes());
        }
        comparison.ends_the_same()
    }

    #[test]
    fn every_octet_counts() {
        for (case, pieces, taken, is_same) in [
            ("nothing", &[][..], &[][..], true),
            ("nothing of nothing", &["", ""], &[""], true),
            ("cut elsewhere", &["ab", "", "cde", ""], &["a", "bcd", "e"], true),
            ("another octet", &["ab", "cd"], &["abc", "x"], false),
            ("one more", &["ab"], &["ab", "c"], false),
            ("one less", &["ab", "c"], &["ab"], false),
            ("one less in a piece", &["ab"], &["a"], false),
            ("another first", &["ab"], &["xb"], false),
            ("something for nothing", &[], &["a"], false),
        ] {
            assert_eq!(same(pieces, taken), is_same, "{case}");
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(mut pieces: Vec<Vec<u8>>, long in 0..3_usize, at: prop::sample::Index, flip in 1..=255_u8, step in prop_oneof![1..9_usize, 1_000..9_000_usize]) {
            pieces.push(vec![b'x'; long * 3_000]);
            let whole = pieces.concat();
            let is_same = |text: &[u8]| {
                let mut comparison = Comparison::with(pieces.iter().map(Vec::as_slice));
                for octets in text.chunks(step) {
                    comparison.take(octets);
                }
                comparison.ends_the_same()
            };
            prop_assert!(is_same(&whole));
            if !whole.is_empty() {
                let mut other = whole.clone();
                other[at.index(whole.len())] ^= flip;
                prop_assert!(!is_same(&other));
                prop_assert!(!is_same(&whole[..whole.len() - 1]));
            }
            prop_assert!(!is_same(&[&whole[..], b"x"].concat()));
        }

        #[test]
        fn blocks_lose_nothing(runs in prop::collection::vec(prop_oneof![0..40_usize, 4_000..4_200_usize], 0..60)) {
            let text: Vec<u8> = (0..20_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
            let (mut kept, mut expected, mut at) = (Kept::default(), vec![], 0);
            let mut block = Block::before(&mut kept);
            for length in runs {
                let run = at..text.len().min(at + length);
                at = if run.end == text.len() { 0 } else { run.end };
                expected.extend_from_slice(&text[run.clone()]);
                block.run(&text, run);
                expected.push(b'=');
                block.octet(b'=');
            }
            block.hand_on();
            prop_assert_eq!(kept.octets, expected);
        }
    }
}
