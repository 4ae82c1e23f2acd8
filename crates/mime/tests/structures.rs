//! Structures of messages, and what `mime::locate` finds in them: the hard cases and the guards, one row each.
//!
//! The messages are written with LF and looked at with CRLF and with LF.

#![allow(clippy::too_many_lines, reason = "they are tables")]

use waxseal_mime::{self as mime, Located, Obstacle, Sealed, TransferEncoding, locate};

/// Path and body of each part that may be changed, path and obstacle of each that is left.
#[derive(Debug, PartialEq, Eq, Default)]
struct Found<'a> {
    html: Vec<(&'a str, &'a str)>,
    plain: Vec<(&'a str, &'a str)>,
    left: Vec<(&'a str, &'a str, Obstacle)>,
}

#[track_caller]
fn assert_found(case: &str, message: &str, expected: &Found<'_>) {
    for raw in [message.to_owned(), message.replace('\n', "\r\n")] {
        let Located { html, plain, left, sealed } = locate(raw.as_bytes());
        assert_eq!(sealed, None, "{case}");
        let bodies = |parts: &[mime::TextPart]| -> Vec<(String, String)> {
            parts
                .iter()
                .map(|part| (part.path.clone(), raw[part.body.clone()].replace("\r\n", "\n")))
                .collect()
        };
        let (html, plain) = (bodies(&html), bodies(&plain));
        let found = Found {
            html: html.iter().map(|(path, body)| (path.as_str(), body.as_str())).collect(),
            plain: plain.iter().map(|(path, body)| (path.as_str(), body.as_str())).collect(),
            left: left
                .iter()
                .map(|part| (part.path.as_str(), part.media_type.as_str(), part.obstacle))
                .collect(),
        };
        assert_eq!(&found, expected, "{case}");
    }
}

const HTML: &str = "Content-Type: text/html\n\n";

fn mixed(parts: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=b\n\npreamble\n{parts}\nepilogue\n")
}

