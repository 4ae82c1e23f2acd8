use std::net::IpAddr;

use crate::Kind;
use crate::lists::Lists;
use crate::prefix::Prefix;
use crate::reading::{Mistakes, Section};
use crate::segments::Segments;

/// The networks the rules speak of, found by address or by origin AS.
#[derive(Debug)]
pub(crate) struct Networks {
    networks: Vec<Network>,
    segments: Segments,
}

/// One `[[net]]`.
#[derive(Debug)]
struct Network {
    id: String,
    class: Class,
    kinds: Vec<Kind>,
    asns: Vec<u32>,
    /// Also carry others: being there makes it likely only.
    hint_asns: Vec<u32>,
    /// Networks whose addresses are not this one's although its lists hold them.
    except: u64,
    /// Whether its addresses are known at all, so that not being among them says something.
    has_addresses: bool,
    open_weight: i32,
    click_weight: i32,
    lists: Vec<String>,
}

/// A network that holds a hit, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkMatch {
    /// What the rules call it.
    pub id: String,
    /// What it is for: `relay`, `image_proxy`, `mailfilter`, `mailsec`, `sse` or `cloud`.
    pub class: &'static str,
    /// What tells.
    pub by: MatchedBy,
}

/// What tells that a hit came from a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchedBy {
    /// A list that holds its address.
    List {
        /// The list's name.
        name: String,
        /// When it was published.
        date: Option<String>,
    },
    /// A prefix that the rules themselves name.
    Rules,
    /// The origin AS.
    Asn,
    /// The origin AS, which carries others too: likely only.
    AsnOfMany,
}

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Hides people's addresses: Apple's iCloud Private Relay.
    Relay,
    /// Fetches images for a mailbox provider's readers.
    ImageProxy,
    /// Filters mail and nothing else: nobody reads there.
    MailFilter,
    /// Belongs to a mail security vendor; browser isolation puts people there too.
    MailSecurity,
    /// A company's web gateway: people, elsewhere.
    WebGateway,
    /// Rented computers.
    Cloud,
}

/// Whether a hit came from a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Inside,
    /// From an AS that also carries it.
    Near,
    Outside,
    /// Neither address nor AS can tell.
    Unseen,
}

/// Where a hit came from, in bits of [`Networks`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whereabouts {
    inside: u64,
    near: u64,
    routable: bool,
    asn: bool,
}

const CLASSES: [(Class, &str); 6] = [
    (Class::Relay, "relay"),
    (Class::ImageProxy, "image_proxy"),
    (Class::MailFilter, "mailfilter"),
    (Class::MailSecurity, "mailsec"),
    (Class::WebGateway, "sse"),
    (Class::Cloud, "cloud"),
];

impl Class {
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        CLASSES.iter().find(|(_, known)| *known == code).map(|(class, _)| *class)
    }

    fn code(self) -> &'static str {
        CLASSES.iter().find(|(class, _)| *class == self).map_or("", |(_, code)| code)
    }
}

impl Networks {
    pub(crate) fn read(sections: Vec<Section<'_>>, lists: &Lists, mistakes: &Mistakes) -> Self {
        if sections.len() > 64 {
            mistakes.add(format_args!(
                "net: there are {} networks, at most 64 can be told apart",
                sections.len()
            ));
        }
        let mut networks: Vec<Network> = Vec::new();
        let mut prefixes = Vec::new();
        let mut excepted = Vec::new();
        for section in sections.into_iter().take(64) {
            let id: String = section.required("id");
            if networks.iter().any(|known| known.id == id) {
                section.wrong("id", "is there twice");
            }
            if !section.has("class") {
                section.wrong("class", "is missing");
            }
            let own_lists: Vec<String> = section.optional("lists").unwrap_or_default();
            let own = addresses(&section, &own_lists, lists);
            let except = section.optional::<Vec<String>>("except").unwrap_or_default();
            excepted.push((section.steps_to("except"), except));
            networks.push(Network {
                id,
                class: section.code("class", Class::from_code).unwrap_or(Class::Cloud),
                kinds: section
                    .codes("kinds", Kind::from_code)
                    .unwrap_or_else(|| vec![Kind::Open, Kind::Click]),
                asns: section.optional("asns").unwrap_or_default(),
                hint_asns: section.optional("hint_asns").unwrap_or_default(),
                except: 0,
                has_addresses: !own.is_empty(),
                open_weight: section.optional("open_weight").unwrap_or_default(),
                click_weight: section.optional("click_weight").unwrap_or_default(),
                lists: own_lists,
            });
            prefixes.push(own);
            section.finish();
        }
        for (at, (steps, others)) in excepted.into_iter().enumerate() {
            for other in others {
                let Some(bit) = networks.iter().position(|network| network.id == other) else {
                    let (number, id) = (at + 1, &networks[at].id);
                    let what = format!("net {number} ({id}).except: there is no network \"{other}\"");
                    mistakes.add_at(steps.clone(), what);
                    continue;
                };
                networks[at].except |= 1 << bit;
            }
        }
        Self { segments: Segments::new(&prefixes), networks }
    }

