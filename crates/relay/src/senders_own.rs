use std::iter::Peekable;
use std::str::Chars;

use envelope::{Mailbox, Reply};

/// What in From or Sender is not the sender's own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotOwn {
    /// This address, or what may be taken for one.
    Foreign { field: &'static str, address: String },
    /// There is a field, and no address of the sender's in it.
    Nobody { field: &'static str },
}

impl NotOwn {
    pub(crate) fn reply(&self) -> Reply {
        let text = match self {
            Self::Foreign { field, address } => {
                format!("You may not put {address} into {field} with this login")
            }
            Self::Nobody { field } => format!("There is no address of yours in {field}"),
        };
        Reply::of(550, "5.7.1", text)
    }
}

/// More of an address than this nobody needs to read in a reply.
const MAX_SHOWN_CHARACTERS: usize = 100;

/// Are all addresses in From and Sender the sender's own (RFC 6409 §8.1)?
///
/// Every address counts: of each field of that name, of each in a list or group, and also one that stands where the
/// standard has none, unquoted before another (`boss@b.example <ana@a.example>`): some programs show that one. What
/// stands in quotes or a comment is a name and may be anything.
///
/// A field that is not there says nothing wrong. The same goes for one that is empty or only an empty group
/// (RFC 6854), with a null reverse-path or not: nobody is named. Other text without an address is refused: programs
/// and providers complete it to an address, nobody knows whose.
pub(crate) fn senders_own(content: &[u8], is_own: impl Fn(&Mailbox) -> bool) -> Result<(), NotOwn> {
    for field in ["From", "Sender"] {
        if has_odd_name(content, field) {
            return Err(NotOwn::Nobody { field });
        }
        for body in mime::field_bodies(content, field) {
            let said = addresses(&body);
            for word in &said.addresses {
                if !Mailbox::parse(word).is_ok_and(|mailbox| is_own(&mailbox)) {
                    let address = word.chars().take(MAX_SHOWN_CHARACTERS).collect();
                    return Err(NotOwn::Foreign { field, address });
                }
            }
            if said.is_broken || (said.addresses.is_empty() && said.has_text) {
                return Err(NotOwn::Nobody { field });
            }
        }
    }
    Ok(())
}

/// Is there a field whose name is this one to a program that passes over what does not belong into a name?
fn has_odd_name(content: &[u8], field: &str) -> bool {
    let header = content.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let header = header.take_while(|line| !line.is_empty());
    header.filter_map(|line| line.iter().position(|octet| *octet == b':').map(|colon| &line[..colon])).any(
        |name| {
            let blanks = name.iter().rev().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
            let name = &name[..name.len() - blanks];
            let letters = name.iter().filter(|octet| octet.is_ascii_alphabetic() || **octet == b'-');
            let is_it =
                letters.map(u8::to_ascii_lowercase).eq(field.bytes().map(|octet| octet.to_ascii_lowercase()));
            is_it && name.len() != field.len() && !name.starts_with(b" ") && !name.starts_with(b"\t")
        },
    )
}

struct Said {
    /// Everything with an @ that is not in quotes or a comment.
    addresses: Vec<String>,
    /// There is something that an address could be made of.
    has_text: bool,
    /// A comment or a quoted string without end: programs differ in what they see behind its beginning.
    is_broken: bool,
}

/// Reads a list of addresses (RFC 5322 §3.4) for what may be taken for an address in it, however wrong it is.
fn addresses(body: &str) -> Said {
    let mut said = Said { addresses: vec![], has_text: false, is_broken: false };
    let mut word = String::new();
    // Text of the member of the list that is being read.
    let mut phrase = false;
    let mut rest = body.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '(' => said.is_broken |= !skip_comment(&mut rest),
            '"' => match quoted_string(&mut rest) {
                Some(quoted) => word.push_str(&quoted),
                None => said.is_broken = true,
            },
            // What came before was a group's name.
            ':' if !word.contains('@') => {
                word.clear();
                phrase = false;
            }
            ',' | ';' => said.has_text |= std::mem::take(&mut phrase) | end_word(&mut word, &mut said),
            '<' | '>' | ':' => phrase |= end_word(&mut word, &mut said),
            c if c.is_whitespace() || c.is_control() => {
                said.is_broken |= !skip_white_space(&mut rest);
                // White space around the @ and the dots is allowed (RFC 5322 §4.4): it does not end the address.
                if !word.ends_with(['@', '.']) && !matches!(rest.peek(), Some('@' | '.')) {
                    phrase |= end_word(&mut word, &mut said);
                }
            }
            c => word.push(c),
        }
    }
    said.has_text |= phrase | end_word(&mut word, &mut said);
    said
}

/// True when it was text that is no address.
fn end_word(word: &mut String, said: &mut Said) -> bool {
    let word = std::mem::take(word);
    // A source route's hop, `@one.example`, is no address.
    if word.contains('@') && !(word.starts_with('@') && word.matches('@').count() == 1) {
        said.addresses.push(word);
        return false;
    }
    // What goes on with a dot behind a bracket is taken for the rest of the address by some.
    said.is_broken |= word.starts_with('.');
    !word.is_empty()
}

/// And comments. False when one of them has no end.
fn skip_white_space(rest: &mut Peekable<Chars<'_>>) -> bool {
    while let Some(&c) = rest.peek() {
        match c {
            '(' => {
                rest.next();
                if !skip_comment(rest) {
                    return false;
                }
            }
            c if c.is_whitespace() || c.is_control() => {
                rest.next();
            }
            _ => return true,
        }
    }
    true
}

/// Behind its opening parenthesis. Comments nest. False when it has no end.
fn skip_comment(rest: &mut Peekable<Chars<'_>>) -> bool {
    let mut depth = 1_usize;
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                rest.next();
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return true;
        }
    }
    false
}

