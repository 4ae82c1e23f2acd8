/// Hosts, and all hosts under them, whose links a phone opens in an app, unless another page comes before.
///
/// Only those whose whole purpose that is; a shop or a newspaper with an app of its own works in a browser too, and an operator
/// who knows better has `keep`.
const HOSTS: &[&str] = &[
    // Deep-link services
    "app.link",
    "page.link",
    "onelink.me",
    "adj.st",
    "go.link",
    "sng.link",
    "smart.link",
    "app.goo.gl",
    "deeplink.to",
    "branch.link",
    "test-app.link",
    // Stores and app clips
    "apps.apple.com",
    "itunes.apple.com",
    "appclip.apple.com",
    "testflight.apple.com",
    "play.google.com",
    // Messengers and meetings
    "wa.me",
    "t.me",
    "m.me",
    "line.me",
    "signal.me",
    "signal.group",
    "fb.me",
    "join.skype.com",
    // Wallets and payments
    "wallet.apple.com",
    "pay.google.com",
];

/// Does a link to this host, in lower case, open an app?
pub(crate) fn is_app_host(host: &str) -> bool {
    let labels = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
    labels.chain([host]).any(|domain| HOSTS.contains(&domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_hosts() {
        for host in [
            "shop.app.link",
            "example.page.link",
            "x.onelink.me",
            "wa.me",
            "t.me",
            "apps.apple.com",
            "maps.app.goo.gl",
        ] {
            assert!(is_app_host(host), "{host}");
        }
        for host in
            ["example.com", "notapp.link", "t.me.example.com", "apple.com", "www.google.com", "xt.me", ""]
        {
            assert!(!is_app_host(host), "{host}");
        }
    }
}