#[test]
fn displayed_parts() {
    for (case, message, html, plain) in [
        ("single html", format!("{HTML}<p>\n"), vec![("1", "<p>\n")], vec![]),
        ("single plain, no type", "Subject: x\n\nhi\n".into(), vec![], vec![("1", "hi\n")]),
        ("single html with a name", "Content-Type: text/html; name=a\n\nx".into(), vec![("1", "x")], vec![]),
        (
            "alternative",
            "Content-Type: multipart/alternative; boundary=\"=_b c\"\n\n--=_b c\n\nhi\n--=_b c\n\
             Content-Type: TEXT/HTML; charset=utf-8\n\n<p>\n\n--=_b c--\n"
                .into(),
            vec![("2", "<p>\n")],
            vec![("1", "hi")],
        ),
        (
            "mixed, alternative, related, an image and a file",
            mixed(&format!(
                "--b\nContent-Type: multipart/alternative; boundary=b-alt\n\n--b-alt\n\nhi\n--b-alt\n\
                 Content-Type: multipart/related; type=\"text/html\"; boundary=b-alt-rel\n\n--b-alt-rel\n{HTML}<p>\n\
                 --b-alt-rel\nContent-Type: image/png\n\n...\n--b-alt-rel--\n\n--b-alt--\n\n\
                 --b\nContent-Type: application/pdf; name=x.pdf\nContent-Disposition: attachment\n\n...\n--b--"
            )),
            vec![("1.2.1", "<p>")],
            vec![("1.1", "hi")],
        ),
        (
            "boundaries of which the outer begins with the inner",
            format!(
                "Content-Type: multipart/mixed; boundary=bb\n\n--bb\nContent-Type: multipart/alternative; boundary=b\n\n\
                 --b\n{HTML}<p>\n--b--\n--bb--\n"
            ),
            vec![("1.1", "<p>")],
            vec![],
        ),
        (
            "html, a file, more html",
            mixed(&format!(
                "--b\n{HTML}<p>\n--b\nContent-Type: application/pdf\n\n...\n--b\n{HTML}<i>\n--b\n\nfoot\n--b--"
            )),
            vec![("1", "<p>"), ("3", "<i>")],
            vec![("4", "foot")],
        ),
        (
            "two html alternatives",
            format!(
                "Content-Type: multipart/alternative; boundary=b\n\n--b\n{HTML}<p>\n--b\n{HTML}<i>\n--b--"
            ),
            vec![("1", "<p>"), ("2", "<i>")],
            vec![],
        ),
        (
            "inline disposition",
            mixed("--b\nContent-Type: text/html\nContent-Disposition: inline\n\n<p>\n--b--"),
            vec![("1", "<p>")],
            vec![],
        ),
        (
            "transport padding behind delimiters",
            mixed(&format!("--b \t\n{HTML}<p>\n--b-- ")),
            vec![("1", "<p>")],
            vec![],
        ),
        (
            "no final line end",
            format!("Content-Type: multipart/mixed; boundary=b\n\n--b\n{HTML}<p>\n--b--"),
            vec![("1", "<p>")],
            vec![],
        ),
        ("an empty body", HTML.into(), vec![("1", "")], vec![]),
        (
            "an empty part with its own empty line",
            mixed(&format!("--b\n{HTML}\n--b--")),
            vec![("1", "")],
            vec![],
        ),
        (
            "an empty part that shares its empty line",
            mixed(&format!("--b\n{HTML}--b--")),
            vec![("1", "")],
            vec![],
        ),
        (
            "a dash line in the text, a signature mark",
            mixed(&format!("--b\n{HTML}<p>\n-- \n--\n---\n--c\n--b--")),
            vec![("1", "<p>\n-- \n--\n---\n--c")],
            vec![],
        ),
        (
            "the first part of related, with its start",
            format!(
                "Content-Type: multipart/related; boundary=b; start=\"<r@x>\"\n\n--b\nContent-ID: <r@x>\n{HTML}<p>\n--b--"
            ),
            vec![("1", "<p>")],
            vec![],
        ),
        (
            "what follows the end of an inner multipart",
            mixed(&format!(
                "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n{HTML}<p>\n--c--\n--c\n{HTML}<i>\n--b--"
            )),
            vec![("1.1", "<p>")],
            vec![],
        ),
        (
            "an unknown multipart",
            mixed(&format!("--b\n{HTML}<p>\n--b--")).replace("mixed", "x-other"),
            vec![("1", "<p>")],
            vec![],
        ),
        (
            "a boundary in pieces",
            format!(
                "Content-Type: multipart/mixed;\n boundary*0*=us-ascii''%3D%3D;\n boundary*1=b\n\n--==b\n{HTML}<p>\n--==b--"
            ),
            vec![("1", "<p>")],
            vec![],
        ),
        (
            "what follows the end of all",
            mixed(&format!("--b\n{HTML}<p>\n--b--\n--b\n{HTML}<i>\n--b--")),
            vec![("1", "<p>")],
            vec![],
        ),
    ] {
        assert_found(case, &message, &Found { html, plain, left: vec![] });
    }
}

/// Programs differ in whose delimiter the second is: what follows it is the attached message's to some of them.
#[test]
fn an_attached_message_with_the_boundary_of_the_multipart_around_it() {
    let message = |boundary: &str| {
        let attached = format!("Content-Type: multipart/mixed; boundary={boundary}\n\nx");
        mixed(&format!("--b\nContent-Type: message/rfc822\n\n{attached}\n--b\n{HTML}<p>\n--b--"))
    };
    let attached = ("1", "message/rfc822", Obstacle::AttachedMessage);
    for boundary in ["b", "\"b\"", "b; charset=x"] {
        let left = vec![attached, ("2", "text/html", Obstacle::Malformed)];
        assert_found(boundary, &message(boundary), &Found { left, ..Found::default() });
    }
    let found = Found { html: vec![("2", "<p>")], left: vec![attached], ..Found::default() };
    assert_found("another boundary", &message("bc"), &found);
}

