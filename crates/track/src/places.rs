use std::fmt;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use envelope::Timestamp;
use maxminddb::{PathElement, Reader};

use crate::event;

/// Where addresses are, by a file of the operator's in `MaxMind`'s format.
///
/// [`Self::look_up`] reads memory only. [`Self::refresh`] reads the file again when it has changed; whoever serves
/// calls it now and then.
pub struct Places {
    file: PathBuf,
    detail: PlaceDetail,
    map: RwLock<Map>,
}

/// How closely places are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceDetail {
    /// The country.
    Country,
    /// The city too, where the file has it.
    City,
}

/// Where somebody is, as far as his address tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2: `BE`.
    pub country: Option<String>,
    /// In English: `Ghent`.
    pub city: Option<String>,
}

/// Why a file cannot tell places.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// It cannot be read.
    #[error("the map {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no database of this format, or a damaged one.
    #[error("the map {} is not a database in MaxMind's format (.mmdb), or it is damaged", file.display())]
    NotAMap {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: maxminddb::MaxMindDbError,
    },
    /// It is one, of something else.
    #[error("the map {} holds {kind}, and no places", file.display())]
    NoPlaces {
        /// The file.
        file: PathBuf,
        /// What it calls itself.
        kind: String,
    },
}

/// The file as it was read last.
struct Map {
    reader: Arc<Reader<Vec<u8>>>,
    stamp: Stamp,
}

/// A file that was written anew has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    octets: u64,
}

/// Longer names are no cities.
const LONGEST_CITY: usize = 80;

impl Places {
    /// Reads the file into memory: some 10 MB for countries, 130 MB for cities.
    pub fn open(file: &Path, detail: PlaceDetail) -> Result<Self, PlacesError> {
        let map = Map::read(file)?;
        Ok(Self { file: file.to_owned(), detail, map: RwLock::new(map) })
    }

    /// Where an address is; `None` if the file does not say.
    pub fn look_up(&self, address: IpAddr) -> Option<Place> {
        let reader = self.map.read().unwrap_or_else(PoisonError::into_inner).reader.clone();
        // Files without IPv6 say so with an error, which is no place either.
        let found = reader.lookup(address.to_canonical()).ok().filter(maxminddb::LookupResult::has_data)?;
        let text = |path: &[PathElement<'_>]| found.decode_path::<String>(path).ok().flatten();
        let key = PathElement::Key;
        // MaxMind and DB-IP nest; ip-location-db does not.
        let country = text(&[key("country"), key("iso_code")]).or_else(|| text(&[key("country_code")]));
        let city = match self.detail {
            PlaceDetail::Country => None,
            PlaceDetail::City => {
                text(&[key("city"), key("names"), key("en")]).or_else(|| text(&[key("city")]))
            }
        };
        let place = Place {
            country: country.filter(|code| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase())),
            city: city.filter(|city| {
                !city.trim().is_empty() && city.len() <= LONGEST_CITY && !city.contains(char::is_control)
            }),
        };
        (place != Place::default()).then_some(place)
    }

    /// When the data was made.
    pub fn built(&self) -> Timestamp {
        self.map.read().unwrap_or_else(PoisonError::into_inner).built()
    }

    /// Reads the file again if it has changed. What cannot be read leaves the old data in use, and the log says so
    /// once.
    pub fn refresh(&self) {
        let known = self.map.read().unwrap_or_else(PoisonError::into_inner).stamp;
        let now = Stamp::of(&self.file);
        if now.as_ref().is_ok_and(|now| *now == known) {
            return;
        }
        match Map::read(&self.file) {
            Ok(map) => {
                event::map_renewed(map.built());
                *self.map.write().unwrap_or_else(PoisonError::into_inner) = map;
            }
            Err(error) => {
                event::map_not_renewed(&error);
                if let Ok(now) = now {
                    self.map.write().unwrap_or_else(PoisonError::into_inner).stamp = now;
                }
            }
        }
    }
}

impl Map {
    fn read(file: &Path) -> Result<Self, PlacesError> {
        let unreadable = |source| PlacesError::Unreadable { file: file.to_owned(), source };
        // Before the file is read: whoever writes it meanwhile makes it read again.
        let stamp = Stamp::of(file).map_err(unreadable)?;
        if !fs::metadata(file).map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("it is not a file")));
        }
        let octets = fs::read(file).map_err(unreadable)?;
        let reader = Reader::from_source(octets)
            .map_err(|source| PlacesError::NotAMap { file: file.to_owned(), source })?;
        let kind = &reader.metadata().database_type;
        let words = kind.to_ascii_lowercase();
        if ["asn", "isp", "anonymous", "domain", "connection"].iter().any(|other| words.contains(other))
            && !["country", "city"].iter().any(|place| words.contains(place))
        {
            let kind: String = kind.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(PlacesError::NoPlaces { file: file.to_owned(), kind });
        }
        Ok(Self { reader: Arc::new(reader), stamp })
    }

    fn built(&self) -> Timestamp {
        let seconds = i64::try_from(self.reader.metadata().build_epoch).unwrap_or(0);
        Timestamp::from_unix_millis(seconds.saturating_mul(1000))
    }
}

