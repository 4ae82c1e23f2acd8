/// Why something was not tracked, or not done as asked, or what else was done: on a message, a part or a link.
///
/// Each has a stable code, which is stored and sent to other programs, and a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant's sentence is its documentation")]
pub enum Reason {
    SwitchedOff,
    NotChosen,
    OptedOut,
    PlainTextOnly,
    NoHtml,
    EmptyHtml,
    Signed,
    Encrypted,
    Smime,
    PgpInline,
    DkimSigned,
    MalformedMime,
    NestedTooDeep,
    RewriteFailed,
    SelfCheckFailed,
    TooSlow,
    TooLarge,
    StoreFailed,
    UnknownChoice,
    OnlyRecipientIsSender,
    NeverTrack,
    ModeOff,
    ModeHygiene,
    RecipientRefused,
    OneCopyForAll,
    UnsubscribeAdded,
    UnsubscribeOwn,
    UnsubscribeShared,
    UnsubscribeNoHeader,
    RecipientSuppressed,
    Attachment,
    AttachedMessage,
    UnknownTransferEncoding,
    SeveralTransferEncodings,
    Undecodable,
    CharsetNotAsciiCompatible,
    UnknownCharset,
    BoundaryInLine,
    LineTooLong,
    HtmlNotFollowed,
    Amp,
    Calendar,
    Scheme,
    Fragment,
    Relative,
    Placeholder,
    Unsubscribe,
    DataWaxsealOff,
    TextIsUrl,
    OneTime,
    AlreadyTracked,
    TooLong,
    UnparsableUrl,
    Userinfo,
    EmptyHref,
    Excluded,
    AppLink,
    LinksNotChosen,
}

use Reason as R;

