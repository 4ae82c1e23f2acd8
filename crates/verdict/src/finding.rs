use crate::reading::Section;
use crate::{Confidence, Verdict};

/// What one stage found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) confidence: Confidence,
    /// The deciding code first.
    pub(crate) reasons: Vec<String>,
}

/// A verdict a rule gives when it fits.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    verdict: Verdict,
    confidence: Confidence,
    reason: String,
}

impl Outcome {
    /// Reads `reason`, `verdict` and `confidence`, all required.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        for key in ["verdict", "confidence"] {
            if !section.has(key) {
                section.wrong(key, "is missing");
            }
        }
        Self {
            reason: section.required("reason"),
            verdict: section.code("verdict", Verdict::from_code).unwrap_or(Verdict::Unknown),
            confidence: section.code("confidence", Confidence::from_code).unwrap_or(Confidence::Weak),
        }
    }

    /// The same in an inline table of its own.
    pub(crate) fn read_in(section: &Section<'_>, key: &'static str) -> Option<Self> {
        let inner = section.optional_section(key)?;
        let outcome = Self::read(&inner);
        inner.finish();
        Some(outcome)
    }

    pub(crate) fn finding(&self) -> Finding {
        Finding { verdict: self.verdict, confidence: self.confidence, reasons: vec![self.reason.clone()] }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

impl Finding {
    pub(crate) fn new(verdict: Verdict, confidence: Confidence, reason: &str) -> Self {
        Self { verdict, confidence, reasons: vec![reason.to_owned()] }
    }

    /// A later stage found the same: its reasons join, and the surer of the two counts.
    pub(crate) fn support(&mut self, other: Self) {
        self.confidence = self.confidence.min(other.confidence);
        for reason in other.reasons {
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
    }
}
