/// Each reason's stable code and its sentence for people.
const TABLE: &[(&str, &str)] = &[
    // Oneself.
    ("self_token", "This copy of the message was made for you."),
    ("recipient_is_sender", "You sent this message to yourself."),
    ("self_cookie", "The browser is signed in to your Waxseal."),
    ("sender_network", "It came from an address you send mail from."),
    (
        "shared_network",
        "It came from an address that you and the recipient share, so it may have been either of you.",
    ),
    // What the sender said.
    ("corrected_me", "You said that this was you."),
    ("corrected_person", "You said that this was a person."),
    ("corrected_machine", "You said that this was a machine."),
    // What came later.
    ("later_click", "Somebody at the same place, with the same program, followed a link."),
    // The request itself.
    ("method_not_get", "The request only checked the link; a person's program loads it."),
    ("office_discovery", "Microsoft Office looked the link up before handing it to a browser."),
    ("speculative_load", "A browser loaded it ahead, in case it would be needed."),
    ("before_accept", "It came before the recipient's side had the message, so only a scanner could."),
    ("headless_brand", "The browser says that it runs without a screen."),
    // The hidden link.
    ("honeypot_link", "It followed a hidden link that no person sees."),
    ("honeypot_source", "The same source followed a hidden link that no person sees."),
    // Networks.
    ("mailfilter_net", "The address belongs to a mail filter, where nobody reads mail."),
    ("mailsec_early", "The address belongs to a mail security company, and the message had just arrived."),
    (
        "mailsec_late",
        "The address belongs to a mail security company, which shields people's browsing too: it may be either.",
    ),
    (
        "microsoft_open_late",
        "Microsoft's network fetched the image after delivery, as Outlook on the web does.",
    ),
    ("instant_click", "Nobody reads and clicks within two seconds of delivery."),
    // Mailbox providers' image proxies and prefetching.
    ("apple_mpp", "Apple's Mail Privacy Protection loads images whether or not the message is read."),
    ("apple_mpp_near", "The agent is Apple's Mail Privacy Protection, from a network that also carries it."),
    (
        "apple_mpp_unplaced",
        "The agent is Apple's Mail Privacy Protection; where it came from could not be checked.",
    ),
    (
        "apple_mpp_elsewhere",
        "The agent is that of Apple's Mail Privacy Protection, but the address is not Apple's.",
    ),
    ("bare_mozilla_click", "No browser calls itself just \"Mozilla/5.0\" when a person follows a link."),
    ("gmail_prefetch", "Gmail loaded the image when the message arrived; it may be unread."),
    ("gmail_prefetch_unplaced", "The agent is Gmail's prefetching; where it came from could not be checked."),
    (
        "gmail_prefetch_elsewhere",
        "The agent is that of Gmail's prefetching, but the address is not Google's.",
    ),
    ("gmail_proxy", "Gmail fetched the image for its reader."),
    ("gmail_proxy_unplaced", "The agent is Gmail's image proxy; where it came from could not be checked."),
    ("gmail_proxy_spoofed", "The agent claims to be Gmail's image proxy, but the address is not Google's."),
    ("yahoo_proxy", "Yahoo Mail fetched the image for its reader."),
    ("fastmail_proxy", "Fastmail fetched the image for its reader."),
    ("seznam_proxy", "Seznam Email fetched the image for its reader."),
    ("rambler_proxy", "Rambler Mail fetched the image for its reader."),
    ("ukrnet_proxy", "Ukr.net fetched the image for its reader."),
    ("yandex_image_resizer", "Yandex fetched the image, often before the message is read."),
    (
        "unproven_image_proxy",
        "A mail service's image proxy fetched it; whether on reading or on arrival is not known.",
    ),
    ("image_proxy_click", "An image proxy does not follow links for a reader."),
    // Previews.
    ("link_preview", "A chat program or site drew a preview of the link: somebody shared it."),
    ("office_link_check", "Microsoft Office looked the link up before handing it to a browser."),
    // Scanners that say so.
    ("empty_ua", "The request does not say which program sent it; people's programs do."),
    ("named_scanner", "The agent names a security product."),
    ("headless", "The agent names a browser that is run by a program."),
    ("ai_agent", "An AI assistant fetched it; nobody has looked yet."),
    ("http_library", "The agent is a programmer's library, not a browser."),
    ("bot_list", "The agent is on the public list of crawlers."),
    ("generic_bot", "The agent calls itself a bot or crawler."),
    // Many at once.
    ("burst", "Several links of the message were followed almost at once."),
    ("burst_source", "The same source followed several links of the message almost at once."),
    ("cross_recipient", "One address fetched mail of several people at several organisations."),
    // The sum.
    ("looks_like_person", "Taken together, it looks like a person."),
    ("looks_like_machine", "Taken together, it looks like a machine."),
    ("undecided", "The evidence does not lean far enough either way."),
    ("unrecognised_agent", "The program is not one that people are known to read mail with."),
    // What was added up.
    ("instant", "It came within two seconds of delivery."),
    ("in_delivery_window", "It came within two minutes of delivery, when filters check mail."),
    ("named_net", "The address belongs to a network whose hits of this kind are mostly machines."),
    ("cloud_net", "The address belongs to a data centre."),
    ("cloud_net_in_window", "A data centre fetched it within two minutes of delivery."),
    (
        "gateway_mx_in_window",
        "The recipient's mail passes a filter that checks links, and it had just arrived.",
    ),
    ("follows_other_source", "A data centre followed the link right after somebody else did."),
    ("client_hints_mismatch", "What the browser says about itself in two places does not agree."),
    ("no_sec_fetch", "Headers are missing that this browser always sends."),
    ("no_sec_fetch_scheme_unknown", "Headers are missing that this browser sends over https."),
    ("sec_fetch_too_early", "It sends headers that this browser did not know yet."),
    ("no_client_hints", "It does not say its brand, as this browser always does over https."),
    ("no_accept_language", "It names no language, as every browser does."),
    ("accept_not_html", "It did not ask for a page, as every browser does when a link is followed."),
    ("impossible_platform", "That browser never ran on that system, or has been gone for years."),
    ("unreduced_desktop_chrome", "Chrome on a computer has not written its version like that since 2023."),
    ("very_stale_chrome", "The browser is many years old, while people's renew themselves."),
    ("stale_chrome", "The browser is long out of date, while people's renew themselves."),
    ("seen_before_human", "This reader was seen here before."),
    ("sec_fetch_user", "The browser says that somebody acted."),
    ("sec_fetch_navigate", "The browser says that it went to a page."),
    ("sec_fetch_image", "The browser says that it loaded an image in a page."),
    ("client_hints_match", "What the browser says about itself agrees."),
    ("mail_program", "The agent is a mail program."),
    ("bare_webkit", "The agent is that of Apple Mail showing a message."),
    ("access_network", "The address is in a network of the kind people use."),
    ("sse_net", "The address belongs to a company's web gateway, behind which people work."),
    ("relay_net_full_safari", "Safari, through Apple's private relay."),
];

