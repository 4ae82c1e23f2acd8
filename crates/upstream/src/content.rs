use memchr::memchr_iter;

/// Is every CR followed by LF, and every LF preceded by CR?
///
/// Servers differ in what they take for a line end; CR or LF alone before a dot is how a message
/// is made to end early for some of them, with commands behind it (SMTP smuggling).
pub(crate) fn has_only_crlf(content: &[u8]) -> bool {
    let mut line_ends = 0;
    for at in memchr_iter(b'\n', content) {
        if at == 0 || content[at - 1] != b'\r' {
            return false;
        }
        line_ends += 1;
    }
    // Each LF has its CR; so a CR without an LF would be one too many.
    memchr_iter(b'\r', content).count() == line_ends
}

/// The header section, with the empty line that ends it if there is one.
pub(crate) fn header_section(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|octets| octets == b"\r\n\r\n");
    end.map_or(content, |end| &content[..end + 4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends() {
        for (content, good) in [
            (&b""[..], true),
            (b"a", true),
            (b"\r\n", true),
            (b"a\r\n.\r\n\r\nb", true),
            (b"\n", false),
            (b"\r", false),
            (b"a\r\n.\n\r\n", false),
            (b"a\r\r\n", false),
            (b"a\r\n\n", false),
            (b"a\r\n\r", false),
        ] {
            assert_eq!(has_only_crlf(content), good, "{content:?}");
        }
    }

    #[test]
    fn the_header_section_ends_at_the_first_empty_line() {
        assert_eq!(header_section(b"A: b\r\n\r\nc\r\n\r\n"), b"A: b\r\n\r\n");
        assert_eq!(header_section(b"A: b\r\n"), b"A: b\r\n");
    }
}
