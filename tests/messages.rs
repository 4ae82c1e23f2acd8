//! The collection of odd mail: what is done to each message is on file, and nothing else is done.
//!
//! `UPDATE=1 cargo test --test messages` writes the expectations anew (`just bless`); read the difference as code.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod harness;

use std::fmt::Write as _;

use encoding_rs::Encoding;
use envelope::Reason;
use harness::collection::{BASE_URL, Case, Ours, cases, tracking, without_our_fields};
use harness::document::Reading;
use harness::identity::compare;
use relay::Rewritten;

fn rewritten(case: &Case) -> Rewritten {
    relay::rewrite(&without_our_fields(&case.submitted), &tracking(&case.submitted))
}

#[test]
fn what_is_done_to_each_message_is_on_file() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = vec![];
    for case in cases() {
        let found = described(&rewritten(&case));
        let file = case.folder.join("out.txt");
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if found != expected {
            if update {
                std::fs::write(&file, found).unwrap();
            } else {
                wrong.push(format!("{}:\n--- on file\n{expected}--- found\n{found}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ (UPDATE=1 writes them anew):\n{}", wrong.len(), wrong.join("\n"));
}

fn described(rewritten: &Rewritten) -> String {
    let mut text = format!("pixel: {}\n", if rewritten.pixel { "yes" } else { "no" });
    if rewritten.history {
        text.push_str("history: cleaned\n");
    }
    for reason in &rewritten.reasons {
        let _ = writeln!(text, "message: {}", reason.code());
    }
    for note in &rewritten.parts {
        let _ = writeln!(text, "part {}: {}", note.path, note.reason.code());
    }
    for link in &rewritten.links {
        let short = |text: &str| -> String { text.escape_debug().to_string().chars().take(200).collect() };
        let _ = match (&link.target, link.kept) {
            (Some(target), None) if *target == link.href => {
                writeln!(text, "link {}: tracked {}", link.index, short(target))
            }
            (Some(target), None) => {
                writeln!(text, "link {}: tracked {} as {}", link.index, short(&link.href), short(target))
            }
            (_, kept) => writeln!(
                text,
                "link {}: {} {}",
                link.index,
                kept.map_or("?", |reason| reason.code()),
                short(&link.href)
            ),
        };
    }
    text
}

#[test]
fn octets_outside_the_changes_are_the_same() {
    let (mut changed, mut pixels, mut links, mut wrong) = (0, 0, 0, vec![]);
    for case in cases() {
        let result = rewritten(&case);
        let as_handed_on = [b"Received: by test\r\n", result.content.as_slice()].concat();
        match compare(&case.submitted, &as_handed_on, BASE_URL) {
            Ok(changes) => {
                let (pixel, tracked) = (usize::from(result.pixel), result.links_tracked());
                if (changes.pixels.len(), changes.links.len()) != (pixel, tracked) {
                    wrong.push(format!(
                        "{}: says {pixel} pixels and {tracked} links, did {changes:?}",
                        case.name
                    ));
                }
                changed += usize::from(pixel + tracked > 0);
                (pixels, links) = (pixels + changes.pixels.len(), links + changes.links.len());
            }
            Err(why) => wrong.push(format!("{}: {why}", case.name)),
        }
    }
    println!("{changed} changed, {pixels} pixels, {links} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(changed >= 100, "only {changed} messages changed at all");
}

#[test]
fn every_untracked_message_and_link_has_its_reason() {
    for case in cases() {
        let result = rewritten(&case);
        let wanted = tracking(&case.submitted).choice;
        if !result.is_tracked() && !wanted.is_none() {
            let said = !result.reasons.is_empty()
                || !result.parts.is_empty()
                || result.links.iter().any(|link| link.kept.is_some());
            assert!(said, "{}: nothing was done and nothing said", case.name);
        }
        if wanted.opens && !result.pixel {
            assert!(!result.reasons.is_empty(), "{}: no pixel and no reason", case.name);
        }
        for link in &result.links {
            assert_eq!(link.kept.is_none(), link.target.is_some(), "{}: {link:?}", case.name);
        }
    }
}

#[test]
fn doing_it_twice_changes_only_what_is_ours() {
    let mut wrong = vec![];
    for case in cases() {
        let once = rewritten(&case);
        let again = relay::rewrite(&once.content, &tracking(&case.submitted));
        // Taking our pixel out of a line joins what stood around it; and a link that was switched off for one
        // mail has no attribute left that says so in the next.
        let differs = again.reasons.contains(&Reason::LineTooLong)
            || once.links.iter().any(|link| link.kept == Some(Reason::DataWaxsealOff));
        if differs {
            continue;
        }
        if (once.pixel, once.links_tracked()) != (again.pixel, again.links_tracked()) {
            wrong.push(format!(
                "{}: {:?} {:?} {:?}",
                case.name,
                again.pixel,
                again.links_tracked(),
                again.reasons
            ));
        }
        // The pixel is taken out and put in; links are unwrapped and wrapped: nothing grows.
        if again.content.len() > once.content.len() + 64 + once.content.len() / 50 {
            wrong.push(format!("{}: {} then {}", case.name, once.content.len(), again.content.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A browser's view: the same document but for the links, which lead where they led, and the one pixel.
#[test]
fn the_document_is_the_same_but_for_links_and_pixel() {
    let (mut documents, mut wrong) = (0, vec![]);
    for case in cases() {
        let before = without_our_fields(&case.submitted);
        let after = rewritten(&case);
        if !after.is_tracked() && !after.history {
            assert!(after.content == before, "{}: nothing was done and something changed", case.name);
            continue;
        }
        if SLOW_FOR_THE_ORACLE.contains(&case.name.as_str()) {
            continue;
        }
        let (old, new) = (mime::locate(&before), mime::locate(&after.content));
        for (was, is) in old.html.iter().zip(&new.html) {
            let charset = was.charset.as_deref().unwrap_or("utf-8");
            let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(encoding_rs::UTF_8);
            let text = |octets: &[u8], part: &mime::TextPart| {
                let decoded = mime::decode(&octets[part.body.clone()], part.encoding).unwrap().octets;
                encoding.decode(&decoded).0.into_owned()
            };
            documents += 1;
            let reading = Reading { encoding, ours: &Ours, soup: false };
            if let Err(why) = reading.compare(&text(&before, was), &text(&after.content, is)) {
                wrong.push(format!("{}: {why}", case.name));
            }
        }
    }
    println!("{documents} documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// html5ever takes a square of their size; the octets of these are compared all the same.
const SLOW_FOR_THE_ORACLE: [&str; 2] = ["attributes_20000_on_one_tag", "nested_tags_20000"];
