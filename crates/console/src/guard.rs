use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets in only what this computer's own browser asks of this very page, and sets the page's headers.
///
/// The demo has no login, so two things keep other web pages out: the Host must be a loopback name
/// (DNS rebinding), and a request that changes something must come from the page itself.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    if !is_loopback_host(request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "This page is for this computer only.\n").into_response();
    }
    if request.method() == Method::POST && !is_same_origin(request.headers()) {
        return (StatusCode::FORBIDDEN, "This request came from another page.\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}

fn is_loopback_host(headers: &HeaderMap) -> bool {
    // Two of them (RFC 9112 §3.2 forbids it) would let each reader believe another.
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
    matches!(name, "127.0.0.1" | "localhost" | "[::1]")
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match text(HeaderName::from_static("sec-fetch-site")) {
        Some(site) => site == "same-origin",
        None => match (text(header::ORIGIN), text(header::HOST)) {
            (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_loopback_names_are_hosts() {
        for (host, good) in [
            ("127.0.0.1:8080", true),
            ("localhost", true),
            ("[::1]:8080", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_loopback_host(&headers(&[("host", host)])), good, "{host}");
        }
        assert!(!is_loopback_host(&HeaderMap::new()));
        let mut two = headers(&[("host", "localhost")]);
        two.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(!is_loopback_host(&two));
    }

    #[test]
    fn only_the_page_itself_may_change_something() {
        for (pairs, good) in [
            (vec![("sec-fetch-site", "same-origin"), ("host", "localhost:1")], true),
            (
                vec![
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://localhost:1"),
                    ("host", "localhost:1"),
                ],
                false,
            ),
            (vec![("origin", "http://localhost:1"), ("host", "localhost:1")], true),
            (vec![("origin", "http://localhost:2"), ("host", "localhost:1")], false),
            (vec![("host", "localhost:1")], false),
        ] {
            assert_eq!(is_same_origin(&headers(&pairs)), good, "{pairs:?}");
        }
    }
}