const TABLE: &[(Reason, &str, &str)] = &[
    // On a message.
    (R::SwitchedOff, "switched_off", "Tracking is switched off for this relay."),
    (R::NotChosen, "not_chosen", "The sender's defaults track nothing."),
    (R::OptedOut, "opted_out", "The sender asked for no tracking of this message."),
    (
        R::PlainTextOnly,
        "plain_text_only",
        "The message is plain text: there is nowhere to put a pixel, and its links stay as they are.",
    ),
    (R::NoHtml, "no_html", "The message shows no HTML part."),
    (R::EmptyHtml, "empty_html", "The HTML part shows nothing, so it gets no pixel."),
    (R::Signed, "signed", "The message is signed; any change would break the signature."),
    (R::Encrypted, "encrypted", "The message is encrypted."),
    (R::Smime, "smime", "The message is an S/MIME object; any change would break it."),
    (R::PgpInline, "pgp_inline", "The message holds PGP text; any change would break it."),
    (
        R::DkimSigned,
        "dkim_signed",
        "The message was already DKIM-signed; any change would break the signature.",
    ),
    (R::MalformedMime, "malformed_mime", "The MIME structure is not sound enough to change anything in it."),
    (R::NestedTooDeep, "nested_too_deep", "The parts are nested too deep."),
    (R::RewriteFailed, "rewrite_failed", "Rewriting failed, so the message went out as it came."),
    (
        R::SelfCheckFailed,
        "self_check_failed",
        "The rewritten part did not read back as intended, so the original went out.",
    ),
    (R::TooSlow, "too_slow", "Rewriting took too long, so the message went out as it came."),
    (R::TooLarge, "too_large", "The message is too large to rewrite."),
    (R::StoreFailed, "store_failed", "The store did not take the record, so the message went out untracked."),
    (
        R::UnknownChoice,
        "unknown_choice",
        "The tracking header's value was not understood; the sender's default was used.",
    ),
    (R::OnlyRecipientIsSender, "only_recipient_is_sender", "The only recipient is the sender."),
    (R::NeverTrack, "never_track", "A recipient is on the never-track list."),
    (R::ModeOff, "mode_off", "The operator's privacy rules keep nothing about this sender or a recipient."),
    (
        R::ModeHygiene,
        "mode_hygiene",
        "The operator's privacy rules keep only the date of the last open here, so links stay as they are.",
    ),
    (R::RecipientRefused, "recipient_refused", "A recipient does not want to be tracked."),
    (
        R::OneCopyForAll,
        "one_copy_for_all",
        "There are too many recipients for a copy each, so nobody can tell which of them opened it.",
    ),
    (
        R::UnsubscribeAdded,
        "unsubscribe_added",
        "One-click unsubscribe was added on top of the message; nothing else was changed for it.",
    ),
    (
        R::UnsubscribeOwn,
        "unsubscribe_own",
        "The message has a List-Unsubscribe of its own, so none was added.",
    ),
    (
        R::UnsubscribeShared,
        "unsubscribe_shared",
        "One copy goes to several recipients, so nobody could tell who unsubscribes, and no link for it was added.",
    ),
    (
        R::UnsubscribeNoHeader,
        "unsubscribe_no_header",
        "The message has no header on which an unsubscribe link could stand.",
    ),
    (
        R::RecipientSuppressed,
        "recipient_suppressed",
        "A recipient is to get no mail of this sender's, and was left out.",
    ),
    // On a part.
    (R::Attachment, "attachment", "The part is an attachment."),
    (R::AttachedMessage, "attached_message", "The part belongs to an attached message."),
    (
        R::UnknownTransferEncoding,
        "unknown_transfer_encoding",
        "The part's content-transfer-encoding is not a known one.",
    ),
    (
        R::SeveralTransferEncodings,
        "several_transfer_encodings",
        "The part has more than one Content-Transfer-Encoding field.",
    ),
    (R::Undecodable, "undecodable", "The part does not decode."),
    (
        R::CharsetNotAsciiCompatible,
        "charset_not_ascii_compatible",
        "The part's charset does not keep ASCII octets as they are.",
    ),
    (R::UnknownCharset, "unknown_charset", "The part's charset is not a known one."),
    (R::BoundaryInLine, "boundary_in_line", "The part does not end at a line of its own."),
    (R::LineTooLong, "line_too_long", "A line would have grown over 998 octets."),
    (R::HtmlNotFollowed, "html_not_followed", "The HTML could not be followed without doubt."),
    (R::Amp, "amp", "The part is AMP."),
    (R::Calendar, "calendar", "The part is a calendar entry."),
    // On a link.
    (R::Scheme, "scheme", "Not an http or https link."),
    (R::Fragment, "fragment", "The link stays within the message."),
    (R::Relative, "relative", "The link names no host."),
    (R::Placeholder, "placeholder", "The link is a template's placeholder."),
    (R::Unsubscribe, "unsubscribe", "The link is for unsubscribing."),
    (R::DataWaxsealOff, "data_waxseal_off", "The sender switched tracking of this link off."),
    (R::TextIsUrl, "text_is_url", "The link's text is itself a URL; mail programs warn when the two differ."),
    (R::OneTime, "one_time", "The link looks like it works only once."),
    (R::AlreadyTracked, "already_tracked", "The link is already a tracked one."),
    (R::TooLong, "too_long", "The link is too long to carry inside another."),
    (R::UnparsableUrl, "unparsable_url", "The link is not a URL a browser would follow."),
    (R::Userinfo, "userinfo", "The link holds a user name or password."),
    (R::EmptyHref, "empty_href", "The link is empty."),
    (R::Excluded, "excluded", "The operator keeps links to this address as they are."),
    (R::AppLink, "app_link", "The link opens an app; behind a redirect it would open a browser."),
    (R::LinksNotChosen, "links_not_chosen", "Links are not tracked in this message."),
];

impl Reason {
    /// The stable code: lower case, words joined by underscores.
    pub fn code(self) -> &'static str {
        self.row().1
    }

    /// One sentence for people.
    pub fn sentence(self) -> &'static str {
        self.row().2
    }

    /// The reason with this code, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// Every reason, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str) {
        // The rows stand in the order of the variants; a test holds the two together.
        &TABLE[self as usize]
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_variants() {
        for (at, (reason, code, sentence)) in TABLE.iter().enumerate() {
            assert_eq!(*reason as usize, at);
            assert_eq!(Reason::from_code(code), Some(*reason));
            assert!(sentence.ends_with('.'), "{code}");
        }
        assert_eq!(TABLE.len(), Reason::LinksNotChosen as usize + 1);
    }
}
