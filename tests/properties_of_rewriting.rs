//! What rewriting may do to a mail, over mails that are made up: every structure, encoding, charset and way to write HTML.
//!
//! Each is put before two judges that share no code with the rewriting, nor with each other: the fuzz target `rewrite` and
//! `harness/identity.rs`; and before html5ever, which must see the same document. The same mails are made each time;
//! `PROPTEST_CASES=20000 PROPTEST_RNG_SEED=1 cargo test --release --test properties_of_rewriting` makes others.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::duplicate_mod,
    clippy::naive_bytecount,
    clippy::type_complexity,
    clippy::doc_markdown,
    reason = "the targets are shared with fuzz/"
)]

mod harness;
#[path = "../fuzz/src/targets/mod.rs"]
#[allow(dead_code, reason = "one of them is used")]
mod targets;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use encoding_rs::Encoding;
use harness::collection::{BASE_URL, Ours, tracking, without_our_fields};
use harness::document::Reading;
use harness::identity::compare;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};

/// Debug builds are slow: so many take half a minute on two slow cores.
const MAILS: u32 = 2_000;

#[test]
fn nothing_but_links_and_one_pixel() {
    let (mut config, defaults) = (Config::default(), Config::default());
    config.cases = if std::env::var_os("PROPTEST_CASES").is_some() { defaults.cases } else { MAILS };
    config.rng_algorithm = RngAlgorithm::ChaCha;
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0x5ea1);
    }
    config.failure_persistence = None;
    config.max_shrink_iters = 1_500;
    let seen = Seen::default();
    // While a mail is made smaller the targets fail a thousand times.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = TestRunner::new(config.clone()).run(&mail(), |mail| check(&mail, &seen));
    std::panic::set_hook(hook);
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let shares = [&seen.tracked, &seen.pixels, &seen.links].map(|count| count.load(Relaxed));
    println!("{} mails; tracked, pixels, links: {shares:?}", config.cases);
    // Else this test would prove nothing.
    let enough = usize::try_from(config.cases).unwrap() / 4;
    assert!(shares.iter().all(|count| *count > enough), "{shares:?}");
}

#[derive(Default)]
struct Seen {
    tracked: AtomicUsize,
    pixels: AtomicUsize,
    links: AtomicUsize,
}

fn check(mail: &Mail, seen: &Seen) -> Result<(), TestCaseError> {
    let submitted = mail.write();
    let fail = |why: String| TestCaseError::fail(format!("{why}\n{}", String::from_utf8_lossy(&submitted)));

    // Everything wished for; the same with text parts, and signatures taken off.
    for choices in [b'C', b'w'] {
        let input = [&[choices], submitted.as_slice()].concat();
        if let Err(panic) = std::panic::catch_unwind(|| targets::rewrite(&input)) {
            let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            return Err(fail(format!("fuzz/src/targets/rewrite.rs, choices {}: {why}", char::from(choices))));
        }
    }

    let before = without_our_fields(&submitted);
    let after = relay::rewrite(&before, &tracking(&submitted));
    let handed_on = [b"Received: by test\r\n", after.content.as_slice()].concat();
    let fail = |why: String| fail(format!("{why}\n{}\n--- from", String::from_utf8_lossy(&after.content)));
    let changes = compare(&submitted, &handed_on, BASE_URL).map_err(fail)?;
    let done = (usize::from(after.pixel), after.links_tracked());
    prop_assert_eq!((changes.pixels.len(), changes.links.len()), done);

    let (old, new) = (mime::locate(&before), mime::locate(&after.content));
    prop_assert_eq!(old.html.len(), new.html.len());
    for (was, is) in old.html.iter().zip(&new.html) {
        let label = was.charset.clone().unwrap_or_else(|| "utf-8".into());
        let Some(encoding) = Encoding::for_label(label.as_bytes()) else { continue };
        let text = |octets: &[u8], part: &mime::TextPart| {
            let decoded = mime::decode(&octets[part.body.clone()], part.encoding).unwrap().octets;
            encoding.decode(&decoded).0.into_owned()
        };
        let reading = Reading { encoding, ours: &Ours, soup: mail.is_soup() };
        reading.compare(&text(&before, was), &text(&after.content, is)).map_err(fail)?;
    }
    seen.tracked.fetch_add(usize::from(after.is_tracked()), Relaxed);
    seen.pixels.fetch_add(done.0, Relaxed);
    seen.links.fetch_add(done.1, Relaxed);
    Ok(())
}

