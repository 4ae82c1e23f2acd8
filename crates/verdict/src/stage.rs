/// The steps of a judgement, in the order of VERDICTS.md section 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Oneself,
    Protocol,
    Honeypot,
    MailFilterNet,
    ProxyUa,
    PreviewUa,
    InAppAllow,
    ScannerUa,
    Burst,
    CrossRecipient,
    Timing,
    Scored,
}

const CODES: &[(Stage, &str)] = &[
    (Stage::Oneself, "self"),
    (Stage::Protocol, "protocol"),
    (Stage::Honeypot, "honeypot"),
    (Stage::MailFilterNet, "mailfilter_net"),
    (Stage::ProxyUa, "proxy_ua"),
    (Stage::PreviewUa, "preview_ua"),
    (Stage::InAppAllow, "inapp_allow"),
    (Stage::ScannerUa, "scanner_ua"),
    (Stage::Burst, "burst"),
    (Stage::CrossRecipient, "cross_recipient"),
    (Stage::Timing, "timing"),
    (Stage::Scored, "scored"),
];

impl Stage {
    pub(crate) fn from_code(code: &str) -> Option<Self> {
        CODES.iter().find(|(_, known)| *known == code).map(|(stage, _)| *stage)
    }

    pub(crate) fn is_about_agents(self) -> bool {
        matches!(self, Self::ProxyUa | Self::PreviewUa | Self::InAppAllow | Self::ScannerUa)
    }
}
