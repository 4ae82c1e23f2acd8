use envelope::Timestamp;
use hyper::HeaderMap;
use hyper::header::COOKIE;
use seal::{SELF_COOKIE, SelfCookie};

/// More cookies of that name are not looked at: each costs an HMAC.
const MOST: usize = 3;

/// The sender who is signed in at the console of this tracking host, if the request says so.
pub(crate) fn signed_in(cookie: &SelfCookie, headers: &HeaderMap, now: Timestamp) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let ours = pairs.filter(|(name, _)| *name == SELF_COOKIE).map(|(_, value)| value);
    ours.take(MOST).find_map(|value| cookie.open(value, now.unix_millis()))
}

#[cfg(test)]
mod tests {
    use seal::Keys;

    use super::*;

    #[test]
    fn is_found_among_others() {
        let cookie = SelfCookie::new(&Keys::generate([7; 32]));
        let good = cookie.mint("ana@example.com", 1_000).unwrap();
        for (field, expected) in [
            (format!("{SELF_COOKIE}={good}"), true),
            (format!("a=b; {SELF_COOKIE}={good};c"), true),
            (format!("{SELF_COOKIE}=old; {SELF_COOKIE}={good}"), true),
            (format!("{SELF_COOKIE}=1; {SELF_COOKIE}=2; {SELF_COOKIE}=3; {SELF_COOKIE}={good}"), false),
            (format!("x{SELF_COOKIE}={good}"), false),
            (format!("{SELF_COOKIE} {good}"), false),
            (String::new(), false),
        ] {
            let headers = HeaderMap::from_iter([(COOKIE, field.parse().unwrap())]);
            let found = signed_in(&cookie, &headers, Timestamp::from_unix_millis(999));
            assert_eq!(found.is_some(), expected, "{field}");
        }
    }
}
