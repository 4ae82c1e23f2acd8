use crate::markup::INVISIBLE;

/// Endings that make `name.ending` a file or a product, not a host.
const FILE_ENDINGS: &[&str] = &[
    "asp", "aspx", "avi", "css", "csv", "doc", "docx", "exe", "gif", "gz", "htm", "html", "ics", "jpeg",
    "jpg", "js", "json", "key", "mp3", "mp4", "odt", "pdf", "php", "png", "ppt", "pptx", "rar", "rtf", "svg",
    "tar", "tsx", "txt", "vcf", "wav", "webp", "xls", "xlsx", "xml", "yaml", "yml",
];

/// Is a link's visible text itself a URL, or a bare host? Mail programs warn when such a text and the target differ.
///
/// `text` has its entities undone and is in lower case.
pub(crate) fn is_url(text: &str) -> bool {
    if !text.contains('.') && !text.contains("://") {
        return false;
    }
    let mut words = text.split_whitespace().map(bare).filter(|word| !word.is_empty());
    let (Some(first), second) = (words.next(), words.next()) else { return false };
    // A URL in a sentence is one too; `Node.js` in a sentence is not.
    let first_is = if second.is_none() { is_url_word(first) || is_host(first) } else { is_url_word(first) };
    first_is || second.is_some_and(is_url_word) || words.any(is_url_word)
}

/// Without invisible characters at its ends, and without the punctuation that prose puts round a URL.
fn bare(word: &str) -> &str {
    let around = |c: char| INVISIBLE.contains(&c) || "<>()[]{}\"'“”‘’«»‹›,;:!?.…*_|→➜›-–—".contains(c);
    word.trim_matches(around)
}

fn is_url_word(word: &str) -> bool {
    let rest = ["https://", "http://", "ftp://", "www."].iter().find_map(|start| word.strip_prefix(start));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['))
}

/// `example.com`, with a port or path or without.
fn is_host(word: &str) -> bool {
    let host = word.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.split_once(':').map_or(host, |(host, _)| host).trim_end_matches('.');
    let Some((before, top)) = host.rsplit_once('.') else { return false };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_' || INVISIBLE.contains(&c))
    };
    let is_top =
        top.chars().count() >= 2 && (top.chars().all(char::is_alphabetic) || top.starts_with("xn--"));
    let is_file = FILE_ENDINGS.contains(&top) && !word.contains('/');
    is_top && !is_file && before.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_urls() {
        for text in [
            "https://example.com",
            "http://example.com/a?b=c",
            "HTTPS://EXAMPLE.COM",
            "www.example.com",
            "example.com",
            "Example.com",
            "example.co.uk/path",
            "<https://example.com>",
            "(example.com)",
            "\u{200b}example.com",
            "example.com:8080",
            "bücher.example",
            "пример.рф",
            "see https://example.com for more",
            "Visit www.example.com!",
            " example.com. ",
            "ftp://example.com",
            "xn--bcher-kva.example",
            "example.com/file.pdf",
            "https://[2001:db8::1]/",
            "» example.com",
            "a b c https://example.com",
            "sub_domain.example.com",
        ] {
            assert!(is_url(&text.to_lowercase()), "{text}");
        }
        for text in [
            "",
            " ",
            "Read more",
            "Node.js",
            "invoice.pdf",
            "v1.2",
            "e.g.",
            "U.S.",
            "3.5",
            "10.000",
            "ana@example.com",
            "...",
            "Hello.World!x",
            "see example.com for more",
            "https://",
            "www.",
            "http",
            "Mr. Smith",
            "What's new?",
            "1.2.3.4",
            "a..com",
            ".com",
            "and/or",
            "click here: now",
            "更多",
            "Sign up—today",
        ] {
            let is = is_url(&text.to_lowercase());
            // `a..com` has an empty label.
            assert!(!is, "{text}");
        }
    }
}
