use std::net::IpAddr;

use crate::prefix::Prefix;

/// Which networks hold an address, one bit a network.
///
/// The address space cut at every border of every network: no segment is nested in another, so one binary
/// search finds all networks of an address. A search over the prefixes themselves misses the outer ones
/// wherever prefixes nest (VERDICTS.md section 5 measured 18 % of hits missed).
#[derive(Debug, Default)]
pub(crate) struct Segments {
    v4: Family<u32>,
    v6: Family<u128>,
}

/// Segment `i` reaches from `starts[i]` to before `starts[i + 1]`.
#[derive(Debug)]
struct Family<T> {
    starts: Vec<T>,
    holders: Vec<u64>,
}

impl Segments {
    /// Network `i` of `networks` answers with bit `i`; there may be 64.
    pub(crate) fn new(networks: &[Vec<Prefix>]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for (bit, prefixes) in networks.iter().enumerate().take(64) {
            let (mut own_v4, mut own_v6) = (Vec::new(), Vec::new());
            for prefix in prefixes {
                match *prefix {
                    Prefix::V4(first, last) => own_v4.push((first, last)),
                    Prefix::V6(first, last) => own_v6.push((first, last)),
                }
            }
            v4.extend(borders(own_v4, |last: u32| last.checked_add(1), 1 << bit));
            v6.extend(borders(own_v6, |last: u128| last.checked_add(1), 1 << bit));
        }
        Self { v4: Family::new(v4), v6: Family::new(v6) }
    }

    pub(crate) fn holders(&self, address: IpAddr) -> u64 {
        match address {
            IpAddr::V4(v4) => self.v4.holders(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.holders(v6.to_bits()),
        }
    }
}

/// Where one network begins and ends, its own overlaps merged so that its bit flips at each border.
fn borders<T: Ord + Copy>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>, bit: u64) -> Vec<(T, u64)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(open) if next(open.1).is_none_or(|after| first <= after) => open.1 = open.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
        .into_iter()
        .flat_map(|(first, last)| [Some((first, bit)), next(last).map(|after| (after, bit))])
        .flatten()
        .collect()
}

impl<T: Ord + Copy> Family<T> {
    fn new(mut borders: Vec<(T, u64)>) -> Self {
        borders.sort_unstable();
        let mut family = Self { starts: Vec::new(), holders: Vec::new() };
        let mut holders = 0;
        for (at, bit) in borders {
            holders ^= bit;
            if family.starts.last() == Some(&at) {
                family.holders.pop();
            } else {
                family.starts.push(at);
            }
            family.holders.push(holders);
        }
        family
    }

    fn holders(&self, address: T) -> u64 {
        let after = self.starts.partition_point(|start| *start <= address);
        after.checked_sub(1).map_or(0, |at| self.holders[at])
    }
}

impl<T> Default for Family<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), holders: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<Prefix> {
        texts.iter().map(|text| Prefix::parse(text).unwrap()).collect()
    }

    #[test]
    fn nested_prefixes_are_all_found() {
        let segments = Segments::new(&[
            prefixes(&["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"]),
            prefixes(&["10.1.2.0/24", "0.0.0.0/0"]),
            prefixes(&["10.1.2.3", "255.255.255.255", "2001:db8:1::/48"]),
        ]);
        for (address, expected) in [
            ("10.0.0.0", 0b011),
            ("10.1.2.2", 0b011),
            ("10.1.2.3", 0b111),
            ("10.1.2.4", 0b011),
            ("10.255.255.255", 0b011),
            ("11.0.0.0", 0b010),
            ("255.255.255.255", 0b110),
            ("2001:db8::1", 0b001),
            ("2001:db8:1::1", 0b101),
            ("2001:db9::", 0),
            ("::", 0),
        ] {
            assert_eq!(segments.holders(address.parse().unwrap()), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_asking_every_prefix(
            networks in prop::collection::vec(prop::collection::vec((any::<u32>(), 0_u32..=32), 0..6), 1..5),
            addresses in prop::collection::vec(any::<u32>(), 20),
        ) {
            let networks: Vec<Vec<Prefix>> = networks
                .iter()
                .map(|network| {
                    let text = |(bits, length): &(u32, u32)| {
                        format!("{}/{length}", std::net::Ipv4Addr::from_bits(*bits))
                    };
                    network.iter().filter_map(|prefix| Prefix::parse(&text(prefix))).collect()
                })
                .collect();
            let segments = Segments::new(&networks);
            let edges = networks.iter().flatten().flat_map(|prefix| match *prefix {
                Prefix::V4(first, last) => [first, last, first.wrapping_sub(1), last.wrapping_add(1)],
                Prefix::V6(..) => [0; 4],
            });
            for address in addresses.into_iter().chain(edges) {
                let mut expected = 0;
                for (bit, network) in networks.iter().enumerate() {
                    let inside = network.iter().any(|prefix| {
                        matches!(*prefix, Prefix::V4(first, last) if (first..=last).contains(&address))
                    });
                    expected |= u64::from(inside) << bit;
                }
                let found = segments.holders(std::net::Ipv4Addr::from_bits(address).into());
                prop_assert_eq!(found, expected);
            }
        }
    }
}
