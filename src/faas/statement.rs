//! SQL without its values: what a statement asks for, whoever it asks about.
//!
//! Literals and parameters become `?`, lists of them `(?)`, words are small, blanks single. Block comments go (drivers
//! put trace ids there); line comments leave `--`, for an injected statement often ends in one.

use super::template::{self, LIMIT};

/// What a statement does, and to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gist<'a> {
    /// Its first word, as written.
    pub operation: &'a str,
    /// The first table it names; empty if none was found.
    pub table: &'a str,
}

/// Reads a statement's operation and table.
pub fn gist(sql: &str) -> Gist<'_> {
    let mut found = Gist::default();
    let mut before = "";
    for token in Tokens::new(sql) {
        let Token::Word(word) = token else { continue };
        if found.operation.is_empty() {
            found.operation = word;
        }
        let names = ["from", "into", "update", "table", "join"].iter().any(|key| before.eq_ignore_ascii_case(key));
        let filler = ["only", "if", "not", "exists", "ignore"].iter().any(|key| word.eq_ignore_ascii_case(key));
        if names && filler {
            continue;
        }
        if names {
            found.table = word.trim_matches(['"', '`', '[', ']']);
            break;
        }
        before = word;
    }
    found
}

/// Appends the skeleton of `sql`, at most [`LIMIT`] bytes.
pub fn push_skeleton(out: &mut String, sql: &str) {
    let start = out.len();
    for token in Tokens::new(sql) {
        if out.len() > start + LIMIT {
            break;
        }
        match token {
            Token::Word(word) => {
                space(out, start);
                let from = out.len();
                template::push_text(out, word);
                if let Some(word) = out.get_mut(from..) {
                    word.make_ascii_lowercase();
                }
            }
            Token::Value => {
                // `?, ?` is one value more.
                if out.ends_with("?,") {
                    out.pop();
                } else {
                    space(out, start);
                    out.push('?');
                }
            }
            Token::LineComment => {
                space(out, start);
                out.push_str("--");
            }
            Token::Sign(')') => {
                out.push(')');
                if out.ends_with("(?), (?)") || out.ends_with("(?),(?)") {
                    let len = out.trim_end_matches("(?)").trim_end_matches([',', ' ']).len();
                    out.truncate(len);
                }
            }
            Token::Sign(sign) => {
                if !matches!(sign, ',' | '.' | ';') {
                    space(out, start);
                }
                out.push(sign);
            }
        }
    }
    template::cut(out, start + LIMIT);
}

/// A blank before the next token, where one reads better.
fn space(out: &mut String, start: usize) {
    if out.len() > start && !out.ends_with(['(', '.', '=', '<', '>', '!']) {
        out.push(' ');
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Value,
    LineComment,
    Sign(char),
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Only the beginning of a long statement is read: the skeleton is cut anyway.
    fn new(sql: &'a str) -> Self {
        let end = (0..=sql.len().min(4096)).rev().find(|end| sql.is_char_boundary(*end)).unwrap_or(0);
        Self { rest: sql.get(..end).unwrap_or_default() }
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    /// Takes what is quoted by the first character, which doubled or behind a backslash does not end it.
    fn quoted(&mut self, quote: u8) -> &'a str {
        let mut escaped = false;
        let mut bytes = self.rest.bytes().enumerate().skip(1).peekable();
        let mut end = self.rest.len();
        while let Some((at, byte)) = bytes.next() {
            if escaped {
                escaped = false;
            } else if byte == b'\\' && quote == b'\'' {
                escaped = true;
            } else if byte == quote {
                if bytes.peek().is_some_and(|(_, next)| *next == quote) {
                    bytes.next();
                } else {
                    end = at + 1;
                    break;
                }
            }
        }
        self.take(end)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            let first = self.rest.chars().next()?;
            if self.rest.starts_with("/*") {
                let end = self.rest.find("*/").map_or(self.rest.len(), |end| end + 2);
                self.take(end);
                continue;
            }
            if self.rest.starts_with("--") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
                return Some(Token::LineComment);
            }
            return Some(self.token(first));
        }
    }
}

impl<'a> Tokens<'a> {
    fn token(&mut self, first: char) -> Token<'a> {
        let run = |from: &str, more: fn(char) -> bool| from.chars().take_while(|c| more(*c)).map(char::len_utf8).sum();
        let name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '$');
        match first {
            '\'' => {
                self.quoted(b'\'');
                Token::Value
            }
            '"' | '`' => {
                let quoted = self.quoted(first as u8);
                let plain = quoted.trim_matches(first);
                let identifier = plain.len() <= 64 && plain.chars().all(name) && !plain.is_empty();
                if identifier { Token::Word(plain) } else { Token::Value }
            }
            '0'..='9' => {
                let len = run(self.rest, |c| c.is_alphanumeric() || c == '.');
                self.take(len);
                Token::Value
            }
            '?' | '$' | ':' | '@' | '%' => {
                let tail = self.rest.get(1..).unwrap_or_default();
                let len: usize = run(tail, |c| c.is_alphanumeric() || c == '_');
                self.take(1 + len);
                if first == '?' || len > 0 { Token::Value } else { Token::Sign(first) }
            }
            _ if name(first) => {
                let len = run(self.rest, |c| c.is_alphanumeric() || matches!(c, '_' | '.' | '$'));
                Token::Word(self.take(len))
            }
            _ => {
                self.take(first.len_utf8());
                Token::Sign(first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skeleton(sql: &str) -> String {
        let mut out = String::new();
        push_skeleton(&mut out, sql);
        out
    }

    #[test]
    fn values_go() {
        for (sql, expected) in [
            ("SELECT * FROM users WHERE id = 17", "select * from users where id =?"),
            ("SELECT * FROM users WHERE id = $1 AND n = 'O''Hara'", "select * from users where id =? and n =?"),
            ("select a,b from t where x in (1, 2, 3)", "select a, b from t where x in (?)"),
            ("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')", "insert into t (a, b) values (?)"),
            ("SELECT 1 /* trace=abc */", "select ?"),
            ("SELECT * FROM u WHERE n = '' OR 1=1 -- '", "select * from u where n =? or ? =? --"),
            ("SELECT \"id\" FROM `orders`", "select id from orders"),
            ("select 'open", "select ?"),
            ("", ""),
        ] {
            assert_eq!(skeleton(sql), expected, "{sql}");
        }
    }

    #[test]
    fn operation_and_table_are_read() {
        for (sql, operation, table) in [
            ("SELECT * FROM users", "SELECT", "users"),
            ("insert into public.orders values (1)", "insert", "public.orders"),
            ("UPDATE seats SET a = 1", "UPDATE", "seats"),
            ("DELETE FROM \"t\"", "DELETE", "t"),
            ("DROP TABLE IF EXISTS x", "DROP", "x"),
            ("/* c */ commit", "commit", ""),
            ("", "", ""),
        ] {
            assert_eq!(gist(sql), Gist { operation, table }, "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_statement_has_a_short_skeleton(sql in "[\\PC'\"`/*\\-?$(), ]{0,400}") {
            prop_assert!(skeleton(&sql).len() <= LIMIT);
            gist(&sql);
        }
    }
}