/// A whole mail.
#[derive(Clone, Debug)]
struct Mail {
    /// Fields that a mail program or the sender might add.
    fields: Vec<&'static str>,
    part: Part,
    /// Outer boundaries begin inner ones, or the other way round.
    boundary: &'static str,
    ends_in_line_end: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Text { html: bool, body: Html, charset: &'static str, encoding: TransferEncoding, header: &'static str },
    File { header: &'static str, body: &'static str },
    Multipart { subtype: &'static str, parts: Vec<Part>, frame: Frame },
}

#[derive(Clone, Debug)]
struct Html {
    text: String,
    soup: bool,
}

/// What stands around the parts of a multipart.
#[derive(Clone, Debug)]
struct Frame {
    preamble: &'static str,
    padding: &'static str,
    epilogue: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum TransferEncoding {
    /// In so many columns; hex digits in lower case; blanks at the ends of lines; a soft break at the end.
    QuotedPrintable {
        columns: usize,
        lower: bool,
        padding: bool,
        ends_softly: bool,
    },
    /// In so many columns.
    Base64 {
        columns: usize,
    },
    None {
        field: &'static str,
    },
}

impl Mail {
    fn is_soup(&self) -> bool {
        self.part.is_soup()
    }

    fn write(&self) -> Vec<u8> {
        let mut out = b"From: <mara@example.com>\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\n and more\r\n".to_vec();
        out.extend(self.fields.concat().bytes());
        out.extend(b"MIME-version:  1.0 (odd)\r\n");
        self.part.write(self.boundary, &mut out);
        if self.ends_in_line_end {
            out.extend(b"\r\n");
        }
        out
    }
}

impl Part {
    fn is_soup(&self) -> bool {
        match self {
            Self::Text { body, .. } => body.soup,
            Self::File { .. } => false,
            Self::Multipart { parts, .. } => parts.iter().any(Self::is_soup),
        }
    }

