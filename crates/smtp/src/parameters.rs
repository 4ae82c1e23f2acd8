use envelope::{Body, MailParameters};

use crate::syntax_error::SyntaxError;

/// Reads the ESMTP parameters of MAIL (RFC 5321 §4.1.2): SIZE, BODY, SMTPUTF8 and AUTH.
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
            ("SIZE" | "BODY" | "SMTPUTF8" | "AUTH", _) => return Err(SyntaxError::Parameter),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(parameters)
}

/// RCPT has no parameters here: DSN is not offered.
pub(crate) fn no_parameters(text: &str) -> Result<(), SyntaxError> {
    match words(text).next() {
        None => Ok(()),
        Some(parameter) => Err(keyword_and_value(parameter).err().unwrap_or(SyntaxError::UnknownParameter)),
    }
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
            (" RET=FULL", Err(UnknownParameter)),
            (" X-WHAT", Err(UnknownParameter)),
        ] {
            assert_eq!(mail_parameters(text), expected, "{text}");
        }
    }
}
