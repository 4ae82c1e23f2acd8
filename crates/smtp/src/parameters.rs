use envelope::{Body, MailParameters, Notify, RcptParameters, Ret};

use crate::syntax_error::SyntaxError;

/// Reads the ESMTP parameters of MAIL (RFC 5321 §4.1.2): SIZE, BODY, SMTPUTF8, AUTH, and
/// RET, ENVID (RFC 3461) and REQUIRETLS (RFC 8689).
pub(crate) fn mail_parameters(text: &str) -> Result<MailParameters, SyntaxError> {
    let mut parameters = MailParameters::default();
    let mut auth_seen = false;
    for parameter in words(text) {
        let (keyword, value) = keyword_and_value(parameter)?;
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("SIZE", Some(value)) if parameters.size.is_none() => parameters.size = Some(size(value)?),
            ("BODY", Some(value)) if parameters.body.is_none() => parameters.body = Some(body(value)?),
            ("SMTPUTF8", None) if !parameters.smtputf8 => parameters.smtputf8 = true,
            // RFC 4954 §5: who offers AUTH must take this parameter, and need not believe it.
            ("AUTH", Some(_)) if !auth_seen => auth_seen = true,
            ("RET", Some(value)) if parameters.ret.is_none() => parameters.ret = Some(ret(value)?),
            ("ENVID", Some(value)) if parameters.envid.is_none() => parameters.envid = Some(envid(value)?),
            ("REQUIRETLS", None) if !parameters.require_tls => parameters.require_tls = true,
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH" | "RET" | "ENVID" | "REQUIRETLS", _) => {
                return Err(SyntaxError::Parameter);
            }
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(parameters)
}