    /// Header and body, without a line end behind.
    fn write(&self, boundary: &str, out: &mut Vec<u8>) {
        match self {
            Self::Text { html, body, charset, encoding, header } => {
                let subtype = if *html { "html" } else { "plain; format=flowed" };
                out.extend(header.replace('~', &format!("text/{subtype}")).replace('^', charset).bytes());
                let octets = match Encoding::for_label(charset.as_bytes()) {
                    Some(encoding) if encoding == encoding_rs::UTF_16LE => {
                        body.text.encode_utf16().flat_map(u16::to_le_bytes).collect()
                    }
                    Some(encoding) => encoding.encode(&body.text).0.into_owned(),
                    None => body.text.clone().into_bytes(),
                };
                encoding.write(&octets, out);
            }
            Self::File { header, body } => out.extend([*header, "\r\n", *body].concat().bytes()),
            Self::Multipart { subtype, parts, frame } => {
                let Frame { preamble, padding, epilogue } = frame;
                let mut text = String::new();
                let _ =
                    write!(text, "Content-Type: multipart/{subtype};\r\n\tboundary=\"{boundary}\"\r\n\r\n");
                out.extend(text.bytes().chain(preamble.bytes()));
                for (at, part) in parts.iter().enumerate() {
                    out.extend(format!("--{boundary}{padding}\r\n").bytes());
                    part.write(&format!("{boundary}{at}"), out);
                    out.extend(b"\r\n");
                }
                out.extend(format!("--{boundary}--{padding}{epilogue}").bytes());
            }
        }
    }
}

impl TransferEncoding {
    /// The field, an empty line and the body.
    fn write(self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::None { field } => {
                out.extend([field, "\r\n"].concat().bytes());
                out.extend(octets);
            }
            Self::Base64 { columns } => {
                use base64::Engine as _;
                out.extend(b"Content-Transfer-Encoding: BASE64\r\n\r\n");
                let text = base64::engine::general_purpose::STANDARD.encode(octets);
                let lines: Vec<&[u8]> = text.as_bytes().chunks(columns).collect();
                out.extend(lines.join(&b"\r\n"[..]));
            }
            Self::QuotedPrintable { columns, lower, padding, ends_softly } => {
                out.extend(b"content-transfer-encoding:\r\n quoted-printable\r\n\r\n");
                quoted_printable(octets, columns, lower, padding, out);
                if ends_softly {
                    out.extend(b"=\r\n");
                }
            }
        }
    }
}

/// As programs of all kinds write it.
fn quoted_printable(octets: &[u8], columns: usize, lower: bool, padding: bool, out: &mut Vec<u8>) {
    let mut column = 0;
    let mut at = 0;
    while at < octets.len() {
        let ends_line = |at: usize| at >= octets.len() || octets[at..].starts_with(b"\r\n");
        if ends_line(at) {
            out.extend(if padding && at % 3 == 0 { b" \t\r\n".as_slice() } else { b"\r\n" });
            (column, at) = (0, at + 2);
            continue;
        }
        let octet = octets[at];
        let literal = (octet.is_ascii_graphic() && octet != b'=') || (octet == b' ' && !ends_line(at + 1));
        let text = match (literal, lower) {
            (true, _) => char::from(octet).to_string(),
            (false, true) => format!("={octet:02x}"),
            (false, false) => format!("={octet:02X}"),
        };
        if column + text.len() >= columns {
            out.extend(b"=\r\n");
            column = 0;
        }
        out.extend(text.bytes());
        (column, at) = (column + text.len(), at + 1);
    }
}

fn mail() -> impl Strategy<Value = Mail> {
    let fields = vec(
        select(
            &[
                "X-Waxseal-Track: all\r\n",
                "x-waxseal-TRACK : links;\r\n once\r\n",
                "X-Waxseal-Tag: a\r\n\tb\r\n",
                "X-PM-TrackOpens: true\r\n",
                "List-Unsubscribe: <mailto:u@example.com>,\r\n\t<https://a.example/u?x=1&y=2>\r\n",
                "X-Long:\r\n                    folded oddly\r\n\t\r\n x\r\n",
                "To: undisclosed-recipients:;\r\n",
            ][..],
        ),
        0..3,
    );
    // None that could stand in a token by chance.
    let boundary = select(&["b.", "=_a.b", "with blank's (x)+_,-./:=?", "----=_Part", "--="][..]);
    let parts = (part(), fields, boundary, any::<bool>());
    parts.prop_map(|(part, fields, boundary, ends_in_line_end)| Mail {
        fields,
        part,
        boundary,
        ends_in_line_end,
    })
}

fn part() -> impl Strategy<Value = Part> {
    let body = prop_oneof![
        6 => letter().prop_map(|text| Html { text, soup: false }),
        2 => soup().prop_map(|text| Html { text, soup: true }),
    ];
    let charset = prop_oneof![
        4 => Just("utf-8"),
        4 => select(&[
            "iso-8859-1", "Windows-1252", "shift_jis", "iso-2022-jp", "gb18030", "koi8-r", "big5", "euc-kr", "utf-16le",
            "x-nobody-knows",
        ][..]),
    ];
    let header = prop_oneof![
        3 => Just("Content-Type: ~; charset=^\r\n"),
        3 => Just("CONTENT-TYPE:~;\r\n\tCHARSET=\"^\" ; x=\"a;b\"\r\nContent-Disposition: inline\r\n"),
        // Read in more than one way.
        1 => Just("Content-Language: en\r\nContent-type: ~ (html, they say) ; charset = ^\r\n"),
    ];
    let text = (prop::bool::weighted(0.8), body, charset, encoding(), header).prop_map(
        |(html, body, charset, encoding, header)| Part::Text { html, body, charset, encoding, header },
    );
    let file = (select(FILES), select(FILE_BODIES)).prop_map(|(header, body)| Part::File { header, body });
    prop_oneof![8 => text, 1 => file].prop_recursive(3, 8, 3, |part| {
        let subtype = select(&["mixed", "alternative", "related", "Alternative", "unheard-of", "mixed"][..]);
        let frame = (
            select(&["", "This is MIME.\r\n", "\r\n", "<a href=\"https://preamble.example/\">x</a>\r\n"][..]),
            select(&["", " \t"][..]),
            select(&["", "\r\nepilogue <a href=\"https://e.example/\">", "\r\n"][..]),
        );
        let frame = frame.prop_map(|(preamble, padding, epilogue)| Frame { preamble, padding, epilogue });
        let rare = prop_oneof![30 => subtype, 1 => select(&["signed", "encrypted", "report", "digest"][..])];
        (rare, vec(part, 1..4), frame).prop_map(|(subtype, parts, frame)| Part::Multipart {
            subtype,
            parts,
            frame,
        })
    })
}

fn encoding() -> impl Strategy<Value = TransferEncoding> {
    let quoted_printable =
        (30_usize..77, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    prop_oneof![
        4 => quoted_printable.prop_map(|(columns, lower, padding, ends_softly)| {
            TransferEncoding::QuotedPrintable { columns, lower, padding, ends_softly }
        }),
        3 => (1_usize..20).prop_map(|groups| TransferEncoding::Base64 { columns: groups * 4 }),
        1 => Just(TransferEncoding::Base64 { columns: 73 }),
        4 => select(&[
            "",
            "Content-Transfer-Encoding: 8bit\r\n",
            "Content-Transfer-Encoding: 8BIT\r\n",
            "Content-Transfer-Encoding: 7bit\r\n",
            "Content-Transfer-Encoding: binary\r\n",
            "Content-Transfer-Encoding: 8bit (really)\r\n",
            "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n",
        ][..])
        .prop_map(|field| TransferEncoding::None { field }),
    ]
}

const FILES: &[&str] = &[
    "Content-Type: text/html; name=page.html\r\nContent-Disposition: attachment; filename=page.html\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: image/png\r\nContent-ID: <i@example.com>\r\n",
    "Content-Type: text/x-amp-html\r\n",
    "Content-Type: text/calendar\r\n",
    "Content-Disposition: attachment\r\n",
];

const FILE_BODIES: &[&str] = &[
    "<html><body><a href=\"https://file.example/\">x</a></body></html>",
    "Content-Type: text/html\r\n\r\n<a href=\"https://inner.example/\">x</a>\r\n",
    "\r\n--\r\n-- \r\n--b.b\r\nhttps://file.example/\r\n",
    "",
];

/// HTML as mail programs and people write it.
fn letter() -> impl Strategy<Value = String> {
    let inline = prop_oneof![4 => link(), 3 => select(INLINE).prop_map(str::to_owned), 2 => "[ -;=?-~é山\u{20ac}]{0,90}"];
    let text = vec(inline, 0..4).prop_map(|pieces| pieces.concat());
    let block = text.prop_recursive(3, 10, 4, |inner| {
        (select(BLOCKS), vec(inner, 0..4)).prop_map(|(frame, inner)| frame.replace('~', &inner.join("\r\n")))
    });
    (select(FRAMES), vec(block, 1..4)).prop_map(|(frame, blocks)| frame.replace('~', &blocks.join("\r\n")))
}

fn link() -> impl Strategy<Value = String> {
    let url = prop_oneof![
        4 => "https?://[a-z]{1,6}\\.example(:[1-9]{2})?(/[a-zA-Z0-9.~_-]{0,9}){0,3}([?][a-z]=[a-z0-9%;+]{0,6}(&amp;[a-z]=[0-9]){0,2})?(#[a-z!/]{0,5})?",
        2 => select(URLS).prop_map(str::to_owned),
        1 => "https://a\\.example/[a-z]{60,160}",
    ];
    let attributes = (
        select(&["", " class='x > y'", " style=\"color:red\"", " data-a=b", " title=\"'\"", " Id = z "][..]),
        select(&["href", "HREF", "hReF"][..]),
        select(&["=", " = ", "=\r\n  ", "\t="][..]),
        select(&["\"", "'", ""][..]),
        select(
            &["", " target=_blank", "\r\n  rel='noopener'", " data-waxseal=\"off\"", " href=second", " "][..],
        ),
    );
    let name = prop_oneof![12 => Just("a"), 1 => Just("A"), 1 => Just("area")];
    let text = select(&["x", "<b>here</b>", "<img src=cid:a alt=''>", "a.example", "Unsubscribe", ""][..]);
    (name, attributes, url, text).prop_map(|(name, (before, href, equals, quote, after), url, text)| {
        // What cannot stand there without quotes.
        let needs = quote.is_empty() && url.contains([' ', '\'', '"', '<', '>', '\t', '\n', '`']);
        let quote = if needs || (quote == "'" && url.contains('\'')) { "\"" } else { quote };
        let end = if name == "area" { String::new() } else { format!("{text}</{name}>") };
        // `href=/>` and `href=` at a tag's end.
        format!("<{name}{before} {href}{equals}{quote}{url}{quote}{after}>{end}")
    })
}

const URLS: &[&str] = &[
    "mailto:a@b.example?subject=x&amp;body=https://x.example/",
    "tel:+1",
    "#top",
    "",
    "/relative?a=b",
    "//host.example/x",
    "{{ unsubscribe_url }}",
    "https://a.example/*|X|*",
    "https://a.example/?b=1&copy=2&lt=3&notit;&amp=4",
    "https://a.example/?&#38;&#x26;&quot;&#128;&eacute",
    "https://b\u{fc}cher.example/\u{fc}?\u{fc}=\u{e9}#\u{fc}",
    "https://\u{5c71}.example/",
    "https://me:secret@a.example/",
    "HTTPS://A.EXAMPLE:443/%7e/../x",
    " https://a.example/trimmed \t",
    "https://a.example/in\r\nside\tout",
    "http:/\\a.example\\b",
    "https://a.example/'single'",
    "https://a.example/u?x=1&amp;y=2",
    "https://a.example/reset?token=0123456789abcdef0123456789abcdef",
    "https://[::1]:8080/",
    "https://exa mple/",
    "javascript:void(0)",
    "data:text/html,<a>",
    "https://t.example.com/o/not-ours",
];

const INLINE: &[&str] = &[
    "Hello, ",
    "&nbsp;&amp;&copy;&#x20AC; &lt;a href=\"https://text.example/\"&gt;",
    "<br>",
    "<br />\r\n",
    "<b>bold <i>both</b> italic</i>",
    "<img src=\"https://img.example/a.png\" width=1>",
    "<!-- <a href=\"https://comment.example/\">x</a> </body> -->",
    "<!--[if mso]><v:roundrect href=\"https://vml.example/?a=1&amp;b=2\"></v:roundrect><![endif]-->",
    "<!--[if !mso]><!--><a href='https://else.example/'>x</a><!--<![endif]-->",
    "<svg viewBox=\"0 0 1 1\"><a href=\"https://svg.example/\"><path d=\"M0\"/></a></svg>",
    "<svg><title>t</title><desc><p>x</p></desc></svg>",
    "<math><mi>x</mi><mo>=</mo></math>",
    "<template><a href=\"https://template.example/\">x</a></template>",
    "<textarea></body><a href=\"https://area.example/\"></textarea>",
    "<style>a{content:'</body>'}</style>",
    "<script>document.write('<a href=\"https://script.example/\">')</script>",
    "<noscript><a href=\"https://noscript.example/\">x</a></noscript>",
    "<select><option>x</select>",
    "<span title='</body>'>y</span>",
    "1 < 2 > 0 & x=3D =",
    "\r\n.\r\n",
    "\r\n-- \r\n",
    "\r\n--b.--x\r\n",
    "\r\n--b. x\r\n",
    "caf\u{e9} \u{5c71}\u{5ddd} \u{2014} \u{8868}\u{793a}",
];

const BLOCKS: &[&str] = &[
    "<div>~</div>",
    "<p>~</p>",
    "<DIV STYLE='margin: 0'\r\n  CLASS=x>~</DIV>",
    "<table><tbody><tr><td>~</td><td>~</td></tr></tbody></table>",
    "<ul><li>~</li></ul>",
    "<blockquote type=\"cite\">~</blockquote>",
    "<center>~</center>",
    "<object>~</object>",
];

const FRAMES: &[&str] = &[
    "~",
    "~\r\n",
    "<html><body>~</body></html>",
    "<!DOCTYPE html>\r\n<html><head><title>t</title><style>a{}</style><base href=\"https://base.example/a/b\"></head>\r\n<body bgcolor=\"#fff\">\r\n~\r\n</body>\r\n</html>\r\n",
    "<HTML><BODY>~</BODY>\r\n</HTML> <!-- end -->\r\n",
    "<body>~",
    "<html>~</html>",
    "<div dir=\"ltr\">~</div>\r\n",
    "<html><body>~<blockquote><html><body>~</body></html></blockquote></body></html>",
    "<!--[if mso]><table><tr><td><![endif]-->~<!--[if mso]></td></tr></table><![endif]-->",
    "<html><head><meta http-equiv=\"content-type\" content=\"text/html; charset=utf-8\"></head><body>~</body></html>~",
    "\u{feff}<html><body>~</body></html>",
    "<html xmlns:v=\"urn:schemas-microsoft-com:vml\"><!-- </body> --><body lang=EN-US>~</body><!-- </body> --></html>",
];

/// Tags in any order, most of them never closed.
fn soup() -> impl Strategy<Value = String> {
    let tags = select(TAGS);
    let piece = prop_oneof![
        4 => link(),
        3 => select(INLINE).prop_map(str::to_owned),
        4 => tags.clone().prop_map(|name| format!("<{name}>")),
        3 => tags.prop_map(|name| format!("</{}>", name.split(' ').next().unwrap())),
        1 => select(ODD).prop_map(str::to_owned),
    ];
    vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

const TAGS: &[&str] = &[
    "html",
    "head",
    "body",
    "body bgcolor=x",
    "p",
    "div",
    "span",
    "b",
    "i",
    "font size=1",
    "table",
    "tr",
    "td",
    "ul",
    "li",
    "blockquote",
    "h1",
    "center",
    "pre",
    "form",
    "title",
    "style",
    "textarea",
    "template",
    "object",
    "svg",
    "math",
    "select",
];

const ODD: &[&str] = &[
    "<!--",
    "-->",
    "<!-->",
    "<![endif]-->",
    "<!DOCTYPE html>",
    "<?xml version=\"1.0\"?>",
    "</",
    "<a",
    "<a href=",
    "<a href=\"https://open.example/",
    "</body>",
    "</html>",
    "<body/>",
];