/// The sentence for people of a reason code; `None` for a code that no built-in rule gives.
pub fn sentence(code: &str) -> Option<&'static str> {
    TABLE.iter().find(|(known, _)| *known == code).map(|(_, sentence)| *sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_its_sentence() {
        for (_, code) in crate::scoring::FEATURES {
            assert!(sentence(code).is_some(), "{code}");
        }
    }

    #[test]
    fn codes_are_unique_and_sentences_are_sentences() {
        for (at, (code, sentence)) in TABLE.iter().enumerate() {
            assert!(TABLE[..at].iter().all(|(known, _)| known != code), "{code}");
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
            assert!(sentence.ends_with('.') && sentence.starts_with(char::is_uppercase), "{code}");
        }
    }

    /// `docs/verdicts.md` holds the whole table; `UPDATE=1` writes it anew.
    #[test]
    fn the_handbook_has_every_reason() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verdicts.md");
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("<!-- reasons:").unwrap();
        let (head, rest) = rest.split_once("-->\n").unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        let rows: String =
            TABLE.iter().map(|(code, sentence)| format!("| `{code}` | {sentence} |\n")).collect();
        let expected = format!(
            "{before}<!-- reasons:{head}-->\n| code | what it says |\n|---|---|\n{rows}<!-- end -->{after}"
        );
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, &expected).unwrap();
        } else {
            assert!(text == expected, "docs/verdicts.md lacks a reason; `just bless` writes the table anew");
        }
    }
}