impl Stamp {
    fn of(file: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(file)?;
        let modified = metadata.modified().ok().filter(|modified| {
            // Before 1970 some systems cannot tell.
            modified.duration_since(UNIX_EPOCH).is_ok_and(|since| since > Duration::ZERO)
        });
        Ok(Self { modified, octets: metadata.len() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.city, &self.country) {
            (Some(city), Some(country)) => write!(f, "{city}, {country}"),
            (Some(one), None) | (None, Some(one)) => f.write_str(one),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("file", &self.file)
            .field("detail", &self.detail)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest database there can be: a tree of IPv4 with 24-bit records, made here and belonging to nobody.
    mod tiny {
        use std::net::Ipv4Addr;

        pub(super) enum Field<'a> {
            Text(&'a str),
            Map(Vec<(&'a str, Field<'a>)>),
            U16(u16),
            U32(u32),
            U64(u64),
            List,
        }

        fn encode(field: &Field<'_>, out: &mut Vec<u8>) {
            let control = |kind: u8, size: usize, out: &mut Vec<u8>| {
                let size = u8::try_from(size).expect("nothing here is long");
                assert!(size < 29, "longer ones are written otherwise");
                if kind <= 7 { out.push(kind << 5 | size) } else { out.extend([size, kind - 7]) }
            };
            match field {
                Field::Text(text) => {
                    control(2, text.len(), out);
                    out.extend(text.as_bytes());
                }
                Field::Map(pairs) => {
                    control(7, pairs.len(), out);
                    for (key, value) in pairs {
                        encode(&Field::Text(key), out);
                        encode(value, out);
                    }
                }
                Field::U16(number) => {
                    control(5, 2, out);
                    out.extend(number.to_be_bytes());
                }
                Field::U32(number) => {
                    control(6, 4, out);
                    out.extend(number.to_be_bytes());
                }
                Field::U64(number) => {
                    control(9, 8, out);
                    out.extend(number.to_be_bytes());
                }
                Field::List => control(11, 0, out),
            }
        }

        const EMPTY: usize = usize::MAX;

        pub(super) fn database(kind: &str, built: u64, networks: &[(&str, Field<'_>)]) -> Vec<u8> {
            // Each node: two records, a node's number, EMPTY, or a record of data counted from 1 << 20.
            let mut nodes = vec![[EMPTY; 2]];
            let mut data = Vec::new();
            for (prefix, field) in networks {
                let (address, length) = prefix.split_once('/').expect("a prefix");
                let (address, length): (Ipv4Addr, u32) =
                    (address.parse().expect("an address"), length.parse().expect("a length"));
                let mut at = 0;
                for bit in 0..length {
                    let side = (address.to_bits() >> (31 - bit) & 1) as usize;
                    if bit + 1 == length {
                        nodes[at][side] = (1 << 20) + data.len();
                    } else {
                        if nodes[at][side] == EMPTY {
                            nodes[at][side] = nodes.len();
                            nodes.push([EMPTY; 2]);
                        }
                        at = nodes[at][side];
                    }
                }
                encode(field, &mut data);
            }
            let mut out = Vec::new();
            for record in nodes.iter().flatten() {
                let number = match *record {
                    EMPTY => nodes.len(),
                    data if data >= 1 << 20 => data - (1 << 20) + nodes.len() + 16,
                    node => node,
                };
                out.extend(&(u32::try_from(number).expect("few nodes")).to_be_bytes()[1..]);
            }
            out.extend([0; 16]);
            out.extend(data);
            out.extend(b"\xab\xcd\xefMaxMind.com");
            let metadata = Field::Map(vec![
                ("binary_format_major_version", Field::U16(2)),
                ("binary_format_minor_version", Field::U16(0)),
                ("build_epoch", Field::U64(built)),
                ("database_type", Field::Text(kind)),
                ("description", Field::Map(vec![])),
                ("ip_version", Field::U16(4)),
                ("languages", Field::List),
                ("node_count", Field::U32(u32::try_from(nodes.len()).expect("few nodes"))),
                ("record_size", Field::U16(24)),
            ]);
            encode(&metadata, &mut out);
            out
        }
    }
    use tiny::Field::{Map as Nest, Text};

    const BUILT: u64 = 1_780_000_000;

    fn ghent_and_oslo(built: u64) -> Vec<u8> {
        let nested = Nest(vec![
            ("country", Nest(vec![("iso_code", Text("BE"))])),
            ("city", Nest(vec![("names", Nest(vec![("en", Text("Ghent"))]))])),
        ]);
        let flat = Nest(vec![("country_code", Text("NO")), ("city", Text("Oslo"))]);
        let odd = Nest(vec![("country_code", Text("<b>")), ("city", Text("a\u{1b}[2J"))]);
        let networks = [("198.51.100.0/24", nested), ("203.0.113.0/25", flat), ("192.0.2.0/24", odd)];
        tiny::database("Tiny-City", built, &networks)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_in_either_notation() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tiny.mmdb");
        fs::write(&file, ghent_and_oslo(BUILT)).unwrap();
        let cities = Places::open(&file, PlaceDetail::City).unwrap();
        let countries = Places::open(&file, PlaceDetail::Country).unwrap();
        assert_eq!(cities.built().unix_millis(), 1_780_000_000_000);
        for (from, city, country) in [
            ("198.51.100.7", Some("Ghent, BE"), Some("BE")),
            ("::ffff:198.51.100.7", Some("Ghent, BE"), Some("BE")),
            ("203.0.113.127", Some("Oslo, NO"), Some("NO")),
            ("203.0.113.128", None, None),
            ("192.0.2.1", None, None),
            ("127.0.0.1", None, None),
            ("2001:db8::1", None, None),
        ] {
            let told = |places: &Places| places.look_up(address(from)).map(|place| place.to_string());
            assert_eq!(told(&cities).as_deref(), city, "{from}");
            assert_eq!(told(&countries).as_deref(), country, "{from}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tiny.mmdb");
        fs::write(&file, ghent_and_oslo(BUILT)).unwrap();
        let places = Places::open(&file, PlaceDetail::Country).unwrap();
        let country = || places.look_up(address("198.51.100.7")).and_then(|place| place.country);

        let other = Nest(vec![("country_code", Text("LU"))]);
        fs::write(&file, tiny::database("Tiny", BUILT + 1, &[("198.51.100.0/24", other)])).unwrap();
        assert_eq!(country().as_deref(), Some("BE"), "nobody has looked yet");
        places.refresh();
        assert_eq!(country().as_deref(), Some("LU"));
        for damage in [&b"nothing"[..], b"", b"\xab\xcd\xefMaxMind.com"] {
            fs::write(&file, damage).unwrap();
            places.refresh();
            assert_eq!(country().as_deref(), Some("LU"), "{damage:?}");
        }
        fs::remove_file(&file).unwrap();
        places.refresh();
        assert_eq!(country().as_deref(), Some("LU"));
        fs::write(&file, ghent_and_oslo(BUILT + 2)).unwrap();
        places.refresh();
        assert_eq!(country().as_deref(), Some("BE"));
    }

    #[test]
    fn what_is_no_map_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.mmdb");
        let error = |octets: &[u8]| {
            fs::write(&file, octets).unwrap();
            let error = Places::open(&file, PlaceDetail::Country).unwrap_err();
            error.to_string().replace(&file.display().to_string(), "FILE")
        };
        let no_map = "the map FILE is not a database in MaxMind's format (.mmdb), or it is damaged";
        assert_eq!(error(b"country,DE"), no_map);
        let whole = ghent_and_oslo(BUILT);
        assert_eq!(error(&whole[..whole.len() - 40]), no_map);
        let networks = tiny::database("Tiny-ASN", BUILT, &[("198.51.100.0/24", Nest(vec![]))]);
        assert_eq!(error(&networks), "the map FILE holds Tiny-ASN, and no places");
        let missing = Places::open(Path::new("/nonexistent/x.mmdb"), PlaceDetail::Country).unwrap_err();
        assert!(matches!(missing, PlacesError::Unreadable { .. }));
    }

    /// Damage anywhere gives an error or no place, never a panic.
    #[test]
    fn damage_is_borne() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.mmdb");
        let whole = ghent_and_oslo(BUILT);
        for at in 0..whole.len() {
            for damage in [0x00, 0xff, whole[at] ^ 0x20] {
                let mut damaged = whole.clone();
                damaged[at] = damage;
                fs::write(&file, &damaged).unwrap();
                if let Ok(places) = Places::open(&file, PlaceDetail::City) {
                    for from in ["198.51.100.7", "203.0.113.1", "192.0.2.1", "10.0.0.1", "2001:db8::1"] {
                        let _ = places.look_up(address(from));
                    }
                }
            }
        }
    }
}
