//! The page's files. Nothing is loaded from anywhere else, whatever a name in telemetry contains.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};

use super::http_form;
use crate::{console::Page, incidents::control::Fault, pipeline::listener::Body};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The file at `path`.
pub fn answer(pages: &[Page], method: &Method, path: &str) -> Response<Body> {
    if *method != Method::GET && *method != Method::HEAD {
        let mut response = http_form::refuse(&Fault::unimplemented("pages can only be read".to_owned()).into());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let Some(page) = pages.iter().find(|page| page.path == path) else {
        return http_form::refuse(&Fault::not_found("there is no such page; the API is at /api/v1/".to_owned()).into());
    };
    let body = if *method == Method::HEAD { Bytes::new() } else { Bytes::from_static(page.body) };
    let mut response = Response::new(Full::new(body).boxed_unsync());
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, page.media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // A new version of the gateway has a new page.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(name, HeaderValue::from_static("same-origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: &[Page] = &[Page { path: "/", media_type: "text/html; charset=utf-8", body: b"<!doctype html>" }];

    #[test]
    fn files_are_served_with_a_strict_policy_and_nothing_else_is() {
        let page = answer(PAGES, &Method::GET, "/");
        assert_eq!(page.status(), 200);
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        #[rustfmt::skip]
        let table = [
            (Method::HEAD, "/", 200),
            (Method::GET, "/../etc/passwd", 404),
            (Method::GET, "//", 404),
            (Method::POST, "/", 405),
        ];
        for (method, path, status) in table {
            assert_eq!(answer(PAGES, &method, path).status(), status, "{method} {path}");
        }
    }
}