/// To some programs the delimiter behind it is one more line of its header.
#[test]
fn an_attached_message_whose_header_has_no_end() {
    let message = |inside: &str| mixed(&format!("--b\n{inside}\n--b\n{HTML}<p>\n--b--"));
    let left = vec![("1", "message/rfc822", Obstacle::AttachedMessage)];
    for (inside, sound) in [
        ("Content-Type: message/rfc822\n\nSubject: x", false),
        ("Content-Type: message/rfc822\n\nSubject: x\n", false),
        ("Content-Type: message/rfc822\n\nSubject: x\n\n", true),
        ("Content-Type: message/rfc822\n\n\nx", true),
        ("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDogeA==", true),
    ] {
        let mut found = Found { html: vec![("2", "<p>")], left: left.clone(), ..Found::default() };
        if !sound {
            found = Found { html: vec![], ..found };
            found.left.push(("2", "text/html", Obstacle::Malformed));
        }
        assert_found(inside, &message(inside), &found);
    }
}

/// What follows is behind the multipart to programs that take a text for the delimiter that closes it.
#[test]
fn a_closing_delimiter_in_a_line() {
    let left = vec![("1", "text/plain", Obstacle::BoundaryInLine), ("2", "text/html", Obstacle::Malformed)];
    for text in ["--b--x", "x --b--"] {
        let message = mixed(&format!("--b\nContent-Type: text/plain\n\n{text}\n--b\n{HTML}<p>\n--b--"));
        assert_found(text, &message, &Found { left: left.clone(), ..Found::default() });
    }
    let message = mixed(&format!("--bx\n--b\n{HTML}<p>\n--b--"));
    let found = Found { left: vec![("1", "text/html", Obstacle::Malformed)], ..Found::default() };
    assert_found("one that goes on, before the first part", &message, &found);
    let message = mixed(&format!("--b\nContent-Type: multipart; boundary=x\n\n--x\n\n--b\n{HTML}<p>\n--b--"));
    let doubtful = vec![("1", "multipart", Obstacle::Malformed), ("2", "text/html", Obstacle::Malformed)];
    assert_found("no subtype", &message, &Found { left: doubtful, ..Found::default() });
    let types = "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=x";
    let message = mixed(&format!("--b\n{types}\n\n--x\n\n--b\n{HTML}<p>\n--b--"));
    let doubtful = vec![("1", "text/plain", Obstacle::Malformed), ("2", "text/html", Obstacle::Malformed)];
    assert_found("two types", &message, &Found { left: doubtful, ..Found::default() });
    let message = mixed(&format!("--b\nContent-Type: text/plain\n\nx --b\n--b\n{HTML}<p>\n--b--"));
    let found = Found { html: vec![("2", "<p>")], left: left[..1].to_vec(), ..Found::default() };
    assert_found("one that closes nothing", &message, &found);
}

