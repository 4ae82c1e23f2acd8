use crate::stems::Stems;

/// In a path: links of this kind work once, or sign somebody in.
const IN_PATH: Stems = Stems::new(&[
    "reset-password",
    "reset_password",
    "resetpassword",
    "password-reset",
    "password_reset",
    "passwordreset",
    "password/reset",
    "reset/password",
    "forgot-password/",
    "set-password",
    "set_password",
    "setpassword",
    "new-password",
    "passwort-zuruecksetzen",
    "passwort/zuruecksetzen",
    "passwort-vergessen/",
    "magic-link",
    "magic_link",
    "magiclink",
    "auth/magic/",
    "login/magic/",
    "signin/magic/",
    "sign-in/magic/",
    "login-link",
    "login_link",
    "signin-link",
    "sign-in-link",
    "passwordless/",
    "one-time-code",
    "one-time-link",
    "one-time-login",
    "one-time-pass",
    "one-time-secret",
    "one-time-token",
    "one_time_code",
    "one_time_link",
    "one_time_login",
    "one_time_pass",
    "one_time_token",
    "onetimecode",
    "onetimelink",
    "onetimepass",
    "onetimesecret",
    "onetimetoken",
    "verify-email",
    "verify_email",
    "verifyemail",
    "email-verif",
    "email_verif",
    "email/verif",
    "verify/email",
    "confirm-email",
    "confirm_email",
    "confirmemail",
    "email-confirm",
    "email_confirm",
    "email/confirm",
    "confirm-account",
    "account-confirm",
    "confirm-registration",
    "confirm-subscription",
    "subscription/confirm",
    "activate-account",
    "account-activat",
    "activate_account",
    "account/activat",
    "user/activat",
    "accept-invit",
    "accept_invit",
    "invite/accept",
    "invitation/accept",
    "invitations/accept",
    "invites/accept",
    "/__/auth/action",
    // Where a sign-in by another service begins and ends
    "/oauth/authorize",
    "/oauth2/authorize",
    "/oauth2/v2.0/authorize",
    "/saml/acs",
    "/saml2/acs",
]);

/// Keys of a query that only such links have.
const KEYS: &[&str] = &[
    "otp",
    "otc",
    "reset_password_token",
    "reset_token",
    "resettoken",
    "password_token",
    "confirmation_token",
    "confirmationtoken",
    "verification_token",
    "verificationtoken",
    "verify_token",
    "activation_token",
    "activation_key",
    "activation_code",
    "invitation_token",
    "invite_token",
    "login_token",
    "logintoken",
    "magic_token",
    "magic_link_token",
    "oobcode",
    "signin_token",
    "unlock_token",
    "email_token",
    "one_time_token",
    "onetimetoken",
    "samlrequest",
    "samlresponse",
];

/// Words of a path that mean such a link when the query also has one of [`TICKETS`].
const WORDS: &[&str] = &[
    "verify",
    "verification",
    "verifications",
    "confirm",
    "confirmation",
    "confirmations",
    "activate",
    "activation",
    "reset",
    "login",
    "signin",
    "logon",
    "auth",
    "authenticate",
    "sso",
    "validate",
    "validation",
    "invite",
    "invitation",
    "invitations",
    "recover",
    "recovery",
    "unlock",
    "callback",
    "password",
    "passwords",
    "magic",
    "bestaetigen",
    "bestaetigung",
];

const TICKETS: &[&str] = &[
    "token",
    "code",
    "key",
    "ticket",
    "nonce",
    "hash",
    "secret",
    "t",
    "confirmation",
    "auth",
    "jwt",
    "signature",
];

/// A shorter value is a campaign's code or a page's number.
const MIN_TICKET_OCTETS: usize = 8;

/// Does a URL, of which this is what follows the host, in lower case, look like it works once, or signs somebody in?
pub(crate) fn is_one_time(after_host: &str) -> bool {
    let (place, fragment) = after_host.split_once('#').unwrap_or((after_host, ""));
    let (path, query) = place.split_once('?').unwrap_or((place, ""));
    // Pages that route themselves: `/#/reset?token=…`.
    let (route, more) = fragment.split_once('?').unwrap_or(("", fragment));
    if IN_PATH.are_in(path) || IN_PATH.are_in(route) {
        return true;
    }
    let mut ticket = false;
    for pair in query.split('&').chain(more.split('&')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if KEYS.contains(&key) && !value.is_empty() {
            return true;
        }
        ticket |= TICKETS.contains(&key) && value.len() >= MIN_TICKET_OCTETS;
    }
    let mut words = path.split(NO_WORD).chain(route.split(NO_WORD));
    ticket && words.any(|word| WORDS.contains(&word))
}

const NO_WORD: fn(char) -> bool = |c| !c.is_ascii_alphanumeric();

#[cfg(test)]
mod tests {
    use super::*;

    fn after_host(url: &str) -> &str {
        let host = &url["https://".len()..];
        &host[host.find('/').unwrap_or(host.len())..]
    }

    #[test]
    fn links_that_work_once() {
        for url in [
            "https://example.com/reset-password/abc",
            "https://example.com/users/password/reset?x=1",
            "https://example.com/account/passwordreset",
            "https://example.com/auth/magic-link?t=1",
            "https://example.com/verify-email/abc",
            "https://example.com/email-verification?id=5",
            "https://example.com/verify?token=abcdef123456",
            "https://example.com/users/confirmation?confirmation_token=abc",
            "https://example.com/users/password/edit?reset_password_token=abc",
            "https://example.com/?otp=123456",
            "https://example.com/login?token=eyjhbgcioijiuzi1nij9",
            "https://example.com/invite/accept/abc",
            "https://x.firebaseapp.com/__/auth/action?mode=signin&oobcode=abc",
            "https://example.com/one-time-code/abc",
            "https://example.com/onetimesecret/abc",
            "https://example.com/auth/magic/abcdef",
            "https://login.example.com/oauth2/authorize?client_id=3&response_type=code",
            "https://accounts.example.com/saml/acs?x",
            "https://accounts.example.com/?samlresponse=phnhbww",
            "https://example.com/sso?ticket=st-1234567890",
            "https://example.com/#/reset?token=abcdef123456",
            "https://example.com/confirm-subscription/abc",
            "https://example.com/api/auth/callback/email?token=abcdef12",
        ] {
            assert!(is_one_time(after_host(url)), "{url}");
        }
        for url in [
            "https://example.com/",
            "https://example.com",
            "https://example.com/reset-your-expectations",
            "https://example.com/blog/how-to-verify-sources",
            "https://example.com/gift?code=summer2026now",
            "https://example.com/search?key=12345678",
            "https://example.com/login",
            "https://example.com/login?code=spring",
            "https://example.com/pricing?t=12345678",
            "https://example.com/confirm?page=2",
            "https://example.com/passwords",
            "https://example.com/blog/magic-links-explained-not?x",
            "https://example.com/donate/one-time",
            "https://example.com/one-time-offer?t=12345678",
            "https://example.com/shop/onetime-deal",
            "https://example.com/games/magic/boosters",
            "https://example.com/blog/going-passwordless",
            "https://example.com/blog/oauth-explained",
            "https://example.com/sign/documents",
            "https://otp.example.com/",
            "https://example.com/docs/tokens",
            "https://example.com/verification",
            "https://example.com/?token=abcdef123456789",
        ] {
            // A page about magic links is taken for one: better left alone than used up.
            assert_eq!(is_one_time(after_host(url)), url.contains("magic-link"), "{url}");
        }
    }
}
