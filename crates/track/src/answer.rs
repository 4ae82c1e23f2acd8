use std::time::Duration;

use envelope::Timestamp;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, PRAGMA,
    REFERRER_POLICY, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use seal::VerifiedTarget;

use crate::page;

/// What leaves. hyper adds `Content-Length` and `Date`, and leaves the body out for HEAD.
pub(crate) type Answer = Response<Full<Bytes>>;

/// One transparent pixel, `GIF89a`, 43 octets. The popular one of 42 lacks the end code of its LZW data.
const GIF: &[u8; 43] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00\x21\xf9\x04\x01\x00\x00\x00\x00\
                         \x2c\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00\x3b";

const HTML: &str = "text/html; charset=utf-8";
const HOUR: &str = "public, max-age=3600";
/// RFC 9116 §2.5.5 recommends less than a year. It is computed anew each time, so it never runs out.
const SECURITY_TXT_HOLDS: Duration = Duration::from_hours(24 * 90);
const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The pixel. No `ETag` and no Last-Modified: a 304 would hide that it was opened again.
pub(crate) fn pixel() -> Answer {
    let mut answer = answer(StatusCode::OK, "image/gif", Bytes::from_static(GIF));
    set(&mut answer, CACHE_CONTROL, "no-store, no-cache, must-revalidate, private, max-age=0");
    set(&mut answer, PRAGMA, "no-cache");
    // Webmail shows it on a page of another origin.
    set(&mut answer, RESOURCE_POLICY, "cross-origin");
    answer
}

/// To the link's target. 302: a 301 or 308 would be kept and hide later clicks, a 307 would send a body on.
pub(crate) fn redirect(target: &VerifiedTarget) -> Answer {
    // A verified target is printable ASCII, so this never fails; if it did, leading nowhere is right.
    let Ok(location) = HeaderValue::from_str(target.as_str()) else { return not_found() };
    let mut answer = html(StatusCode::FOUND, Bytes::from(page::moved(target.as_str())));
    answer.headers_mut().insert(LOCATION, location);
    answer
}

/// For everything that is not ours, or not any more what it was when we signed it.
pub(crate) fn not_found() -> Answer {
    html(StatusCode::NOT_FOUND, Bytes::from_static(page::NOT_FOUND.as_bytes()))
}

/// For a link that we signed and whose sender or operator took it back.
pub(crate) fn revoked() -> Answer {
    html(StatusCode::GONE, Bytes::from_static(page::REVOKED.as_bytes()))
}

/// Asks whether one really wants to unsubscribe: the button is a POST.
pub(crate) fn unsubscribe(sender: Option<&str>) -> Answer {
    let mut answer = html(StatusCode::OK, Bytes::from(page::unsubscribe(sender)));
    // Ours is the one page with a form, and it goes back to where it came from.
    let policy = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
    set(&mut answer, CONTENT_SECURITY_POLICY, policy);
    answer
}

/// It is done, or was done before.
pub(crate) fn unsubscribed(sender: &str) -> Answer {
    html(StatusCode::OK, Bytes::from(page::unsubscribed(sender)))
}

/// It may be done later: a mail program that hears 5xx tries again (RFC 8058 §3.2 has it count 2xx as done).
pub(crate) fn not_now() -> Answer {
    let mut answer = html(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(page::NOT_NOW.as_bytes()));
    set(&mut answer, RETRY_AFTER, "300");
    answer
}

/// A POST that does not say what it wants. Not 400, which is hyper's alone: see `courteous`.
pub(crate) fn not_one_click() -> Answer {
    html(StatusCode::UNPROCESSABLE_ENTITY, Bytes::from_static(page::NOT_ONE_CLICK.as_bytes()))
}

/// A body longer than any honest one.
pub(crate) fn too_long() -> Answer {
    html(StatusCode::PAYLOAD_TOO_LARGE, Bytes::from_static(page::NOT_ONE_CLICK.as_bytes()))
}

/// A body that does not come.
pub(crate) fn too_slow() -> Answer {
    html(StatusCode::REQUEST_TIMEOUT, Bytes::from_static(page::NOT_ONE_CLICK.as_bytes()))
}

/// For methods other than GET, HEAD and POST, where those can be.
pub(crate) fn unsubscribe_wrong_method() -> Answer {
    let mut answer = wrong_method();
    set(&mut answer, ALLOW, "GET, HEAD, POST");
    answer
}

/// For methods other than GET and HEAD.
pub(crate) fn wrong_method() -> Answer {
    let mut answer = html(StatusCode::METHOD_NOT_ALLOWED, Bytes::from_static(page::WRONG_METHOD.as_bytes()));
    set(&mut answer, ALLOW, "GET, HEAD");
    answer
}

/// What this host is.
pub(crate) fn home() -> Answer {
    let mut answer = html(StatusCode::OK, Bytes::from_static(page::HOME.as_bytes()));
    set(&mut answer, CACHE_CONTROL, HOUR);
    answer
}

/// A page for recipients: with its own style sheet, and forms that lead back here.
pub(crate) fn for_recipients(status: StatusCode, page: String) -> Answer {
    let mut answer = html(status, Bytes::from(page));
    set(
        &mut answer,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    set(&mut answer, VARY, "Accept-Language");
    answer
}

/// The host's own page, which says whose it is.
pub(crate) fn about(page: String) -> Answer {
    let mut answer = for_recipients(StatusCode::OK, page);
    set(&mut answer, CACHE_CONTROL, HOUR);
    answer
}

/// How the pages for recipients look.
pub(crate) fn style() -> Answer {
    let body = Bytes::from_static(crate::recipient_words::STYLE.as_bytes());
    let mut answer = answer(StatusCode::OK, "text/css; charset=utf-8", body);
    set(&mut answer, CACHE_CONTROL, HOUR);
    answer
}

/// For methods that a recipient's page does not have.
pub(crate) fn recipient_page_wrong_method() -> Answer {
    let mut answer = wrong_method();
    set(&mut answer, ALLOW, "GET, HEAD, POST");
    answer
}

/// For crawlers.
pub(crate) fn robots() -> Answer {
    let body = Bytes::from_static(page::ROBOTS.as_bytes());
    let mut answer = answer(StatusCode::OK, "text/plain; charset=utf-8", body);
    set(&mut answer, CACHE_CONTROL, HOUR);
    answer
}

/// Whom to tell about a weakness (RFC 9116).
pub(crate) fn security_txt(contact: &str, now: Timestamp) -> Answer {
    let body = Bytes::from(page::security_txt(contact, now.plus(SECURITY_TXT_HOLDS)));
    let mut answer = answer(StatusCode::OK, "text/plain; charset=utf-8", body);
    set(&mut answer, CACHE_CONTROL, HOUR);
    answer
}

/// There is no icon, and that can be remembered.
pub(crate) fn no_icon() -> Answer {
    let mut answer = Answer::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    set(&mut answer, CACHE_CONTROL, "public, max-age=86400");
    answer
}

fn html(status: StatusCode, body: Bytes) -> Answer {
    let mut answer = answer(status, HTML, body);
    set(&mut answer, CACHE_CONTROL, "no-store");
    set(
        &mut answer,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    answer
}

fn answer(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Answer::new(Full::new(body));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE, media_type);
    set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, REFERRER_POLICY, "no-referrer");
    set(&mut answer, ROBOTS_TAG, "noindex, nofollow, noarchive");
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}