#[test]
fn parts_that_are_left() {
    use Obstacle::{
        Amp, AttachedMessage, Attachment, BoundaryInLine, Calendar, Malformed, SeveralTransferEncodings,
        UnknownTransferEncoding,
    };
    let html = |header: &str| format!("--b\nContent-Type: text/html\n{header}\n\n<a>\n--b--");
    let first = format!("--b\n{HTML}<p>\n");
    for (case, message, left) in [
        ("attachment", mixed(&html("Content-Disposition: ATTACHMENT; filename=x.html")), ("1", Attachment)),
        ("unknown disposition", mixed(&html("Content-Disposition: x-hidden")), ("1", Attachment)),
        ("odd encoding", mixed(&html("Content-Transfer-Encoding: quoted-printable (x)")), {
            ("1", UnknownTransferEncoding)
        }),
        ("bare CR", mixed(&html("Content-Transfer-Encoding: 7bi\rt")), ("1", UnknownTransferEncoding)),
        ("odd blank", mixed(&html("Content-Transfer-Encoding: base64\u{c}")), ("1", UnknownTransferEncoding)),
        (
            "unknown encoding",
            mixed(&html("Content-Transfer-Encoding: x-uuencode")),
            ("1", UnknownTransferEncoding),
        ),
        ("semicolon behind the encoding", mixed(&html("Content-Transfer-Encoding: base64;")), {
            ("1", UnknownTransferEncoding)
        }),
        ("empty encoding", mixed(&html("Content-Transfer-Encoding:")), ("1", UnknownTransferEncoding)),
        (
            "two encodings",
            mixed(&html("Content-Transfer-Encoding: 7bit\ncontent-transfer-encoding: 7bit")),
            ("1", SeveralTransferEncodings),
        ),
        (
            "single part with two encodings",
            format!("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n{HTML}x"),
            ("1", SeveralTransferEncodings),
        ),
        (
            "a digest whose part says it is html",
            format!("Content-Type: multipart/digest; boundary=b\n\n--b\n{HTML}<p>\n--b--"),
            ("1", AttachedMessage),
        ),
        ("boundary in mid-line", mixed(&format!("--b\n{HTML}<p> --b\n--b--")), ("1", BoundaryInLine)),
        (
            "boundary with text behind it",
            mixed(&format!("--b\n{HTML}<p>\n--bx\n--b--")),
            ("1", BoundaryInLine),
        ),
        ("close delimiter missing", mixed(&format!("--b\n{HTML}<p>\n")), ("1", Malformed)),
        (
            "close delimiter of the inner multipart missing",
            mixed(&format!("--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n{HTML}<p>\n--b--")),
            ("1.1", Malformed),
        ),
        ("no empty line", mixed("--b\nContent-Type: text/html\n--b--"), ("1", Malformed)),
        ("a line that is no field", mixed(&html("oops")), ("1", Malformed)),
        ("the same in the message's header", format!("From a@b\n{HTML}x"), ("1", Malformed)),
        ("a line of white space in the header", format!("Subject: x\n \n{HTML}x"), ("1", Malformed)),
        ("two types", mixed(&html("Content-Type: text/plain")), ("1", Malformed)),
        (
            "two charsets",
            mixed("--b\nContent-Type: text/html; charset=a; charset=b\n\nx\n--b--"),
            ("1", Malformed),
        ),
        (
            "two charsets, one of RFC 2231",
            mixed("--b\nContent-Type: text/html; charset*=''a; charset=b\n\nx\n--b--"),
            ("1", Malformed),
        ),
        ("unclosed quote", "Content-Type: text/html; charset=\"utf-8\n\nx".into(), ("1", Malformed)),
        ("form data", mixed(&html("")).replace("mixed", "form-data"), ("1", Attachment)),
        ("report", mixed(&html("")).replace("mixed", "report"), ("1", Attachment)),
        (
            "an alternative among the resources of related",
            format!(
                "Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: image/png\n\n.\n--b\n\
                 Content-Type: multipart/alternative; boundary=c\n\n--c\n{HTML}x\n--c--\n--b--"
            ),
            ("2.1", Attachment),
        ),
        (
            "encoded multipart",
            format!("Content-Transfer-Encoding: base64\n{}", mixed(&html(""))),
            ("1", Malformed),
        ),
        (
            "multipart with an odd encoding",
            format!("Content-Transfer-Encoding: 8-bit\n{}", mixed(&html(""))),
            ("1", UnknownTransferEncoding),
        ),
        (
            "the multipart is an attachment",
            {
                mixed(&format!(
                    "--b\nContent-Type: multipart/mixed; boundary=c\nContent-Disposition: attachment\n\n--c\n{HTML}x\n--c--\n--b--"
                ))
            },
            ("1.1", Attachment),
        ),
        (
            "root of related elsewhere",
            {
                format!(
                    "Content-Type: multipart/related; start=\"<r@x>\"; boundary=b\n\n{}",
                    html("Content-ID: <o@x>")
                )
            },
            ("1", Malformed),
        ),
    ] {
        let left = vec![(left.0, "text/html", left.1)];
        assert_found(case, &message, &Found { left, ..Found::default() });
    }
    for (case, message, left) in [
        ("named", format!("{first}--b\nContent-Type: text/html; name=x.html\n\n<i>\n--b--"), {
            ("2", "text/html", Attachment)
        }),
        (
            "named in the disposition",
            format!("{first}--b\nContent-Disposition: inline; filename=x\n{HTML}<i>\n--b--"),
            ("2", "text/html", Attachment),
        ),
        (
            "amp",
            format!("{first}--b\nContent-Type: text/x-amp-html\n\n<i>\n--b--"),
            ("2", "text/x-amp-html", Amp),
        ),
        ("calendar", format!("{first}--b\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN\n--b--"), {
            ("2", "text/calendar", Calendar)
        }),
        ("message", format!("{first}--b\nContent-Type: message/rfc822\n\n{HTML}<i>\n--b--"), {
            ("2", "message/rfc822", AttachedMessage)
        }),
        (
            "encoded message",
            {
                format!(
                    "{first}--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\naGk=\n--b--"
                )
            },
            ("2", "message/rfc822", AttachedMessage),
        ),
        ("a type that some take for HTML", format!("{first}--b\nContent-Type: text / html\n\nx\n--b--"), {
            ("2", "text", Malformed)
        }),
        ("multipart without a boundary", format!("{first}--b\nContent-Type: multipart/mixed\n\nx\n--b--"), {
            ("2", "multipart/mixed", Malformed)
        }),
        (
            "multipart without delimiters",
            format!("{first}--b\nContent-Type: multipart/alternative; boundary=c\n\n{HTML}x\n--b--"),
            ("2", "multipart/alternative", Malformed),
        ),
        (
            "plain text in doubt",
            format!("{first}--b\nContent-Transfer-Encoding: 8-bit\n\nx\n--b--"),
            ("2", "text/plain", UnknownTransferEncoding),
        ),
    ] {
        let message = mixed(&message);
        assert_found(case, &message, &Found { html: vec![("1", "<p>")], left: vec![left], plain: vec![] });
    }
    let resource = mixed(&format!("{first}--b\n{HTML}<i>\n--b--")).replace("mixed", "related");
    let left = vec![("2", "text/html", Attachment)];
    assert_found(
        "a resource of related",
        &resource,
        &Found { html: vec![("1", "<p>")], left, plain: vec![] },
    );
}

