//! How the queue's words stand in its tables, and in `--json`.

use envelope::{Body, ForwardPath, Mailbox, Notify, Ret, ReversePath};

use crate::{QueueState, RecipientState};

pub(crate) const SHARED: &str = "shared";
pub(crate) const EACH: &str = "each";

pub(crate) const WAITING: &str = "waiting";
pub(crate) const HELD: &str = "held";
pub(crate) const SET_ASIDE: &str = "set_aside";

impl QueueState {
    /// The stable code: `waiting`, `held`, `set_aside`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Waiting => WAITING,
            Self::Held => HELD,
            Self::SetAside(_) => SET_ASIDE,
        }
    }
}

impl RecipientState {
    /// The stable code: `waiting`, `handed_on`, `failed`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Waiting => WAITING,
            Self::HandedOn => "handed_on",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        [Self::Waiting, Self::HandedOn, Self::Failed].into_iter().find(|state| state.code() == code)
    }
}

pub(crate) fn body(body: Body) -> &'static str {
    match body {
        Body::SevenBit => "7BIT",
        Body::EightBitMime => "8BITMIME",
    }
}

pub(crate) fn body_of(text: &str) -> Option<Body> {
    [Body::SevenBit, Body::EightBitMime].into_iter().find(|known| body(*known) == text)
}

pub(crate) fn ret(ret: Ret) -> &'static str {
    match ret {
        Ret::Full => "FULL",
        Ret::Headers => "HDRS",
    }
}

pub(crate) fn ret_of(text: &str) -> Option<Ret> {
    [Ret::Full, Ret::Headers].into_iter().find(|known| ret(*known) == text)
}

/// As RFC 3461 writes it; empty where a program said that it wants none of the three.
pub(crate) fn notify(notify: Notify) -> String {
    let Notify::On { success, failure, delay } = notify else { return "NEVER".to_owned() };
    let wanted = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
    wanted.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect::<Vec<_>>().join(",")
}

pub(crate) fn notify_of(text: &str) -> Option<Notify> {
    if text == "NEVER" {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in text.split(',').filter(|word| !word.is_empty()) {
        match word {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}

pub(crate) fn reverse_path_of(text: &str) -> Option<ReversePath> {
    if text.is_empty() {
        Some(ReversePath::Null)
    } else {
        Mailbox::parse(text).ok().map(ReversePath::Mailbox)
    }
}

pub(crate) fn forward_path_of(text: &str) -> Option<ForwardPath> {
    if text.eq_ignore_ascii_case("postmaster") {
        return Some(ForwardPath::Postmaster);
    }
    Mailbox::parse(text).ok().map(ForwardPath::Mailbox)
}