/// Behind its opening quote: the quoted local part, if an @ follows, else a blank for a name that is none of
/// ours to judge. `None` when it has no end.
fn quoted_string(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut ends = false;
    let mut quoted = String::from("\"");
    while let Some(c) = rest.next() {
        quoted.push(c);
        match c {
            '\\' => quoted.extend(rest.next()),
            '"' => {
                ends = true;
                break;
            }
            _ => {}
        }
    }
    if !ends {
        return None;
    }
    let mut ahead = rest.clone();
    skip_white_space(&mut ahead);
    if ahead.peek() != Some(&'@') {
        return Some(" ".to_owned());
    }
    *rest = ahead;
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn judged(header: &str) -> Result<(), NotOwn> {
        let own = ["ana@a.example", "sales@a.example", "\"ana b\"@a.example"]
            .map(|own| Mailbox::parse(own).unwrap());
        let is_own = |mailbox: &Mailbox| own.iter().any(|own| own.same_mailbox(mailbox));
        senders_own(format!("{header}\r\n\r\nFrom: eve@b.example\r\n").as_bytes(), is_own)
    }

    #[test]
    fn ones_own_in_every_form() {
        for header in [
            "Subject: no From at all",
            "From: ana@a.example",
            "from : ANA@A.example",
            "From: <ana@a.example>",
            "From: Ana <ana@a.example>",
            "From: \"Ana (boss@b.example)\" <ana@a.example>",
            "From: Ana (for boss@b.example (really)) <ana@a.example>",
            "From: =?utf-8?q?boss=40b.example?= <ana@a.example>",
            "From: ana@a.example (Ana), Sales <sales@a.example>\r\nSender: sales@a.example",
            "From: ana@a.example <ana@a.example>",
            "From: \"ana b\"@a.example",
            "From: \"ana b\" (x) @ a.example",
            "From: ana (c) @\r\n a.example",
            "From: Us: ana@a.example, sales@a.example;",
            "From: <@one.example,@two.example:ana@a.example>",
            "From: <ana@a.example>,",
            "From: J. Doe <ana@a.example>, A. B. C. <sales@a.example>",
            "X-From: eve@b.example\r\nFrom: ana@a.example",
            // Nobody is named.
            "From:",
            "From: <>",
            "From: Automatic system:;",
            "From: (nobody)",
        ] {
            assert_eq!(judged(header), Ok(()), "{header}");
        }
    }

    #[test]
    fn what_is_not() {
        let foreign = |address: &str| Err(NotOwn::Foreign { field: "From", address: address.to_owned() });
        let nobody = || Err(NotOwn::Nobody { field: "From" });
        for (header, expected) in [
            ("From: eve@b.example", foreign("eve@b.example")),
            ("From: ana@a.example, eve@b.example", foreign("eve@b.example")),
            ("From: ana@a.example\r\nFrom: eve@b.example", foreign("eve@b.example")),
            ("From: eve@b.example <ana@a.example>", foreign("eve@b.example")),
            ("From: <eve@b.example> <ana@a.example>", foreign("eve@b.example")),
            ("From: \"Ana\" <eve@b.example>", foreign("eve@b.example")),
            ("From: Us: ana@a.example, eve@b.example;", foreign("eve@b.example")),
            ("From: <@one.example:eve@b.example>", foreign("eve@b.example")),
            ("From: @eve@b.example, ana@a.example", foreign("@eve@b.example")),
            ("From: ana@a.example@b.example", foreign("ana@a.example@b.example")),
            ("From: ana@a.example.b.example", foreign("ana@a.example.b.example")),
            ("From: eve @ b.example", foreign("eve@b.example")),
            ("From: \"ana@a.example\"@b.example", foreign("\"ana@a.example\"@b.example")),
            ("From: ana@a.example . b.example", foreign("ana@a.example.b.example")),
            ("From: <ana@a.example .b.example>", foreign("ana@a.example.b.example")),
            ("From: ana@a.example (x).b.example", foreign("ana@a.example.b.example")),
            ("From: Boss <eve . ana@a.example>", foreign("eve.ana@a.example")),
            ("From: eve (x) .\r\n ana@a.example", foreign("eve.ana@a.example")),
            ("From: boss <ana@a.example>.b.example", nobody()),
            ("From: ana@a.example\r\nFrom\u{b}: eve@b.example", nobody()),
            ("\u{feff}From: eve@b.example", nobody()),
            ("\u{c}fROM : eve@b.example", nobody()),
            ("From: root", nobody()),
            ("From: root, Group:;", nobody()),
            ("From: \"ana@a.example\"", nobody()),
            ("From: (ana@a.example <eve@b.example>", nobody()),
            ("From: ana@a.example, \"x <eve@b.example>", nobody()),
            ("From: ana@a.example ((x) <eve@b.example>", nobody()),
        ] {
            assert_eq!(judged(header), expected, "{header}");
        }
        let sender = Err(NotOwn::Foreign { field: "Sender", address: "eve@b.example".to_owned() });
        assert_eq!(judged("From: ana@a.example\r\nSender: eve@b.example"), sender);
    }

    proptest! {
        /// Whatever stands around it, an address of another that is not in quotes or a comment is seen.
        #[test]
        fn no_foreign_address_gets_by(before in "[a-z <>,:;@.=?]{0,30}", after in "[a-z <>,:;@.\"()]{0,30}") {
            let judged = judged(&format!("From: {before} ana@a.example, <eve@b.example> {after}"));
            prop_assert!(judged.is_err());
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,200}") {
            let _ = judged(&format!("From: {text}"));
        }
    }
}
