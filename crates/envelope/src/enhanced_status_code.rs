use std::fmt;

/// An enhanced status code, `class.subject.detail` (RFC 3463 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EnhancedStatusCode {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatusCode {
    /// `None` unless the class is 2, 4 or 5 and the others have at most three digits.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Option<Self> {
        if matches!(class, 2 | 4 | 5) && subject <= 999 && detail <= 999 {
            Some(Self { class, subject, detail })
        } else {
            None
        }
    }

    /// Parses `5.7.1`; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('.').map(|field| {
            let digits = !field.is_empty() && field.len() <= 3 && field.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| field.parse::<u16>().ok()).flatten()
        });
        let (class, subject, detail) = (fields.next()??, fields.next()??, fields.next()??);
        if fields.next().is_some() {
            return None;
        }
        Self::new(u8::try_from(class).ok()?, subject, detail)
    }

    /// 2, 4 or 5: agrees with the first digit of the reply code.
    pub const fn class(self) -> u8 {
        self.class
    }

    /// The second number: 1 is about addresses, 2 about mailboxes, 7 about policy.
    pub const fn subject(self) -> u16 {
        self.subject
    }

    /// The third number.
    pub const fn detail(self) -> u16 {
        self.detail
    }
}

impl fmt::Display for EnhancedStatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_codes() {
        for (text, good) in [
            ("2.0.0", true),
            ("5.7.26", true),
            ("4.999.999", true),
            ("3.0.0", false),
            ("5.7", false),
            ("5.7.1.", false),
            ("5..1", false),
            ("5.7.1000", false),
            ("5.+7.1", false),
            ("", false),
        ] {
            assert_eq!(
                EnhancedStatusCode::parse(text).map(|c| c.to_string()).as_deref(),
                good.then_some(text)
            );
        }
    }
}