    /// Every list they take addresses from, each once.
    pub(crate) fn list_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.networks.iter().flat_map(|network| network.lists.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The number of the network with this id.
    pub(crate) fn number(&self, id: &str) -> Option<usize> {
        self.networks.iter().position(|network| network.id == id)
    }

    pub(crate) fn locate(&self, address: Option<IpAddr>, asn: Option<u32>) -> Whereabouts {
        let address = address.map(|address| address.to_canonical());
        let routable = address.filter(|address| !is_local(*address));
        let mut inside = routable.map_or(0, |address| self.segments.holders(address));
        let mut near = 0;
        for (bit, network) in self.networks.iter().enumerate() {
            if inside & network.except != 0 {
                inside &= !(1 << bit);
            }
            let Some(asn) = asn else { continue };
            if network.asns.contains(&asn) {
                inside |= 1 << bit;
            }
            if network.hint_asns.contains(&asn) {
                near |= 1 << bit;
            }
        }
        Whereabouts { inside, near, routable: routable.is_some(), asn: asn.is_some() }
    }

    pub(crate) fn standing(&self, number: usize, at: Whereabouts) -> Standing {
        let bit = 1 << number;
        let network = &self.networks[number];
        let told_by_asn = at.asn && !(network.asns.is_empty() && network.hint_asns.is_empty());
        if at.inside & bit != 0 {
            Standing::Inside
        } else if at.near & bit != 0 {
            Standing::Near
        } else if told_by_asn || (at.routable && network.has_addresses) {
            Standing::Outside
        } else {
            Standing::Unseen
        }
    }

    /// The networks of this class that hold the hit, for this kind of hit.
    pub(crate) fn holds(&self, at: Whereabouts, class: Class, kind: Kind) -> bool {
        self.inside(at).any(|network| network.class == class && network.kinds.contains(&kind))
    }

    /// Is it in a network whose addresses stand for many people each? All are such but rented computers.
    pub(crate) fn carries_many(&self, at: Whereabouts) -> bool {
        self.inside(at).any(|network| network.class != Class::Cloud)
    }

    /// What the networks themselves add to a score.
    pub(crate) fn weight(&self, at: Whereabouts, kind: Kind) -> i32 {
        self.inside(at)
            .map(|network| match kind {
                Kind::Open => network.open_weight,
                Kind::Click => network.click_weight,
            })
            .fold(0, i32::saturating_add)
    }

    /// Every network of an address and an AS, with what tells so. Slow: for a person who asks.
    pub(crate) fn explain(
        &self,
        address: Option<IpAddr>,
        asn: Option<u32>,
        lists: &Lists,
    ) -> Vec<NetworkMatch> {
        let (at, by_address) = (self.locate(address, asn), self.locate(address, None));
        let address = address.map(|address| address.to_canonical());
        let mut found = Vec::new();
        for (bit, network) in self.networks.iter().enumerate() {
            let bit = 1 << bit;
            let by = if by_address.inside & bit != 0 {
                let holding = network.lists.iter().find_map(|name| {
                    let list = lists.network(name)?;
                    let holds = address.is_some_and(|a| list.prefixes.iter().any(|prefix| prefix.holds(a)));
                    holds.then(|| MatchedBy::List { name: name.clone(), date: list.head.date.clone() })
                });
                holding.unwrap_or(MatchedBy::Rules)
            } else if at.inside & bit != 0 {
                MatchedBy::Asn
            } else if at.near & bit != 0 {
                MatchedBy::AsnOfMany
            } else {
                continue;
            };
            found.push(NetworkMatch { id: network.id.clone(), class: network.class.code(), by });
        }
        found
    }

    fn inside(&self, at: Whereabouts) -> impl Iterator<Item = &Network> {
        self.networks
            .iter()
            .enumerate()
            .filter(move |(bit, _)| at.inside & (1 << bit) != 0)
            .map(|(_, network)| network)
    }
}

impl Whereabouts {
    /// A network we know nothing against. Local addresses are none: behind a proxy nobody declared,
    /// everybody has one.
    pub(crate) fn is_access(self) -> bool {
        (self.routable || self.asn) && self.inside == 0 && self.near == 0
    }
}

fn addresses(section: &Section<'_>, names: &[String], lists: &Lists) -> Vec<Prefix> {
    let mut own = Vec::new();
    for list in names {
        match lists.network(list) {
            Some(found) => own.extend_from_slice(&found.prefixes),
            // A list we know but have not got: verdicts get less certain, and that is all.
            None if Lists::names().any(|known| known == list) => {}
            None => section.wrong("lists", format_args!("there is no list \"{list}\"")),
        }
    }
    for cidr in section.optional::<Vec<String>>("cidrs").unwrap_or_default() {
        match Prefix::parse(&cidr) {
            Some(prefix) => own.push(prefix),
            None => section.wrong("cidrs", format_args!("\"{cidr}\" is not an address or a prefix")),
        }
    }
    own
}

/// Addresses that say nothing about whose network it is: this computer, private and link-local ones.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let carrier_nat = (v4.to_bits() >> 22) == (0x6440_0000 >> 22); // 100.64.0.0/10, RFC 6598
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || carrier_nat
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified()
        }
    }
}
