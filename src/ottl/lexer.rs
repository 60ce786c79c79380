//! Text → tokens with places.

use super::fault::{Fault, Place};

/// One word of the language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name: of a function, a path, an enum; or a keyword.
    Word(String),
    Text(String),
    Bytes(Vec<u8>),
    Int(i64),
    Double(f64),
    /// Everything that is written with signs.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: [&str; 20] =
    ["==", "!=", ">=", "<=", "=>", "<", ">", "=", "+", "-", "*", "/", "(", ")", "[", "]", "{", "}", ",", "."];

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Place)>, Fault> {
    let letters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer { letters: &letters, at: 0 };
    let mut out = Vec::new();
    loop {
        lexer.skip(char::is_whitespace);
        let start = lexer.at;
        let Some(token) = lexer.token()? else { return Ok(out) };
        out.push((token, lexer.since(start)));
    }
}

struct Lexer<'a> {
    letters: &'a [char],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    const fn since(&self, start: usize) -> Place {
        Place { at: start, width: self.at - start }
    }

    fn text_since(&self, start: usize) -> String {
        self.letters.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn token(&mut self) -> Result<Option<Token>, Fault> {
        let Some(letter) = self.peek(0) else { return Ok(None) };
        let next_is_digit = self.peek(1).is_some_and(|letter| letter.is_ascii_digit());
        Ok(Some(match letter {
            '"' => self.quoted()?,
            '0' if self.peek(1) == Some('x') => self.bytes()?,
            '0'..='9' => self.number()?,
            '.' if next_is_digit => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let start = self.at;
                self.skip(|letter| letter.is_ascii_alphanumeric() || letter == '_');
                Token::Word(self.text_since(start))
            }
            _ => self.sign(letter)?,
        }))
    }

    fn sign(&mut self, letter: char) -> Result<Token, Fault> {
        if letter == ':' {
            self.at += 1;
            return Ok(Token::Sign(":"));
        }
        let is = |sign: &&&str| sign.chars().enumerate().all(|(ahead, letter)| self.peek(ahead) == Some(letter));
        if let Some(sign) = SIGNS.iter().find(is) {
            self.at += sign.len();
            return Ok(Token::Sign(sign));
        }
        let fault = Fault::new(Place { at: self.at, width: 1 }, format!("`{letter}` has no meaning here"));
        Err(if letter == '\'' { fault.hint("text stands in double quotes") } else { fault })
    }

    fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.skip(|letter| letter.is_ascii_digit());
        let whole = self.peek(0) != Some('.');
        if !whole {
            self.at += 1;
            self.skip(|letter| letter.is_ascii_digit());
            let signed = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if matches!(self.peek(0), Some('e' | 'E'))
                && self.peek(1 + signed).is_some_and(|digit| digit.is_ascii_digit())
            {
                self.at += 1 + signed;
                self.skip(|letter| letter.is_ascii_digit());
            }
        }
        let (text, place) = (self.text_since(start), self.since(start));
        if whole {
            let too_large = |_| Fault::new(place, "is too large").hint("whole numbers have 64 bits, signed");
            text.parse().map(Token::Int).map_err(too_large)
        } else {
            text.parse().map(Token::Double).map_err(|_| Fault::new(place, "is no number"))
        }
    }

    fn bytes(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 2;
        self.skip(|letter| letter.is_ascii_hexdigit());
        let digits = self.text_since(start + 2);
        let even = !digits.is_empty() && digits.len().is_multiple_of(2);
        let pairs = digits.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        match pairs.collect::<Option<Vec<u8>>>() {
            Some(bytes) if even => Ok(Token::Bytes(bytes)),
            _ => Err(Fault::new(self.since(start), "bytes have an even number of hexadecimal digits")),
        }
    }

    fn quoted(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(letter) = self.peek(0) else {
                return Err(Fault::new(self.since(start), "text without a closing quote"));
            };
            self.at += 1;
            match letter {
                '"' => return Ok(Token::Text(text)),
                '\\' => text.push(self.escaped()?),
                other => text.push(other),
            }
        }
    }

    /// What a backslash and the letters after it stand for, as in Go.
    fn escaped(&mut self) -> Result<char, Fault> {
        let start = self.at - 1;
        let letter = self.peek(0).unwrap_or('\0');
        self.at += 1;
        let digits = match letter {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '"' => return Ok(letter),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let from = self.at;
        self.at = (from + digits).min(self.letters.len());
        let code =
            u32::from_str_radix(&self.text_since(from), 16).ok().filter(|_| digits > 0 && self.at == from + digits);
        // Go's \x80 and above are single bytes, which are no text.
        code.filter(|code| digits != 2 || *code < 0x80).and_then(char::from_u32).ok_or_else(|| {
            let place = Place { at: start, width: (self.at - start).max(2) };
            Fault::new(place, "a backslash and what follows it mean nothing")
                .hint("write the backslash twice; `\\\\d` in text is `\\d` in a regular expression")
        })
    }
}
