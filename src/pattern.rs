//! Regular expressions as configurations for the Collector write them: Go's syntax, which differs from the `regex` crate's
//! in what `\d`, `\w`, `\s` and `\b` match (ASCII only), in `\Q…\E`, and in what a bracket means inside brackets.

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// What a compiled expression may take, bytes; the crate's own default, said here because a configuration meets it.
const MAX_SIZE: usize = 10 << 20;

/// Compiles an expression written for Go's `regexp`.
pub fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translated(expression)).size_limit(MAX_SIZE).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} bytes when compiled"),
        // The crate draws a picture of several lines; its last line says what is wrong.
        other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

/// All of these at once, to ask in one pass whether any matches.
pub fn any_of(expressions: &[Regex]) -> Result<RegexSet, String> {
    let limit = MAX_SIZE.saturating_mul(expressions.len().max(1));
    let built = RegexSetBuilder::new(expressions.iter().map(Regex::as_str)).size_limit(limit).build();
    built.map_err(|error| format!("together: {error}"))
}

/// The same expression in the syntax of the `regex` crate.
fn translated(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut rest = expression.chars().peekable();
    // How many letters into a bracket expression; 0 outside.
    let mut within = 0;
    while let Some(letter) = rest.next() {
        match letter {
            '\\' => match rest.next() {
                Some('Q') => quote(&mut rest, &mut out),
                Some(letter) => {
                    escape(letter, within > 0, &mut out);
                    within += usize::from(within > 0);
                }
                None => out.push('\\'),
            },
            '[' if within == 0 => {
                out.push('[');
                within = 1;
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // A bracket that closes nothing yet is itself.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                    within += 1;
                }
            }
            '[' if rest.peek() == Some(&':') => out.push('['),
            ']' if within > 0 && out.ends_with(':') => {
                out.push(']');
                within += 1;
            }
            ']' if within > 0 => {
                out.push(']');
                within = 0;
            }
            '[' | '&' | '~' if within > 0 => {
                out.push('\\');
                out.push(letter);
                within += 1;
            }
            other => {
                out.push(other);
                within += usize::from(within > 0);
            }
        }
    }
    out
}

/// Everything up to `\E` stands for itself.
fn quote(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut quoted = String::new();
    while let Some(letter) = rest.next() {
        if letter == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        quoted.push(letter);
    }
    out.push_str(&regex::escape(&quoted));
}

/// `\d` and its like, which in Go speak of ASCII only.
fn escape(letter: char, in_brackets: bool, out: &mut String) {
    let (class, negated) = match letter {
        'd' | 'D' => ("0-9", letter == 'D'),
        'w' | 'W' => ("0-9A-Za-z_", letter == 'W'),
        's' | 'S' => ("\\t\\n\\f\\r ", letter == 'S'),
        'b' if !in_brackets => return out.push_str("(?-u:\\b)"),
        other => {
            out.push('\\');
            return out.push(other);
        }
    };
    match (in_brackets, negated) {
        (true, false) => out.push_str(class),
        (_, true) => {
            out.push_str("[^");
            out.push_str(class);
            out.push(']');
        }
        (false, false) => {
            out.push('[');
            out.push_str(class);
            out.push(']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_what_go_matches() {
        #[rustfmt::skip]
        let table = [
            ("digits are ASCII",                r"^\d+$",            "42",       true),
            ("others are not",                  r"^\d+$",            "٤٢",       false),
            ("letters are ASCII",               r"^\w+$",            "größe",    false),
            ("a class in brackets",             r"^[\w.-]+$",        "a.b-c",    true),
            ("a negated class in brackets",     r"^[\D]+$",          "abc",      true),
            ("negated digits in brackets",      r"^[\D]+$",          "a1",       false),
            ("a vertical tab is no space",      r"\s",               "\u{b}",    false),
            ("words end at ASCII letters",      r"\bcat\b",          "a cat é",  true),
            ("a bracket in brackets",           r"^[[]$",            "[",        true),
            ("a closing bracket in brackets",   r"^[]a]+$",          "]a",       true),
            ("ands in brackets",                r"^[a&&b]+$",        "a&b",      true),
            ("a tilde in brackets",             r"^[~~]+$",          "~",        true),
            ("a named class",                   r"^[[:alpha:]_]+$",  "ab_",      true),
            ("a negated named class",           r"^[[:^alpha:]]+$",  "12",       true),
            ("a Unicode class",                 r"^\p{Greek}+$",     "αβ",       true),
            ("quoted",                          r"^\Qa.b[\E$",       "a.b[",     true),
            ("quoted to the end",               r"^\Qa.b",           "axb",      false),
            ("a group named after Python",      r"(?P<n>x)",         "x",        true),
            ("case set aside",                  r"(?i)straße",       "STRAßE",   true),
            ("the dot stops at a line's end",   r"^a.b$",            "a\nb",     false),
            ("unless told not to",              r"(?s)^a.b$",        "a\nb",     true),
            ("the end is the text's",           r"a$",               "a\n",      false),
        ];
        for (row, expression, text, expected) in table {
            assert_eq!(compile(expression).unwrap().is_match(text), expected, "{row}");
        }
    }

    #[test]
    fn says_in_one_line_what_is_wrong() {
        #[rustfmt::skip]
        let table = [
            ("a group left open",    "a(b",                    "unclosed group"),
            ("an unknown escape",    r"\y",                    "unrecognized escape sequence"),
            ("looking around",       "(?=a)",                  "look-around"),
            ("too large",            "((a{100}){100}){1000}",  "bytes when compiled"),
        ];
        for (row, expression, expected) in table {
            let error = compile(expression).unwrap_err();
            assert!(error.contains(expected) && error.lines().count() == 1, "{row}: {error}");
        }
    }
}
