use store::RecipientFacts;

use crate::endpoint::KeepAddress;
use crate::page::escaped;
use crate::recipient_page::{About, STYLE_PATH, Wish};

/// What the pages for recipients are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    German,
}

use Language::{English, German};

/// Light and dark as the reader has it; the browser's own colours, so that contrast is its own too.
pub(crate) const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 1.05rem/1.6 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.3; }
h2 { font-size: 1.15rem; margin-top: 2rem; }
button { font: inherit; padding: .6rem 1rem; min-height: 2.75rem; cursor: pointer; }
input { font: inherit; padding: .5rem; width: 100%; box-sizing: border-box; margin: .3rem 0 1rem; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
";

impl Language {
    /// `/`: what this host is.
    pub(crate) fn root(self, about: &About) -> String {
        let body = match self {
            English => "<h1>A mail tracking host</h1>\n\
                <p>People who send mail with Waxseal see here whether a mail that they chose to track was opened, and which of \
                its links were followed. A link in such a mail passes through this host on its way to the page it names; a \
                small image in the mail is loaded from here.</p>\n\
                <p>This host sets no cookies for you, runs no scripts, and leads nowhere but to what the sender wrote. If \
                your browser sends <em>Global Privacy Control</em> or <em>Do Not Track</em>, opening a mail is not recorded, \
                and a click is counted without anything about you.</p>\n\
                <h2>I got such a mail</h2>\n\
                <p>This page cannot know who you are. Many tracked mails carry a header field <code>X-Waxseal-About</code> \
                with the address of a page of your own: it says who wrote to you and what was recorded, and you can refuse \
                there. In most mail programs the header is shown by <em>View source</em> or <em>Show original</em>. Without \
                that field, ask the sender.</p>\n"
                .to_owned(),
            German => "<h1>Ein Server für Lesebestätigungen</h1>\n\
                <p>Wer E-Mail mit Waxseal verschickt, sieht hier, ob eine Nachricht, bei der er das gewünscht hat, geöffnet wurde \
                und welche ihrer Links angeklickt wurden. Ein Link in einer solchen Nachricht führt über diesen Server zur \
                genannten Seite; ein kleines Bild der Nachricht wird von hier geladen.</p>\n\
                <p>Dieser Server setzt Ihnen keine Cookies, führt keine Skripte aus und leitet nur dorthin, wohin der Absender \
                verlinkt hat. Sendet Ihr Browser <em>Global Privacy Control</em> oder <em>Do Not Track</em>, wird das Öffnen \
                nicht gespeichert und ein Klick nur gezählt, ohne etwas über Sie.</p>\n\
                <h2>Ich habe eine solche Nachricht bekommen</h2>\n\
                <p>Diese Seite kann nicht wissen, wer Sie sind. Viele Nachrichten tragen ein Kopfzeilenfeld \
                <code>X-Waxseal-About</code> mit der Adresse einer Seite für Sie: Sie sagt, wer Ihnen geschrieben hat und was \
                gespeichert ist, und dort können Sie widersprechen. Die meisten Mailprogramme zeigen Kopfzeilen unter \
                <em>Quelltext</em> oder <em>Original anzeigen</em>. Fehlt das Feld, fragen Sie den Absender.</p>\n"
                .to_owned(),
        };
        let title = match self {
            English => "A mail tracking host",
            German => "Ein Server für Lesebestätigungen",
        };
        self.page(title, &(body + &self.contact(about)))
    }

    /// The page of one recipient of one mail.
    pub(crate) fn facts(self, facts: &RecipientFacts, about: &About) -> String {
        let sender = escaped(facts.from.as_deref().unwrap_or(&facts.sender));
        let login = escaped(&facts.sender);
        let date = facts.sent_at.to_string();
        let date = date.get(..10).unwrap_or_default();
        let days = about.keep_events.as_secs() / 86_400;
        let (opens, clicks) = (facts.opens, facts.clicks);
        let what = self.what(facts, about.address);
        let body = match self {
            English => format!(
                "<h1>About the mail that you got from {sender}</h1>\n\
                 <p>It was sent on {date} by <strong>{login}</strong>, who chose to see whether it is opened or its links are \
                 followed.</p>\n<h2>What is recorded</h2>\n<p>{what}</p>\n\
                 <p>So far: opened {opens} times, links followed {clicks} times. It is deleted after {days} days.</p>\n\
                 <h2>Your rights</h2>\n<p>You can ask the sender for a copy of it, and to have it deleted. You can complain to \
                 your data protection authority. And you can refuse here:</p>\n",
            ),
            German => format!(
                "<h1>Zur Nachricht, die Sie von {sender} bekommen haben</h1>\n\
                 <p>Sie wurde am {date} von <strong>{login}</strong> verschickt, mit dem Wunsch zu sehen, ob sie geöffnet oder \
                 ihren Links gefolgt wird.</p>\n<h2>Was gespeichert wird</h2>\n<p>{what}</p>\n\
                 <p>Bisher: {opens}-mal geöffnet, {clicks}-mal einem Link gefolgt. Nach {days} Tagen wird es gelöscht.</p>\n\
                 <h2>Ihre Rechte</h2>\n<p>Sie können beim Absender Auskunft und Löschung verlangen. Sie können sich bei Ihrer \
                 Datenschutzbehörde beschweren. Und Sie können hier widersprechen:</p>\n",
            ),
        };
        let wish = if facts.refused { Wish::Allow } else { Wish::Refuse };
        let title = match self {
            English => "About this mail",
            German => "Zu dieser Nachricht",
        };
        let form = self.form(wish, facts.address.is_none());
        self.page(title, &(body + &form + &self.contact(about)))
    }

    fn what(self, facts: &RecipientFacts, address: KeepAddress) -> String {
        let mut parts = vec![];
        if facts.pixel {
            parts.push(match self {
                English => "The mail holds a small image; when it is loaded, that is an opening.",
                German => "Die Nachricht enthält ein kleines Bild; wird es geladen, gilt das als Öffnen.",
            });
        }
        if facts.links {
            parts.push(match self {
                English => "Its links pass through this host; each time one is followed is a click.",
                German => "Ihre Links führen über diesen Server; jedes Folgen gilt als Klick.",
            });
        }
        parts.push(match (self, address) {
            (English, KeepAddress::Full) => {
                "Of each are kept the time, your network address and what kind of program and device it was."
            }
            (English, KeepAddress::Truncated) => {
                "Of each are kept the time, what kind of program and device it was, and the shortened network \
                 address, which leads to a provider and not to you."
            }
            (English, KeepAddress::None) => "Of each are kept the time and what kind of program and device it was.",
            (German, KeepAddress::Full) => {
                "Jeweils gespeichert werden die Zeit, Ihre Netzadresse und die Art von Programm und Gerät."
            }
            (German, KeepAddress::Truncated) => {
                "Jeweils gespeichert werden die Zeit, die Art von Programm und Gerät und die gekürzte Netzadresse, \
                 die zu einem Anbieter führt und nicht zu Ihnen."
            }
            (German, KeepAddress::None) => "Jeweils gespeichert werden die Zeit und die Art von Programm und Gerät.",
        });
        if facts.address.is_none() {
            parts.push(match self {
                English => "You share this mail with others: nobody can tell which of you it was.",
                German => "Sie teilen diese Nachricht mit anderen: Niemand kann sagen, wer von Ihnen es war.",
            });
        }
        parts.join(" ")
    }

    /// What came of a wish.
    pub(crate) fn done(self, wish: Wish, shared: bool) -> String {
        let (title, text) = match (self, wish) {
            (English, Wish::Refuse) => (
                "You are not tracked any more",
                "What was recorded of you is deleted. Mail that you already have records nothing more, and mail that comes \
                 from this host's senders is not tracked. Links go on working.",
            ),
            (English, Wish::Allow) => {
                ("You can be tracked again", "Your refusal is taken back. What was deleted stays deleted.")
            }
            (German, Wish::Refuse) => (
                "Sie werden nicht mehr erfasst",
                "Was über Sie gespeichert war, ist gelöscht. Nachrichten, die Sie schon haben, erfassen nichts mehr, und \
                 neue der Absender dieses Servers werden nicht verfolgt. Links funktionieren weiter.",
            ),
            (German, Wish::Allow) => (
                "Sie können wieder erfasst werden",
                "Ihr Widerspruch ist zurückgenommen. Was gelöscht wurde, bleibt gelöscht.",
            ),
        };
        let only = match (self, shared) {
            (_, false) => "",
            (English, true) => " This holds if the address you gave is one of those the mail was sent to.",
            (German, true) => " Das gilt, wenn die Nachricht an die angegebene Adresse ging.",
        };
        let other = if wish == Wish::Refuse { Wish::Allow } else { Wish::Refuse };
        self.page(title, &format!("<h1>{title}</h1>\n<p>{text}{only}</p>\n{}", self.form(other, shared)))
    }

    /// The mail is too old, or was forgotten.
    pub(crate) fn nothing_known(self, about: &About) -> String {
        let (title, text) = match self {
            English => (
                "Nothing is known any more",
                "About this mail nothing is stored here any more that concerns you.",
            ),
            German => (
                "Es ist nichts mehr bekannt",
                "Zu dieser Nachricht ist hier nichts mehr über Sie gespeichert.",
            ),
        };
        self.page(title, &format!("<h1>{title}</h1>\n<p>{text}</p>\n{}", self.contact(about)))
    }

    pub(crate) fn not_now(self) -> String {
        let (title, text) = match self {
            English => ("Not just now", "Nothing was changed. Please try again in a few minutes."),
            German => (
                "Im Moment nicht möglich",
                "Es wurde nichts geändert. Bitte versuchen Sie es in einigen Minuten wieder.",
            ),
        };
        self.page(title, &format!("<h1>{title}</h1>\n<p>{text}</p>\n"))
    }

    pub(crate) fn not_understood(self) -> String {
        let (title, text) = match self {
            English => ("Nothing was changed", "Please use the button on the page."),
            German => ("Es wurde nichts geändert", "Bitte benutzen Sie die Schaltfläche auf der Seite."),
        };
        self.page(title, &format!("<h1>{title}</h1>\n<p>{text}</p>\n"))
    }

    /// A POST to the page itself: the token in its address is all that it needs.
    fn form(self, wish: Wish, shared: bool) -> String {
        let (value, label) = match (self, wish) {
            (English, Wish::Refuse) => ("refuse", "Don't track me"),
            (English, Wish::Allow) => ("allow", "Take my refusal back"),
            (German, Wish::Refuse) => ("refuse", "Mich nicht erfassen"),
            (German, Wish::Allow) => ("allow", "Widerspruch zurücknehmen"),
        };
        let address = match (self, shared) {
            (_, false) => String::new(),
            (language, true) => format!(
                "<label for=\"address\">{}</label>\n\
                 <input id=\"address\" name=\"address\" type=\"email\" autocomplete=\"email\" required>\n",
                if language == English {
                    "Your address, as the mail was sent to"
                } else {
                    "Ihre Adresse, an die die Nachricht ging"
                }
            ),
        };
        format!(
            "<form method=\"post\">\n{address}<button type=\"submit\" name=\"do\" value=\"{value}\">{label}</button>\n</form>\n"
        )
    }

    fn contact(self, about: &About) -> String {
        let Some(contact) = &about.contact else { return String::new() };
        let contact = escaped(contact);
        match self {
            English => format!("<h2>Whom to ask</h2>\n<p>This host is run by {contact}.</p>\n"),
            German => format!("<h2>Wen Sie fragen können</h2>\n<p>Diesen Server betreibt {contact}.</p>\n"),
        }
    }

    fn page(self, title: &str, body: &str) -> String {
        let code = if self == English { "en" } else { "de" };
        format!(
            "<!doctype html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use envelope::Timestamp;

    use super::*;

    fn facts() -> RecipientFacts {
        RecipientFacts {
            sender: "ana@example.com".to_owned(),
            from: Some("\"><script>x</script> <ana@example.com>".to_owned()),
            sent_at: Timestamp::from_unix_millis(1_795_508_461_123),
            pixel: true,
            links: true,
            address: Some("bo@example.net".to_owned()),
            opens: 2,
            clicks: 1,
            refused: false,
        }
    }

    #[test]
    fn a_page_says_who_what_how_long_and_needs_no_script() {
        let about = About {
            contact: Some("Example <Ltd>".to_owned()),
            keep_events: Duration::from_hours(24 * 400),
            address: KeepAddress::Truncated,
        };
        for (language, code) in [(English, "lang=\"en\""), (German, "lang=\"de\"")] {
            let page = language.facts(&facts(), &about);
            for said in [
                code,
                "ana@example.com",
                "2026-11-24",
                "400",
                "&lt;script&gt;",
                "Example &lt;Ltd&gt;",
                "method=\"post\"",
                "value=\"refuse\"",
            ] {
                assert!(page.contains(said), "{said} in {page}");
            }
            let refused = language.facts(&RecipientFacts { refused: true, ..facts() }, &about);
            assert!(refused.contains("value=\"allow\""));
            let shared = language.facts(&RecipientFacts { address: None, ..facts() }, &about);
            assert!(shared.contains("type=\"email\"") && !page.contains("type=\"email\""));
            for page in [
                page,
                refused,
                shared,
                language.root(&about),
                language.done(Wish::Refuse, true),
                language.nothing_known(&about),
                language.not_now(),
                language.not_understood(),
            ] {
                // The policy allows nothing inline, and nothing from elsewhere.
                for barred in ["<script", " style=", " onclick", "http:", "https:", "<img"] {
                    assert!(!page.contains(barred), "{barred} in {page}");
                }
                assert!(page.contains("<h1>") && page.contains("<main>"));
            }
        }
    }
}