/// Reads the ESMTP parameters of RCPT: NOTIFY and ORCPT (RFC 3461).
pub(crate) fn rcpt_parameters(text: &str) -> Result<RcptParameters, SyntaxError> {
    let mut parameters = RcptParameters::default();
    for parameter in words(text) {
        let (keyword, value) = keyword_and_value(parameter)?;
        match (keyword.to_ascii_uppercase().as_str(), value) {
            ("NOTIFY", Some(value)) if parameters.notify.is_none() => {
                parameters.notify = Some(notify(value)?);
            }
            ("ORCPT", Some(value)) if parameters.orcpt.is_none() => parameters.orcpt = Some(orcpt(value)?),
            ("NOTIFY" | "ORCPT", _) => return Err(SyntaxError::Parameter),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(parameters)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}

fn keyword_and_value(parameter: &str) -> Result<(&str, Option<&str>), SyntaxError> {
    let (keyword, value) = match parameter.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (parameter, None),
    };
    let well_formed = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && value.is_none_or(|value| !value.is_empty() && !value.contains('='));
    if well_formed { Ok((keyword, value)) } else { Err(SyntaxError::Parameter) }
}

/// RFC 1870 §6: at most 20 digits. What does not fit into 64 bits is larger than any limit,
/// so it stays at the largest number rather than begin again from 0.
fn size(value: &str) -> Result<u64, SyntaxError> {
    if value.len() > 20 || !value.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(SyntaxError::Parameter);
    }
    Ok(value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Result<Body, SyntaxError> {
    if value.eq_ignore_ascii_case("7BIT") {
        Ok(Body::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Ok(Body::EightBitMime)
    } else {
        Err(SyntaxError::Parameter)
    }
}

fn ret(value: &str) -> Result<Ret, SyntaxError> {
    if value.eq_ignore_ascii_case("FULL") {
        Ok(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Ok(Ret::Headers)
    } else {
        Err(SyntaxError::Parameter)
    }
}

/// RFC 3461 §4.4: xtext of printable ASCII, at most 100 characters. Kept as it was written.
fn envid(value: &str) -> Result<String, SyntaxError> {
    let good = value.len() <= 100 && is_xtext(value, false);
    if good { Ok(value.to_owned()) } else { Err(SyntaxError::Parameter) }
}

/// RFC 3461 §4.1: NEVER alone, or some of the others.
fn notify(value: &str) -> Result<Notify, SyntaxError> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        let wanted = match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => &mut success,
            "FAILURE" => &mut failure,
            "DELAY" => &mut delay,
            _ => return Err(SyntaxError::Parameter),
        };
        *wanted = true;
    }
    Ok(Notify::On { success, failure, delay })
}

/// RFC 3461 §4.2: `addr-type;xtext`, at most 500 characters; with the type `utf-8` its UTF-8 may stand as it is
/// (RFC 6533 §3). Kept as it was written.
fn orcpt(value: &str) -> Result<String, SyntaxError> {
    let (kind, address) = value.split_once(';').ok_or(SyntaxError::Parameter)?;
    let is_type = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let utf8 = kind.eq_ignore_ascii_case("utf-8");
    let good = is_type && !address.is_empty() && value.chars().count() <= 500 && is_xtext(address, utf8);
    if good { Ok(value.to_owned()) } else { Err(SyntaxError::Parameter) }
}

/// RFC 3461 §4: `+` begins two hexadecimal digits in capitals. What they stand for is printable here: a line end
/// that comes back in a notification would be a line of its own there.
fn is_xtext(text: &str, utf8: bool) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let good = match c {
            '+' => {
                let mut digit =
                    || characters.next().filter(|c| matches!(c, '0'..='9' | 'A'..='F'))?.to_digit(16);
                let value = digit().and_then(|high| Some(high * 16 + digit()?));
                value.is_some_and(|value| matches!(value, 0x20..=0x7e))
            }
            '=' => false,
            c => c.is_ascii_graphic() || (utf8 && !c.is_ascii() && !c.is_control()),
        };
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_mail() {
        use SyntaxError::{Parameter, UnknownParameter};
        let known =
            |size, body, smtputf8| Ok(MailParameters { size, body, smtputf8, ..MailParameters::default() });
        for (text, expected) in [
            ("", known(None, None, false)),
            ("  SIZE=1  BODY=8bitmime ", known(Some(1), Some(Body::EightBitMime), false)),
            (" body=7BIT smtputf8", known(None, Some(Body::SevenBit), true)),
            (" SIZE=0", known(Some(0), None, false)),
            (" SIZE=99999999999999999999", known(Some(u64::MAX), None, false)),
            (" AUTH=<>", known(None, None, false)),
            (" SIZE=999999999999999999999", Err(Parameter)),
            (" SIZE", Err(Parameter)),
            (" SIZE=", Err(Parameter)),
            (" SIZE=-1", Err(Parameter)),
            (" SIZE=+1", Err(Parameter)),
            (" SIZE=1 SIZE=2", Err(Parameter)),
            (" SMTPUTF8=1", Err(Parameter)),
            (" BODY=BINARYMIME", Err(Parameter)),
            (" =1", Err(Parameter)),
            (" <b@c.example>", Err(Parameter)),
            (" RET=BODY", Err(Parameter)),
            (" RET=FULL RET=FULL", Err(Parameter)),
            (" ENVID=", Err(Parameter)),
            (" REQUIRETLS=1", Err(Parameter)),
            (" NOTIFY=NEVER", Err(UnknownParameter)),
            (" X-WHAT", Err(UnknownParameter)),
        ] {
            assert_eq!(mail_parameters(text), expected, "{text}");
        }
    }

    #[test]
    fn parameters_of_notifications() {
        let parameters = mail_parameters(" ret=hdrs ENVID=QQ314159+2B+20x REQUIRETLS").unwrap();
        assert_eq!((parameters.ret, parameters.require_tls), (Some(Ret::Headers), true));
        assert_eq!(parameters.envid.as_deref(), Some("QQ314159+2B+20x"));
        for (text, good) in [
            ("a".repeat(100), true),
            ("a".repeat(101), false),
            ("+0D+0A".to_owned(), false),
            ("+2b".to_owned(), false),
            ("+2".to_owned(), false),
            ("+".to_owned(), false),
            ("+\u{fc}0".to_owned(), false),
            ("\u{fc}".to_owned(), false),
        ] {
            assert_eq!(mail_parameters(&format!("ENVID={text}")).is_ok(), good, "{text}");
        }
        let on = |success, failure, delay| Some(Notify::On { success, failure, delay });
        for (text, expected) in [
            ("NOTIFY=never", Some((Some(Notify::Never), None))),
            ("NOTIFY=SUCCESS,failure", Some((on(true, true, false), None))),
            (
                "NOTIFY=DELAY ORCPT=rfc822;a+2Bb@c.example",
                Some((on(false, false, true), Some("rfc822;a+2Bb@c.example"))),
            ),
            ("ORCPT=utf-8;\u{fc}@c.example", Some((None, Some("utf-8;\u{fc}@c.example")))),
            ("ORCPT=utf-8;\\x{FC}@c.example", Some((None, Some("utf-8;\\x{FC}@c.example")))),
            ("ORCPT=rfc822;\u{fc}@c.example", None),
            ("ORCPT=rfc822;a+0Ab@c.example", None),
            ("ORCPT=rfc822;", None),
            ("ORCPT=;a@c.example", None),
            ("ORCPT=a@c.example", None),
            ("NOTIFY=NEVER,SUCCESS", None),
            ("NOTIFY=SUCCESS,", None),
            ("NOTIFY=", None),
            ("NOTIFY", None),
            ("NOTIFY=NEVER NOTIFY=NEVER", None),
        ] {
            let found = rcpt_parameters(text).ok();
            assert_eq!(
                found,
                expected.map(|(notify, orcpt)| RcptParameters { notify, orcpt: orcpt.map(str::to_owned) }),
                "{text}"
            );
        }
        assert!(rcpt_parameters(&format!("ORCPT=x;{}", "a".repeat(498))).is_ok());
        assert!(rcpt_parameters(&format!("ORCPT=x;{}", "a".repeat(499))).is_err());
    }
}
