use verdict::{Confidence, Judgement, Trust, Verdict};

/// Nothing changes for anybody, whatever version of the rules says so.
pub(super) fn same(one: &Judgement, other: &Judgement) -> bool {
    one.verdict == other.verdict
        && one.confidence == other.confidence
        && one.reasons == other.reasons
        && one.trust == other.trust
}

/// What arrives later may tell a machine, but takes a person back only for a reason that is one: a burst, a hidden
/// link, certainty, or that it was the sender or may have been (VERDICTS.md section 9, later pass c).
pub(super) fn may_replace(current: Option<&Judgement>, after: &Judgement) -> bool {
    let Some(current) = current else { return true };
    let telling = ["burst", "burst_source", "honeypot_link", "honeypot_source", "shared_network"];
    current.verdict != Verdict::Human
        || after.verdict.counts_as_person()
        || after.verdict == Verdict::Oneself
        || after.confidence == Confidence::Certain
        || after.reasons.iter().any(|reason| telling.contains(&reason.as_str()))
}

/// Who at the same place followed a link by the same program was a person, so the open was that person's.
pub(super) fn clicked_later(open: Judgement) -> Judgement {
    // The sender and the recipient may share the place, and a click does not tell which of them it was either.
    if open.verdict != Verdict::Unknown || open.reasons.iter().any(|reason| reason == "shared_network") {
        return open;
    }
    Judgement {
        verdict: Verdict::Human,
        confidence: Confidence::Probable,
        reasons: std::iter::once("later_click".to_owned()).chain(open.reasons).collect(),
        trust: Trust { time: true, place: false, device: true },
        rules: open.rules,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: Verdict, confidence: Confidence, reason: &str) -> Judgement {
        Judgement {
            verdict,
            confidence,
            reasons: vec![reason.to_owned()],
            trust: Trust::default(),
            rules: "1".to_owned(),
        }
    }

    #[test]
    fn a_person_is_taken_back_only_for_a_good_reason() {
        use Confidence::{Certain, Probable, Weak};
        let human = judged(Verdict::Human, Probable, "browser");
        for (after, may) in [
            (judged(Verdict::Scanner, Probable, "burst_source"), true),
            (judged(Verdict::Scanner, Certain, "burst"), true),
            (judged(Verdict::Scanner, Certain, "before_accept"), true),
            (judged(Verdict::Scanner, Probable, "cross_recipient"), false),
            (judged(Verdict::Unknown, Weak, "undecided"), false),
            (judged(Verdict::Unknown, Weak, "shared_network"), true),
            (judged(Verdict::Oneself, Probable, "sender_network"), true),
            (judged(Verdict::Human, Certain, "seen_before_human"), true),
        ] {
            assert_eq!(may_replace(Some(&human), &after), may, "{after:?}");
            assert!(may_replace(Some(&judged(Verdict::Unknown, Weak, "undecided")), &after));
            assert!(may_replace(None, &after));
        }
    }

    #[test]
    fn a_click_tells_who_opened() {
        let after = clicked_later(judged(Verdict::Unknown, Confidence::Weak, "undecided"));
        assert_eq!(
            (after.verdict, &after.reasons[..]),
            (Verdict::Human, &["later_click".into(), "undecided".into()][..])
        );
        for other in [
            judged(Verdict::Unknown, Confidence::Weak, "shared_network"),
            judged(Verdict::Scanner, Confidence::Weak, "burst_source"),
            judged(Verdict::Prefetch, Confidence::Certain, "apple_mpp"),
        ] {
            assert_eq!(clicked_later(other.clone()), other);
        }
    }
}
