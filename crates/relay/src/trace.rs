use envelope::{RelayId, Timestamp};

/// How the message came in: the "with" clause of RFC 3848 §2.
fn protocol(greeting: &smtp::Greeting) -> &'static str {
    match (greeting.esmtp, greeting.tls, greeting.authenticated) {
        (false, ..) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, true, false) => "ESMTPS",
        (true, false, true) => "ESMTPA",
        (true, true, true) => "ESMTPSA",
    }
}

/// Our `Received` field (RFC 5321 §4.4), folded, with CRLF at the end of each line.
///
/// Deviation: no "from" clause. It would tell every recipient the name and address of the
/// machine the sender sits at; large providers leave it out for submission as well.
pub(crate) fn received_field(
    hostname: &str,
    greeting: &smtp::Greeting,
    id: RelayId,
    at: Timestamp,
) -> Vec<u8> {
    format!(
        "Received: by {hostname} (Waxseal) with {}\r\n id {id};\r\n {}\r\n",
        protocol(greeting),
        date_time(at)
    )
    .into_bytes()
}

/// `date-time` of RFC 5322 §3.3, in UTC: `Tue, 24 Nov 2026 08:21:01 +0000`.
pub(crate) fn date_time(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = at.to_string(); // 2026-11-24T08:21:01.123Z
    // 1970-01-01 was a Thursday; rem_euclid(7) is an index into DAYS, the month of a Timestamp is 1 to 12.
    let day = usize::try_from(at.unix_millis().div_euclid(86_400_000).rem_euclid(7)).unwrap_or(0);
    let month = text.get(5..7).and_then(|m| m.parse::<usize>().ok()).unwrap_or(1);
    let field = |from, to| text.get(from..to).unwrap_or_default();
    format!(
        "{}, {} {} {} {} +0000",
        DAYS[day % 7],
        field(8, 10),
        MONTHS[(month + 11) % 12],
        field(0, 4),
        field(11, 19)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_and_the_month_have_their_names() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 +0000"),
            (1_795_508_461_123, "Tue, 24 Nov 2026 08:21:01 +0000"),
            (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 +0000"),
        ] {
            assert_eq!(date_time(Timestamp::from_unix_millis(millis)), text);
        }
    }

    #[test]
    fn no_line_of_the_field_is_long() {
        let greeting = smtp::Greeting { helo: "x".repeat(255), esmtp: true, tls: true, authenticated: true };
        let id = RelayId::new(Timestamp::from_unix_millis(0), [0; 10]);
        let field = received_field(&"h".repeat(255), &greeting, id, Timestamp::from_unix_millis(0));
        assert!(field.split(|b| *b == b'\n').all(|line| line.len() < 998));
        assert!(field.starts_with(b"Received: by h") && field.ends_with(b"+0000\r\n"));
    }
}