#[test]
fn what_is_read_in_two_ways_leaves_the_whole_tree() {
    let same = mixed(&format!(
        "--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n{HTML}<p>\n--b--\n--b\n{HTML}<i>\n--b--"
    ));
    let left =
        vec![("1", "multipart/alternative", Obstacle::Malformed), ("2", "text/html", Obstacle::Malformed)];
    assert_found("one boundary for two multiparts", &same, &Found { left, ..Found::default() });

    let many = mixed(&format!("{}--b--", format!("--b\n{HTML}<p>\n").repeat(1_001)));
    let located = locate(many.as_bytes());
    assert!(located.html.is_empty() && located.left.iter().all(|part| part.obstacle == Obstacle::Malformed));

    let deep: Vec<String> = (0..100)
        .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}x\n\n--b{level}x\n"))
        .collect();
    let deep = deep.concat();
    let located = locate(format!("{deep}{HTML}<p>\n").as_bytes());
    let [left] = &located.left[..] else { panic!("{located:?}") };
    assert_eq!((left.obstacle, &*left.media_type), (Obstacle::TooDeep, "multipart/mixed"));
}

#[test]
fn an_earlier_part_with_a_proven_end_is_not_held_up_by_a_later_one() {
    let cut_off = mixed(&format!("--b\n{HTML}<p>\n--b\nContent-Type: application/pdf\n\n..."));
    assert_found("a file cut off", &cut_off, &Found { html: vec![("1", "<p>")], ..Found::default() });
}

