//! The pages of the tracking host. No script, no image, nothing from elsewhere, nothing about the installation.

use envelope::Timestamp;

/// `/`: what this host is, for people and for those who review hosts.
pub(crate) const HOME: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>A mail tracking host</title>\n</head>\n<body>\n",
    "<h1>A mail tracking host</h1>\n",
    "<p>People and companies who send mail with Waxseal see here whether a mail they chose to track was opened and \
     which of its links were followed. A link in such a mail passes through this host on its way to the page it names; \
     a small image in the mail is loaded from here.</p>\n",
    "<p>This host sets no cookies, runs no scripts, and leads nowhere but to what the sender wrote. To know who sent a mail, \
     and why, ask its sender.</p>\n",
    "</body>\n</html>\n"
);

/// What an unknown or a damaged address gets.
pub(crate) const NOT_FOUND: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Link not found</title>\n</head>\n<body>\n",
    "<h1>This link leads nowhere</h1>\n",
    "<p>It may have been cut off or changed on its way. Open it from the mail itself, or ask the person who sent it.</p>\n",
    "</body>\n</html>\n"
);

/// What a link that was taken back gets. It says nothing of where it led.
pub(crate) const REVOKED: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Link stopped</title>\n</head>\n<body>\n",
    "<h1>This link was stopped</h1>\n",
    "<p>Whoever sent it, or the operator of this host, took it back after it was sent. Ask the person who sent you the \
     mail.</p>\n",
    "</body>\n</html>\n"
);

/// What a POST for unsubscribing gets that does not say what it wants.
pub(crate) const NOT_ONE_CLICK: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Not understood</title>\n</head>\n<body>\n",
    "<h1>Nothing was changed</h1>\n<p>Open this address in a browser and press the button.</p>\n",
    "</body>\n</html>\n"
);

/// What somebody gets who unsubscribes while it cannot be written down.
pub(crate) const NOT_NOW: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Please try again</title>\n</head>\n<body>\n",
    "<h1>This could not be done just now</h1>\n<p>You are not unsubscribed yet. Please try again in a few minutes.</p>\n",
    "</body>\n</html>\n"
);

/// Asks whether one really wants to unsubscribe. Works without scripts; looking at it changes nothing.
pub(crate) fn unsubscribe(sender: Option<&str>) -> String {
    let whose = sender.map_or_else(|| "this sender".to_owned(), escaped);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Unsubscribe</title>\n</head>\n<body>\n\
         <h1>Unsubscribe</h1>\n<p>Do you want no more mail from {whose}?</p>\n\
         <form method=\"post\"><input type=\"hidden\" name=\"List-Unsubscribe\" value=\"One-Click\">\n\
         <button>Unsubscribe</button></form>\n</body>\n</html>\n"
    )
}

/// It is done.
pub(crate) fn unsubscribed(sender: &str) -> String {
    let whose = escaped(sender);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Unsubscribed</title>\n</head>\n<body>\n\
         <h1>You are unsubscribed</h1>\n<p>You will get no more mail from {whose}. What is on its way already may still \
         arrive.</p>\n</body>\n</html>\n"
    )
}

/// What a method other than GET and HEAD gets.
pub(crate) const WRONG_METHOD: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Not allowed</title>\n</head>\n<body>\n",
    "<h1>This can only be opened</h1>\n",
    "</body>\n</html>\n"
);

/// `/robots.txt`: crawlers may read what this host is, and follow nobody's links.
pub(crate) const ROBOTS: &str = "User-agent: *\nDisallow: /o/\nDisallow: /c/\nDisallow: /u/\nDisallow: /r/\n";

/// `/.well-known/security.txt`. The contact is the operator's, without control characters.
pub(crate) fn security_txt(contact: &str, expires: Timestamp) -> String {
    format!("Contact: {contact}\r\nExpires: {expires}\r\nPreferred-Languages: en\r\n")
}

/// The page under a redirect, for programs that show it.
pub(crate) fn moved(target: &str) -> String {
    let href = escaped(target);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Found</title></head>\n\
         <body><a href=\"{href}\" rel=\"noreferrer\">{href}</a></body>\n</html>\n"
    )
}

/// A text as HTML text or as a quoted attribute value.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_cannot_leave_its_attribute() {
        let page = moved("https://example.com/?a=1&b='\"><script>x</script>");
        assert!(page.contains(
            "<a href=\"https://example.com/?a=1&amp;b=&#39;&quot;&gt;&lt;script&gt;x&lt;/script&gt;\""
        ));
        assert_eq!(page.matches("<script").count(), 0);
    }
}
