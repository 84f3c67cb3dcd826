//! Python literals, as `ast.literal_eval` reads them: what Ansible makes of values in INI inventories.
//!
//! Source: the Python Language Reference, 2.4 and 2.5, and Ansible's plugins/inventory/ini.py, `_parse_value`.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::Number;

use crate::model::{Map, Value};

/// Lists and maps inside one another that are read at most.
const DEPTH: usize = 50;

/// Returns the value of a Python literal; `None` where the text is none, which Ansible then takes as text. Tuples and sets are
/// lists. A number that JSON cannot hold counts as text too.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut parser = Parser {
        rest: text.trim_start_matches([' ', '\t']).chars().peekable(),
        depth: 0,
    };
    let value = parser.items(None)?;
    parser.blank();
    parser.rest.next().is_none().then_some(value)
}

struct Parser<'t> {
    rest: Peekable<Chars<'t>>,
    depth: usize,
}

impl Parser<'_> {
    /// Skips white space and a comment.
    fn blank(&mut self) {
        while self.rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if self.rest.peek() == Some(&'#') {
            while self.rest.next_if(|c| *c != '\n').is_some() {}
        }
    }

    fn takes(&mut self, expected: char) -> bool {
        self.blank();
        self.rest.next_if_eq(&expected).is_some()
    }

    /// Reads values with commas between them up to `end`: one without a comma is itself, any others are a tuple.
    fn items(&mut self, end: Option<char>) -> Option<Value> {
        let mut values = vec![self.value()?];
        let mut is_tuple = false;
        while self.takes(',') {
            is_tuple = true;
            self.blank();
            if self.rest.peek().copied() == end {
                break;
            }
            values.push(self.value()?);
        }
        if is_tuple {
            Some(Value::Array(values))
        } else {
            values.pop()
        }
    }

    fn value(&mut self) -> Option<Value> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        self.blank();
        let value = match *self.rest.peek()? {
            '[' => self.list('[', ']'),
            '{' => self.map(),
            '(' => self.tuple(),
            '+' | '-' => self.signed(),
            c if c.is_ascii_digit() || c == '.' => self.number(false),
            '"' | '\'' => self.strings(String::new()),
            c if c.is_ascii_alphabetic() => self.word(),
            _ => None,
        };
        self.depth -= 1;
        value
    }

    fn list(&mut self, open: char, close: char) -> Option<Value> {
        self.rest.next_if_eq(&open)?;
        let mut values = Vec::new();
        while !self.takes(close) {
            values.push(self.value()?);
            if !self.takes(',') {
                return self.takes(close).then_some(Value::Array(values));
            }
        }
        Some(Value::Array(values))
    }

    fn tuple(&mut self) -> Option<Value> {
        self.rest.next_if_eq(&'(')?;
        if self.takes(')') {
            return Some(Value::Array(Vec::new()));
        }
        let value = self.items(Some(')'))?;
        self.takes(')').then_some(value)
    }

    /// A map, or a set where there is no colon.
    fn map(&mut self) -> Option<Value> {
        self.rest.next_if_eq(&'{')?;
        let mut map = Map::new();
        let mut set = Vec::new();
        while !self.takes('}') {
            let key = self.value()?;
            if self.takes(':') {
                let key = match key {
                    Value::String(text) => text,
                    Value::Array(_) | Value::Object(_) => return None,
                    other => other.to_string(),
                };
                let value = self.value()?;
                map.insert(key, value);
            } else {
                set.push(key);
            }
            if !self.takes(',') {
                if !self.takes('}') {
                    return None;
                }
                break;
            }
        }
        match (map.is_empty(), set.is_empty()) {
            (_, true) => Some(Value::Object(map)),
            (true, false) => Some(Value::Array(set)),
            (false, false) => None,
        }
    }

    fn signed(&mut self) -> Option<Value> {
        let negative = self.rest.next()? == '-';
        self.blank();
        if matches!(self.rest.peek(), Some('+' | '-')) {
            return None;
        }
        self.number(negative)
    }

    fn number(&mut self, negative: bool) -> Option<Value> {
        let mut text = String::new();
        let mut before = ' ';
        while let Some(c) = self.rest.next_if(|c| {
            c.is_ascii_alphanumeric()
                || matches!(c, '.' | '_')
                || (matches!(c, '+' | '-')
                    && matches!(before, 'e' | 'E')
                    && !text.starts_with("0x"))
        }) {
            text.push(c);
            before = c;
        }
        // Underscores stand between digits alone.
        let parts: Vec<&str> = text.split('_').collect();
        let is_hexadecimal = text.to_ascii_lowercase().starts_with("0x");
        let is_digit = |c: char| c.is_ascii_digit() || (is_hexadecimal && c.is_ascii_hexdigit());
        let joined = parts.windows(2).all(|pair| {
            let after_prefix = matches!(pair[0].to_ascii_lowercase().as_str(), "0x" | "0o" | "0b");
            (pair[0].ends_with(is_digit) || after_prefix) && pair[1].starts_with(is_digit)
        });
        if !joined {
            return None;
        }
        let digits = parts.concat().to_ascii_lowercase();
        let radix = match digits.get(..2) {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        let sign = if negative { "-" } else { "" };
        let is_whole = radix != 10 || digits.chars().all(|c| c.is_ascii_digit());
        if is_whole {
            let body = if radix == 10 {
                &digits[..]
            } else {
                &digits[2..]
            };
            // Zeros in front would be octal, and are no number since Python 3; zeros alone are 0.
            if radix == 10 && body.len() > 1 && body.starts_with('0') && body.contains(|c| c != '0')
            {
                return None;
            }
            let number = i128::from_str_radix(&format!("{sign}{body}"), radix).ok()?;
            return match (i64::try_from(number), u64::try_from(number)) {
                (Ok(small), _) => Some(Value::from(small)),
                (_, Ok(large)) => Some(Value::from(large)),
                _ => None,
            };
        }
        let is_float = digits
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-'));
        if !is_float {
            return None;
        }
        let number: f64 = format!("{sign}{digits}").parse().ok()?;
        Number::from_f64(number).map(Value::Number)
    }

    /// `True`, `False`, `None`, or a string with a prefix.
    fn word(&mut self) -> Option<Value> {
        let mut word = String::new();
        while let Some(c) = self
            .rest
            .next_if(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            word.push(c);
            if matches!(self.rest.peek(), Some('"' | '\'')) {
                let prefix = word.to_ascii_lowercase();
                return ["r", "b", "u", "br", "rb"]
                    .contains(&prefix.as_str())
                    .then(|| self.strings(prefix))?;
            }
        }
        match word.as_str() {
            "True" => Some(Value::Bool(true)),
            "False" => Some(Value::Bool(false)),
            "None" => Some(Value::Null),
            _ => None,
        }
    }

    /// Strings that stand beside each other are one.
    fn strings(&mut self, mut prefix: String) -> Option<Value> {
        let mut text = String::new();
        loop {
            text.push_str(&self.string(prefix.contains('r'))?);
            self.blank();
            prefix.clear();
            match self.rest.peek() {
                Some('"' | '\'') => {}
                Some(c) if c.is_ascii_alphabetic() => return None,
                _ => return Some(Value::String(text)),
            }
        }
    }

    fn string(&mut self, raw: bool) -> Option<String> {
        let quote = self.rest.next()?;
        let mut text = String::new();
        let mut tripled = false;
        if self.rest.next_if_eq(&quote).is_some() {
            if self.rest.next_if_eq(&quote).is_none() {
                return Some(text);
            }
            tripled = true;
        }
        loop {
            match self.rest.next()? {
                c if c == quote && !tripled => return Some(text),
                c if c == quote && tripled => {
                    text.push(c);
                    if text.ends_with(&String::from(quote).repeat(3)) {
                        text.truncate(text.len() - 3);
                        return Some(text);
                    }
                }
                '\n' if !tripled => return None,
                '\\' if raw => {
                    text.push('\\');
                    text.push(self.rest.next()?);
                }
                '\\' => self.escape(&mut text)?,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Option<()> {
        let c = self.rest.next()?;
        let digits = |parser: &mut Self, most: usize, radix: u32| {
            let mut number = String::new();
            while number.len() < most {
                let Some(digit) = parser.rest.next_if(|c| c.is_digit(radix)) else {
                    break;
                };
                number.push(digit);
            }
            (number.len(), u32::from_str_radix(&number, radix).ok())
        };
        let hexadecimal = match c {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if hexadecimal > 0 {
            let (length, number) = digits(self, hexadecimal, 16);
            text.push(char::from_u32(number?).filter(|_| length == hexadecimal)?);
            return Some(());
        }
        match c {
            '\n' => {}
            '\\' | '\'' | '"' => text.push(c),
            'a' => text.push('\u{7}'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'v' => text.push('\u{b}'),
            '0'..='7' => {
                let (length, rest) = digits(self, 2, 8);
                let length = u32::try_from(length).ok()?;
                let code = c.to_digit(8)? * 8_u32.pow(length) + rest.unwrap_or(0);
                text.push(char::from_u32(code)?);
            }
            // A character by its name is nobody's in an inventory.
            'N' => return None,
            other => {
                text.push('\\');
                text.push(other);
            }
        }
        Some(())
    }
}
