/// Where decoded octets stand encoded, one in a hundred or so: the way from there is walked again when it is needed.
///
/// A position for every octet would take several times the message in memory; few are ever asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PositionMap {
    points: Vec<Point>,
}

/// The decoded octet `decoded` begins to stand at `encoded`, all before it stand before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Point {
    decoded: u32,
    encoded: u32,
}

/// The way from a point to the next is short in both: a thousand soft breaks decode to nothing.
const DECODED_OCTETS_BETWEEN: usize = 128;
const ENCODED_OCTETS_BETWEEN: usize = 1024;

impl PositionMap {
    /// Notes a position, in rising order, unless the last one is near. Both fit 32 bits: `decode` sees to it.
    pub(crate) fn note(&mut self, decoded: usize, encoded: usize) {
        let last = self.points.last().copied().unwrap_or_default();
        if decoded < last.decoded as usize + DECODED_OCTETS_BETWEEN
            && encoded < last.encoded as usize + ENCODED_OCTETS_BETWEEN
        {
            return;
        }
        if let (Ok(decoded), Ok(encoded)) = (u32::try_from(decoded), u32::try_from(encoded)) {
            self.points.push(Point { decoded, encoded });
        }
    }

    /// The last position noted at or before a decoded octet: decoded, encoded.
    pub(crate) fn before(&self, decoded: usize) -> (usize, usize) {
        let after = self.points.partition_point(|point| point.decoded as usize <= decoded);
        match after.checked_sub(1).and_then(|at| self.points.get(at)) {
            Some(point) => (point.decoded as usize, point.encoded as usize),
            None => (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_point_before_an_octet_is_found() {
        let mut map = PositionMap::default();
        for (decoded, encoded) in [(0, 0), (100, 110), (130, 150), (200, 260), (300, 400), (301, 1424)] {
            map.note(decoded, encoded);
        }
        for (decoded, point) in [
            (0, (0, 0)),
            (129, (0, 0)),
            (130, (130, 150)),
            (299, (130, 150)),
            (300, (300, 400)),
            (301, (301, 1424)),
            (999, (301, 1424)),
        ] {
            assert_eq!(map.before(decoded), point, "{decoded}");
        }
    }
}