#[test]
fn sealed_messages() {
    use Sealed::{Encrypted, PgpInline, Signed, Smime};
    let inside = |part: &str| mixed(&format!("--b\n{HTML}<p>\n--b\n{part}\n--b--"));
    for (case, message, sealed) in [
        ("signed", mixed(&format!("--b\n{HTML}<p>\n--b--")).replace("mixed", "signed"), Signed),
        ("encrypted", mixed(&format!("--b\n{HTML}<p>\n--b--")).replace("mixed", "Encrypted"), Encrypted),
        ("signed inside", inside("Content-Type: multipart/signed; boundary=c\n\n--c\n\nx\n--c--"), Signed),
        ("opaque S/MIME", "Content-Type: application/pkcs7-mime; name=smime.p7m\n\nx".into(), Smime),
        ("old S/MIME", inside("Content-Type: application/X-pkcs7-mime\n\nx"), Smime),
        (
            "S/MIME by its name",
            inside("Content-Type: application/octet-stream; name=\"smime.p7m\"\n\nx"),
            Smime,
        ),
        ("a signature file", inside("Content-Type: application/pgp-signature\n\nx"), Signed),
        ("inline", "Subject: x\n\nhi\n-----BEGIN PGP SIGNED MESSAGE-----\n".into(), PgpInline),
        (
            "inline in a displayed part",
            inside("Content-Type: text/plain\n\n-----BEGIN PGP MESSAGE-----"),
            PgpInline,
        ),
    ] {
        for raw in [message.clone(), message.replace('\n', "\r\n")] {
            let located = locate(raw.as_bytes());
            assert_eq!(located, Located { sealed: Some(sealed), ..Located::default() }, "{case}");
        }
    }
    for (case, message) in [
        ("a signed message attached", {
            inside(
                "Content-Type: message/rfc822\n\nContent-Type: multipart/signed; boundary=c\n\n--c\n\nx\n--c--",
            )
        }),
        ("armour in an attachment", {
            inside(
                "Content-Type: text/plain; name=a\nContent-Disposition: attachment\n\n-----BEGIN PGP MESSAGE-----",
            )
        }),
        ("a signed PDF", inside("Content-Type: application/octet-stream; name=contract.pdf.p7m\n\nx")),
    ] {
        let located = locate(message.as_bytes());
        assert_eq!((located.sealed, located.html.len()), (None, 1), "{case}");
    }
}

#[test]
fn what_the_header_says_is_handed_on() {
    let raw = "Content-Type: text/plain; Charset=\"ISO-2022-JP\"; Format=Flowed; DelSp=Yes\n\
               Content-Transfer-Encoding: 8BIT\n\nx";
    let part = &locate(raw.as_bytes()).plain[0];
    assert_eq!(part.charset.as_deref(), Some("ISO-2022-JP"));
    assert_eq!((part.encoding, part.format_flowed, part.delsp), (TransferEncoding::EightBit, true, true));
}

#[test]
fn messages_that_are_hardly_any() {
    for (case, raw) in [
        ("nothing", ""),
        ("one octet", "x"),
        ("line ends", "\r\n\r\n"),
        ("a colon", ":"),
        ("a field without end", "Content-Type: text/html"),
        ("a multipart without end", "Content-Type: multipart/mixed; boundary=b"),
        ("a delimiter only", "Content-Type: multipart/mixed; boundary=b\n\n--b"),
        ("a close only", "Content-Type: multipart/mixed; boundary=b\n\n--b--"),
        ("no header", "Hello,\n<p>\n\nworld\n"),
        ("a continuation only", " x\n"),
    ] {
        assert_eq!(locate(raw.as_bytes()).html, vec![], "{case}");
    }
}
