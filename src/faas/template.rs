//! Taking ids out of paths, names and log lines, so that what is one thing to a person is one key.
//!
//! `orders/8f14e45f-ceea-467f-a9d5-5f1b2c3d4e5f` becomes `orders/<id>`. The result has at most [`LIMIT`] bytes; it is
//! appended to a string the caller reuses, and made of any bytes without failing.

/// Most bytes a template has.
pub const LIMIT: usize = 256;

const ID: &str = "<id>";
const NUMBER: &str = "<n>";
const EMAIL: &str = "<email>";

/// Appends the template of `text`: runs of blanks become one, ids, numbers and e-mail addresses their placeholder.
pub fn push_text(out: &mut String, text: &str) {
    let end = out.len() + LIMIT;
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        if out.len() >= end {
            break;
        }
        let len = rest.bytes().take_while(|byte| in_token(*byte)).count();
        if let Some((token, after)) = rest.split_at_checked(len)
            && len > 0
        {
            push_token(out, token);
            rest = after;
            continue;
        }
        if first.is_whitespace() || first.is_control() {
            rest = rest.trim_start_matches(|blank: char| blank.is_whitespace() || blank.is_control());
            out.push(' ');
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    cut(out, end);
}

/// Appends the template of a URL's path, at most four segments of it: what is called, not with what.
pub fn push_path(out: &mut String, path: &str) {
    let end = out.len() + LIMIT;
    let path = path.split(['?', '#', ';']).next().unwrap_or_default();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let before = out.len();
    for segment in segments.by_ref().take(4) {
        out.push('/');
        push_text(out, segment);
        if out.len() >= end {
            break;
        }
    }
    if segments.next().is_some() {
        out.push_str("/…");
    }
    if out.len() == before {
        out.push('/');
    }
    cut(out, end);
}

/// Shortens `out` to at most `end` bytes.
pub fn cut(out: &mut String, end: usize) {
    if out.len() > end {
        let end = (0..=end).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
    }
}

const fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'+' | b'%' | b'~')
}

/// Appends one token or its placeholder; a token of several parts is told part by part.
fn push_token(out: &mut String, token: &str) {
    if is_email(token) {
        return push_placeholder(out, EMAIL);
    }
    if is_uuid(token) || is_opaque(token, 24, 3) {
        return push_placeholder(out, ID);
    }
    let mut rest = token;
    while !rest.is_empty() {
        let len = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let (part, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        push_part(out, part);
        let joints = after.bytes().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        let (joint, after) = after.split_at_checked(joints).unwrap_or((after, ""));
        out.push_str(joint);
        rest = after;
    }
}

fn push_part(out: &mut String, part: &str) {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    if digits == 0 && part.len() < 16 {
        return out.push_str(part);
    }
    let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let leading = part.bytes().take_while(u8::is_ascii_digit).count();
    if leading == part.len() {
        push_placeholder(out, NUMBER);
    } else if hex && (part.len() >= 16 || part.len() >= 8 && digits > 0) || digits >= 4 || is_opaque(part, 16, 1) {
        push_placeholder(out, ID);
    } else if leading > 0 && part.len() - leading <= 3 {
        // A measure: 25ms, 3rd.
        push_placeholder(out, NUMBER);
        out.push_str(part.get(leading..).unwrap_or_default());
    } else {
        out.push_str(part);
    }
}

/// Appends a placeholder; a list of them, however long, is one.
fn push_placeholder(out: &mut String, placeholder: &str) {
    let bare = out.trim_end_matches([',', ' ']);
    let listed = out.len() > bare.len() && out.get(bare.len()..).is_some_and(|between| between.contains(','));
    if listed && bare.ends_with(placeholder) {
        let len = bare.len();
        out.truncate(len);
    } else {
        out.push_str(placeholder);
    }
}

fn is_email(token: &str) -> bool {
    token.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.') && !host.contains('@'))
}

fn is_uuid(token: &str) -> bool {
    token.len() == 36
        && token.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether it looks like base64: long, with at least `each` capitals, small letters and digits.
fn is_opaque(token: &str, long: usize, each: usize) -> bool {
    let count = |class: fn(&u8) -> bool| token.bytes().filter(class).count();
    token.len() >= long
        && count(u8::is_ascii_digit) >= each
        && count(u8::is_ascii_uppercase) >= each
        && count(u8::is_ascii_lowercase) >= each
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(from: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, from);
        out
    }

    #[test]
    fn ids_go_and_words_stay() {
        for (from, to) in [
            ("bookings", "bookings"),
            ("payment-v2", "payment-v2"),
            ("orders/8f14e45f-ceea-467f-a9d5-5f1b2c3d4e5f", "orders/<id>"),
            ("user 4711 paid 12.50 EUR", "user <n> paid <n>.<n> EUR"),
            ("took 25ms", "took <n>ms"),
            ("commit deadbeef01", "commit <id>"),
            ("facade", "facade"),
            ("mail to ann.b+x@example.com failed", "mail to <email> failed"),
            ("token XjeOMdDuFovSYdMu3TQDneB6zMVZ06Tsscotg1Cau", "token <id>"),
            ("ids [1, 22, 333]", "ids [<n>]"),
            ("a  \t\n b", "a b"),
            ("INC20260611", "<id>"),
            ("Straße 12 für Größe", "Straße <n> für Größe"),
            ("", ""),
            ("GetItem", "GetItem"),
            ("ip-10-0-3-44", "ip-<n>-<n>-<n>-<n>"),
            (
                "RequestId: c6af9ac6-7b61-11e6-9a41-93e8deadbeef Duration: 3.1 ms",
                "RequestId: <id> Duration: <n>.<n> ms",
            ),
        ] {
            assert_eq!(text(from), to, "{from:?}");
        }
    }

    #[test]
    fn paths_are_short_and_without_query() {
        for (from, to) in [
            ("/users/17/orders/8f14e45fceea467f?x=1", "/users/<n>/orders/<id>"),
            ("", "/"),
            ("//a//b#c", "/a/b"),
            ("/a/b/c/d/e/f", "/a/b/c/d/…"),
        ] {
            let mut out = String::new();
            push_path(&mut out, from);
            assert_eq!(out, to, "{from:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_and_stable(from in ".{0,600}") {
            let once = text(&from);
            prop_assert!(once.len() <= LIMIT);
            let mut path = String::from("kept");
            push_path(&mut path, &from);
            prop_assert!(path.starts_with("kept") && path.len() <= LIMIT + 4);
        }
    }
}
