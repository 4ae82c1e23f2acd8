use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Kind, lenient};

/// One hit on the tracking endpoint, as it was seen. Kept so that later rules can judge it anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Pixel or link.
    pub kind: Kind,
    /// The HTTP method as sent: `GET`.
    pub method: String,
    /// The `User-Agent` field; `None` or empty if it was missing.
    #[serde(default)]
    pub user_agent: Option<String>,
    /// The client's address, already seen through trusted proxies.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// The address's origin AS, if somebody looked it up.
    #[serde(default)]
    pub asn: Option<u32>,
    /// Milliseconds since the upstream's 250 to the content, for this recipient; negative before it.
    #[serde(default)]
    pub since_accept_ms: Option<i64>,
    /// The request's header fields, names in lower case. `None`: not known, so absence says nothing.
    #[serde(default)]
    pub headers: Option<Vec<(String, String)>>,
    /// What the rest of the installation knows about this hit.
    #[serde(default)]
    pub context: Context,
}

/// What other hits, the message and the sender say about a hit. Everything is optional: unknown says nothing.
///
/// "Same source" is the same /24 (IPv4) or /48 (IPv6). The burst counts include this hit and may be filled in
/// again when later hits arrive: that is how a burst folds back over its own beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Tracked links in the message.
    #[serde(deserialize_with = "lenient::count")]
    pub links_in_message: Option<u32>,
    /// Distinct links of this message and recipient followed within one second around this hit.
    #[serde(deserialize_with = "lenient::count")]
    pub distinct_links_within_1s: Option<u32>,
    /// The same within 5 s.
    #[serde(deserialize_with = "lenient::count")]
    pub distinct_links_within_5s: Option<u32>,
    /// The same within 10 s.
    #[serde(deserialize_with = "lenient::count")]
    pub distinct_links_within_10s: Option<u32>,
    /// The same within 30 s.
    #[serde(deserialize_with = "lenient::count")]
    pub distinct_links_within_30s: Option<u32>,
    /// Seconds between this hit and a burst from the same source (fold-back).
    #[serde(deserialize_with = "lenient::number")]
    pub same_source_burst_within_s: Option<f64>,
    /// Addresses the sender submitted from in the last day.
    #[serde(deserialize_with = "lenient::addresses")]
    pub sender_ips: Vec<IpAddr>,
    /// The recipient is known to share the sender's address (one office, one NAT).
    #[serde(deserialize_with = "lenient::flag")]
    pub recipient_shares_sender_network: Option<bool>,
    /// The recipient is the sender: the copy to oneself.
    #[serde(deserialize_with = "lenient::flag")]
    pub recipient_is_sender: Option<bool>,
    /// The token belongs to a copy made for the sender.
    #[serde(deserialize_with = "lenient::flag")]
    pub self_token: Option<bool>,
    /// The request carried a valid cookie of a sender's console session.
    #[serde(deserialize_with = "lenient::flag")]
    pub self_cookie_valid: Option<bool>,
    /// The host name of the MX that accepts the recipient's mail.
    #[serde(deserialize_with = "lenient::text")]
    pub recipient_mx: Option<String>,
    /// The hit is on the hidden link nobody can see.
    #[serde(deserialize_with = "lenient::flag")]
    pub is_honeypot_link: Option<bool>,
    /// Seconds between this hit and a honeypot hit from the same source.
    #[serde(deserialize_with = "lenient::number")]
    pub same_source_honeypot_hit_within_s: Option<f64>,
    /// Seconds since another source followed the same link.
    #[serde(deserialize_with = "lenient::number")]
    pub earlier_click_other_source_s: Option<f64>,
    /// Recipients whose tokens this address fetched within an hour, this one included.
    #[serde(deserialize_with = "lenient::count")]
    pub recipients_from_address_within_1h: Option<u32>,
    /// The domains of those recipients.
    #[serde(deserialize_with = "lenient::count")]
    pub recipient_domains_from_address_within_1h: Option<u32>,
    /// This recipient was seen as a person from this source and agent before.
    #[serde(deserialize_with = "lenient::flag")]
    pub seen_before_human: Option<bool>,
    /// The request came over https. Browsers send `Sec-Fetch-*` only there.
    #[serde(deserialize_with = "lenient::flag")]
    pub https: Option<bool>,
}

impl Evidence {
    /// A `GET` about which nothing else is known.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            method: "GET".to_owned(),
            user_agent: None,
            address: None,
            asn: None,
            since_accept_ms: None,
            headers: None,
            context: Context::default(),
        }
    }
}
