//! Tokens → tree. One grammar for conditions and values; whether each stands where it may is the compiler's to say.

use super::{
    fault::{Fault, Place},
    lexer::{Token, tokens},
    syntax::{Argument, Call, Comparison, Kind, Node, Operation, Segment, Written},
};

/// How deep expressions may nest.
const MAX_DEPTH: usize = 64;

/// A whole statement.
pub(super) fn statement(text: &str) -> Result<Written, Fault> {
    let mut parser = Parser::new(text)?;
    let (name, place) = parser.word("an editor such as `set(…)`")?;
    let call = parser.call(name, place)?;
    if parser.is_sign("[") {
        return Err(parser.unexpected("`where` or the end; what an editor returns cannot be looked up"));
    }
    let condition = if parser.take_word("where") { Some(parser.either()?) } else { None };
    parser.end()?;
    Ok(Written { call, condition })
}

/// A whole condition.
pub(super) fn condition(text: &str) -> Result<Node, Fault> {
    let mut parser = Parser::new(text)?;
    let node = parser.either()?;
    parser.end()?;
    Ok(node)
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    next: usize,
    depth: usize,
    /// Where the text ends.
    end: Place,
}

impl Parser {
    fn new(text: &str) -> Result<Self, Fault> {
        let end = Place { at: text.trim_end().chars().count(), width: 1 };
        Ok(Self { tokens: tokens(text)?, next: 0, depth: 0, end })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn place(&self) -> Place {
        self.tokens.get(self.next).map_or(self.end, |(_, place)| *place)
    }

    fn last_place(&self) -> Place {
        self.tokens.get(self.next.saturating_sub(1)).map_or(self.end, |(_, place)| *place)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.next += usize::from(is);
        is
    }

    fn take_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<Place, Fault> {
        let place = self.place();
        if self.take_sign(sign) { Ok(place) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn word(&mut self, wanted: &str) -> Result<(String, Place), Fault> {
        let place = self.place();
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.next += 1;
                Ok((word, place))
            }
            _ => Err(self.unexpected(wanted)),
        }
    }

    fn end(&self) -> Result<(), Fault> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Word(word)) => format!("`{word}`"),
            Some(Token::Text(_)) => "text".to_owned(),
            Some(Token::Bytes(_)) => "bytes".to_owned(),
            Some(Token::Int(_) | Token::Double(_)) => "a number".to_owned(),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
        };
        Fault::new(self.place(), format!("expected {wanted}, not {found}"))
    }

    /// Runs `parse` one level down.
    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(self.place(), format!("nests deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// `a or b`
    fn either(&mut self) -> Result<Node, Fault> {
        self.deeper(|parser| parser.joined("or", |parser| parser.joined("and", Self::negation, Kind::And), Kind::Or))
    }

    fn joined(
        &mut self,
        word: &str,
        part: impl Fn(&mut Self) -> Result<Node, Fault>,
        join: impl FnOnce(Vec<Node>) -> Kind,
    ) -> Result<Node, Fault> {
        let first = part(self)?;
        if !matches!(self.peek(), Some(Token::Word(found)) if found == word) {
            return Ok(first);
        }
        let start = first.place;
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(part(self)?);
        }
        Ok(Node { place: start.to(self.last_place()), kind: join(parts) })
    }

    fn negation(&mut self) -> Result<Node, Fault> {
        let start = self.place();
        if self.take_word("not") {
            let node = self.deeper(Self::negation)?;
            return Ok(Node { place: start.to(node.place), kind: Kind::Not(Box::new(node)) });
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, Fault> {
        let left = self.sum()?;
        let comparison = match self.peek() {
            Some(Token::Sign("==")) => Comparison::Equal,
            Some(Token::Sign("!=")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            Some(Token::Sign("=")) => return Err(self.unexpected("a comparison").hint("equality is `==`")),
            _ => return Ok(left),
        };
        self.next += 1;
        let right = self.sum()?;
        let place = left.place.to(right.place);
        Ok(Node { place, kind: Kind::Compare(Box::new(left), comparison, Box::new(right)) })
    }

    fn sum(&mut self) -> Result<Node, Fault> {
        self.math(&[("+", Operation::Add), ("-", Operation::Subtract)], Self::product)
    }

    fn product(&mut self) -> Result<Node, Fault> {
        self.math(&[("*", Operation::Multiply), ("/", Operation::Divide)], Self::signed)
    }

    fn math(
        &mut self,
        signs: &[(&str, Operation)],
        part: impl Fn(&mut Self) -> Result<Node, Fault>,
    ) -> Result<Node, Fault> {
        let mut left = part(self)?;
        while let Some((_, operation)) = signs.iter().find(|(sign, _)| self.is_sign(sign)) {
            self.next += 1;
            let right = part(self)?;
            let place = left.place.to(right.place);
            left = Node { place, kind: Kind::Math(Box::new(left), *operation, Box::new(right)) };
        }
        Ok(left)
    }

    fn signed(&mut self) -> Result<Node, Fault> {
        let start = self.place();
        if self.take_sign("+") {
            return self.deeper(Self::signed);
        }
        if !self.take_sign("-") {
            return self.value();
        }
        let node = self.deeper(Self::signed)?;
        let place = start.to(node.place);
        let kind = match node.kind {
            Kind::Int(value) => Kind::Int(-value),
            Kind::Double(value) => Kind::Double(-value),
            _ => Kind::Negative(Box::new(node)),
        };
        Ok(Node { kind, place })
    }

    fn value(&mut self) -> Result<Node, Fault> {
        let place = self.place();
        let Some(token) = self.peek().cloned() else { return Err(self.unexpected("a value")) };
        let kind = match token {
            Token::Word(word) if !matches!(word.as_str(), "and" | "or" | "not" | "where") => {
                self.next += 1;
                return self.named(word, place);
            }
            Token::Text(text) => Kind::Text(text),
            Token::Bytes(bytes) => Kind::Bytes(bytes),
            Token::Int(value) => Kind::Int(value),
            Token::Double(value) => Kind::Double(value),
            Token::Sign("(") => {
                self.next += 1;
                let mut node = self.either()?;
                let end = self.expect(")")?;
                node.place = place.to(end);
                return Ok(node);
            }
            Token::Sign("[") => {
                self.next += 1;
                let nodes = self.list("]", Self::argument_value)?;
                return Ok(Node { kind: Kind::List(nodes), place: place.to(self.last_place()) });
            }
            Token::Sign("{") => {
                self.next += 1;
                let entries = self.list("}", Self::entry)?;
                return Ok(Node { kind: Kind::Map(entries), place: place.to(self.last_place()) });
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.next += 1;
        Ok(Node { kind, place })
    }

    /// What starts with a name.
    fn named(&mut self, word: String, place: Place) -> Result<Node, Fault> {
        if self.is_sign("(") {
            let call = self.call(word, place)?;
            let keys = self.keys()?;
            return Ok(Node { kind: Kind::Call(call, keys), place: place.to(self.last_place()) });
        }
        let kind = match word.as_str() {
            "nil" => Kind::Nil,
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            _ if word.starts_with(|letter: char| letter.is_ascii_uppercase()) => Kind::Enum(word),
            _ => {
                let mut segments = vec![Segment { name: word, keys: self.keys()?, place }];
                while self.take_sign(".") {
                    let (name, place) = self.word("the name of a field")?;
                    segments.push(Segment { name, keys: self.keys()?, place });
                }
                Kind::Path(segments)
            }
        };
        Ok(Node { kind, place: place.to(self.last_place()) })
    }

    fn keys(&mut self) -> Result<Vec<Node>, Fault> {
        let mut keys = Vec::new();
        while self.take_sign("[") {
            keys.push(self.argument_value()?);
            self.expect("]")?;
        }
        Ok(keys)
    }

    fn call(&mut self, name: String, place: Place) -> Result<Call, Fault> {
        self.expect("(")?;
        let arguments = self.list(")", Self::argument)?;
        Ok(Call { name, arguments, place, end: self.last_place() })
    }

    fn argument(&mut self) -> Result<Argument, Fault> {
        let named = matches!(self.tokens.get(self.next + 1), Some((Token::Sign("="), _)));
        let name = match self.peek() {
            Some(Token::Word(word)) if named => Some((word.clone(), self.place())),
            _ => None,
        };
        if name.is_some() {
            self.next += 2;
        }
        Ok(Argument { name, value: self.argument_value()? })
    }

    fn argument_value(&mut self) -> Result<Node, Fault> {
        self.deeper(Self::sum)
    }

    fn entry(&mut self) -> Result<(String, Node), Fault> {
        let Some(Token::Text(key)) = self.peek().cloned() else { return Err(self.unexpected("a key in quotes")) };
        self.next += 1;
        self.expect(":")?;
        Ok((key, self.argument_value()?))
    }

    /// Things between commas, up to `close`.
    fn list<T>(&mut self, close: &str, item: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        let mut items = Vec::new();
        if self.take_sign(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take_sign(close) {
                return Ok(items);
            }
            if !self.take_sign(",") {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }
}
