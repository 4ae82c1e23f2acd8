use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rusqlite::types::{Value, ValueRef};

use crate::EventKind;

/// The number that a kind is in the table.
pub(crate) fn number(kind: EventKind) -> i64 {
    match kind {
        EventKind::Open => 1,
        EventKind::Click => 2,
        EventKind::Verdict => 3,
        EventKind::Bounce => 4,
        EventKind::Complaint => 5,
        EventKind::Unsubscribe => 6,
        EventKind::Refusal => 7,
        EventKind::Correction => 8,
    }
}

pub(super) fn kind(number: i64) -> Option<EventKind> {
    EventKind::ALL.into_iter().find(|kind| self::number(*kind) == number)
}

/// An address as few octets as it can be told from. What is no address, or written otherwise than we write it,
/// stays as it is.
pub(super) fn address(text: &str) -> Value {
    let octets = match text.split_once('/') {
        None => match text.parse() {
            Ok(IpAddr::V4(v4)) => v4.octets().to_vec(),
            Ok(IpAddr::V6(v6)) => v6.octets().to_vec(),
            Err(_) => vec![],
        },
        Some((first, "24")) => first.parse().map_or(vec![], |v4: Ipv4Addr| v4.octets()[..3].to_vec()),
        Some((first, "48")) => first.parse().map_or(vec![], |v6: Ipv6Addr| v6.octets()[..6].to_vec()),
        Some(_) => vec![],
    };
    let same = address_text(&octets).is_some_and(|read| read == text);
    if same { Value::Blob(octets) } else { Value::Text(text.to_owned()) }
}

/// The text of what [`address`] made.
pub(super) fn address_of(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Blob(octets) => address_text(octets),
        ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn address_text(octets: &[u8]) -> Option<String> {
    match octets.len() {
        3 | 4 => {
            let mut all = [0; 4];
            all[..octets.len()].copy_from_slice(octets);
            let prefix = if octets.len() == 3 { "/24" } else { "" };
            Some(format!("{}{prefix}", Ipv4Addr::from(all)))
        }
        6 | 16 => {
            let mut all = [0; 16];
            all[..octets.len()].copy_from_slice(octets);
            let prefix = if octets.len() == 6 { "/48" } else { "" };
            Some(format!("{}{prefix}", Ipv6Addr::from(all)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_a_number_each() {
        for kind in EventKind::ALL {
            assert_eq!(self::kind(number(kind)), Some(kind));
        }
        assert_eq!(kind(0), None);
    }

    #[test]
    fn addresses_come_back_as_they_were() {
        for (text, octets) in [
            ("203.0.113.0/24", 3),
            ("203.0.113.77", 4),
            ("2001:db8:1::/48", 6),
            ("::/48", 6),
            ("2001:db8::1", 16),
            ("203.0.113.1/24", 0),
            ("203.0.113.0", 4),
            ("203.0.113.0/25", 0),
            ("2001:DB8::1", 0),
            ("2001:db8:1:1::/48", 0),
            ("10.0.0.0/8", 0),
            ("", 0),
            ("somewhere", 0),
        ] {
            let value = address(text);
            let ours = if let Value::Blob(octets) = &value { octets.len() } else { 0 };
            assert_eq!(ours, octets, "{text}");
            assert_eq!(address_of(ValueRef::from(&value)).as_deref(), Some(text));
        }
        assert_eq!(address_of(ValueRef::Null), None);
    }
}
