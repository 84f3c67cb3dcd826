//! `until`: a condition over a command's result that the host itself checks between two tries, as sh.
//!
//! The host has no Tera. What it can check is exit status and output; everything else in the condition is worked out before.

use super::args::{Args, describe};
use crate::host::effect::Until;
use crate::host::sh;
use crate::inventory::yaml::Node;
use crate::model::{Span, Value};

/// `until`, `retries` and `delay` of a task.
#[derive(Debug, Clone, Default)]
pub(super) struct Polling {
    /// The condition; without one the command has to succeed.
    pub(super) until: Option<(String, Span)>,
    pub(super) retries: Option<Node>,
    pub(super) delay: Option<Node>,
}

/// Ansible's own: three tries, five seconds between them.
const RETRIES: u32 = 3;
const DELAY: u32 = 5;
/// Longer than a day is no wait but a job.
const MOST_SECONDS: u64 = 86_400;

/// What the error says of a condition that the host cannot check.
const FORMS: &str = "the host can check `NAME.rc` and `NAME.stdout` with ==, !=, <, <=, >, >=, `\"text\" in NAME.stdout`, `NAME.stdout | int`, `NAME is succeeded` and `is failed`, joined by and, or, not";

/// Returns how often and for what a command is tried; `None` where the task does not ask for it, or asks wrongly. `register`
/// is the name of its result.
pub(super) fn read(args: &mut Args<'_>, polling: &Polling, register: &str) -> Option<Until> {
    let tries = number(args, polling.retries.as_ref(), "retries", 1, RETRIES)?;
    let delay = number(args, polling.delay.as_ref(), "delay", 0, DELAY)?;
    if u64::from(tries) * u64::from(delay) > MOST_SECONDS {
        let message = format!("{tries} tries with {delay} s between them are more than a day");
        let node = polling.retries.as_ref().or(polling.delay.as_ref())?;
        args.errors.complain(message, &node.span, None);
        return None;
    }
    let condition = match &polling.until {
        None => "[ \"$rc\" -eq 0 ]".to_string(),
        Some((text, span)) => match condition(args, text, span, register) {
            Ok(condition) => condition,
            Err(message) => {
                let help = FORMS.replace("NAME", register);
                args.errors.complain(message, span, help);
                return None;
            }
        },
    };
    Some(Until {
        condition,
        tries,
        delay,
    })
}

fn number(
    args: &mut Args<'_>,
    node: Option<&Node>,
    key: &str,
    least: u32,
    otherwise: u32,
) -> Option<u32> {
    let Some(node) = node else {
        return Some(otherwise);
    };
    let locate = |p: &str| node.pointer(p).map(|n| n.span.clone());
    let value = match args.scope.render_value(&node.to_value(), &locate) {
        Ok(value) => value,
        Err(errors) => {
            args.errors.extend(errors);
            return None;
        }
    };
    let number = match &value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.and_then(|n| u32::try_from(n).ok());
    let good = number.filter(|n| *n >= least);
    if good.is_none() {
        let message = format!(
            "`{key}` takes a whole number from {least}, not {}",
            describe(&value)
        );
        args.errors.complain(message, &node.span, None);
    }
    good
}

fn condition(
    args: &mut Args<'_>,
    text: &str,
    span: &Span,
    register: &str,
) -> Result<String, String> {
    if crate::template::is_template(text) {
        return Err("a condition is an expression already, without braces".into());
    }
    let mut evaluate = |name: &str| args.scope.eval(name, Some(span)).map_err(|e| e.message);
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        register,
        evaluate: &mut evaluate,
    };
    let condition = parser.any()?;
    match parser.next() {
        None => Ok(condition),
        Some(token) => Err(format!("`{}` is not expected there", token.text())),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name with what follows it by dots, or a word such as `and`.
    Word(String),
    Text(String),
    Number(i64),
    Sign(&'static str),
}

impl Token {
    fn text(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Sign(sign) => (*sign).to_string(),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    const SIGNS: [&str; 9] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "|"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Sign(sign));
            sign.len()
        } else if first == '\'' || first == '"' {
            let end = rest[1..].find(first).ok_or("a quote is not closed")?;
            tokens.push(Token::Text(rest[1..=end].to_string()));
            end + 2
        } else {
            let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            let word: String = rest.chars().take_while(|c| part(*c)).collect();
            match word.parse() {
                _ if word.is_empty() => return Err(format!("`{first}` is not expected there")),
                Ok(number) => tokens.push(Token::Number(number)),
                Err(_) => tokens.push(Token::Word(word.clone())),
            }
            word.len()
        };
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// One side of a comparison.
enum Side {
    /// The exit status, or the output as a number.
    Number(&'static str),
    /// The output.
    Output,
    /// The result itself, for `is`.
    Result,
    /// What is known before.
    Known(Value),
}

struct Parser<'p> {
    tokens: Vec<Token>,
    at: usize,
    register: &'p str,
    evaluate: &'p mut dyn FnMut(&str) -> Result<Value, String>,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.get(self.at) == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.into()))
    }

    fn any(&mut self) -> Result<String, String> {
        let mut text = self.all()?;
        while self.word("or") {
            text = format!("{{ {text} || {}; }}", self.all()?);
        }
        Ok(text)
    }

    fn all(&mut self) -> Result<String, String> {
        let mut text = self.one()?;
        while self.word("and") {
            text = format!("{{ {text} && {}; }}", self.one()?);
        }
        Ok(text)
    }

    fn one(&mut self) -> Result<String, String> {
        if self.word("not") {
            return Ok(format!("! {{ {}; }}", self.one()?));
        }
        if self.takes(&Token::Sign("(")) {
            let inner = self.any()?;
            if !self.takes(&Token::Sign(")")) {
                return Err("a parenthesis is not closed".into());
            }
            return Ok(format!("{{ {inner}; }}"));
        }
        let left = self.side()?;
        if self.word("is") {
            return self.is(&left);
        }
        let not = self.word("not");
        if self.word("in") {
            let right = self.side()?;
            let text = contains(&left, &right)?;
            return Ok(if not {
                format!("! {{ {text}; }}")
            } else {
                text
            });
        }
        let sign = match self.next() {
            Some(Token::Sign(sign)) if !not => sign,
            None => return literal(&left),
            _ => return Err("a comparison is expected".into()),
        };
        let right = self.side()?;
        compare(&left, sign, &right)
    }

    fn is(&mut self, left: &Side) -> Result<String, String> {
        let not = self.word("not");
        let Side::Result = left else {
            return Err(format!("`is` is for `{}` alone", self.register));
        };
        let good = match self.next().map(|t| t.text()).as_deref() {
            Some("succeeded" | "success" | "successful") => true,
            Some("failed" | "failure") => false,
            _ => return Err("`is succeeded` or `is failed` is expected".into()),
        };
        let sign = if good == not { "-ne" } else { "-eq" };
        Ok(format!("[ \"$rc\" {sign} 0 ]"))
    }

    fn side(&mut self) -> Result<Side, String> {
        let side = match self.next() {
            Some(Token::Text(text)) => Side::Known(Value::String(text)),
            Some(Token::Number(number)) => Side::Known(number.into()),
            Some(Token::Word(word)) => self.name(&word)?,
            Some(other) => return Err(format!("`{}` is not expected there", other.text())),
            None => return Err("something is missing at its end".into()),
        };
        if !self.takes(&Token::Sign("|")) {
            return Ok(side);
        }
        match (side, self.next()) {
            (Side::Output, Some(Token::Word(filter))) if filter == "int" => {
                Ok(Side::Number("$out"))
            }
            (_, filter) => {
                let filter = filter.map(|t| t.text()).unwrap_or_default();
                Err(format!("the filter `{filter}` cannot be used there"))
            }
        }
    }

    fn name(&mut self, word: &str) -> Result<Side, String> {
        let (head, rest) = word.split_once('.').unwrap_or((word, ""));
        if head != self.register {
            return (self.evaluate)(word).map(Side::Known);
        }
        match rest {
            "" => Ok(Side::Result),
            "rc" => Ok(Side::Number("$rc")),
            "stdout" => Ok(Side::Output),
            _ => Err(format!("the host knows no `{word}` between two tries")),
        }
    }
}

fn literal(side: &Side) -> Result<String, String> {
    match side {
        Side::Known(Value::Bool(holds)) => Ok(holds.to_string()),
        _ => Err("a comparison is expected".into()),
    }
}

fn contains(part: &Side, whole: &Side) -> Result<String, String> {
    match (part, whole) {
        (Side::Known(Value::String(text)), Side::Output) => Ok(format!(
            "case $out in *{}*) true ;; *) false ;; esac",
            quoted(text)
        )),
        _ => Err("`in` takes a text and the output".into()),
    }
}

/// Between quotes nothing is a pattern: also what a word could do without.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn compare(left: &Side, sign: &str, right: &Side) -> Result<String, String> {
    let number = |side: &Side| match side {
        Side::Number(text) => Some(format!("\"{text}\"")),
        Side::Known(Value::Number(number)) => number.as_i64().map(|n| n.to_string()),
        _ => None,
    };
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        let word = match sign {
            "==" => "-eq",
            "!=" => "-ne",
            "<" => "-lt",
            "<=" => "-le",
            ">" => "-gt",
            ">=" => "-ge",
            _ => return Err(format!("`{sign}` is not expected there")),
        };
        // An output that is no number is no match, and no complaint.
        return Ok(format!("[ {a} {word} {b} ] 2>/dev/null"));
    }
    let sign = match sign {
        "==" => "=",
        "!=" => "!=",
        _ => return Err(format!("`{sign}` compares numbers")),
    };
    match (left, right) {
        (Side::Output, Side::Known(Value::String(text)))
        | (Side::Known(Value::String(text)), Side::Output) => {
            Ok(format!("[ \"$out\" {sign} {} ]", sh::quote(text)))
        }
        _ => Err("the two sides cannot be compared".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Parser, tokens};
    use crate::model::Value;

    fn sh(text: &str) -> Result<String, String> {
        let mut evaluate = |name: &str| match name {
            "wanted" => Ok(Value::String("it's".into())),
            "flag" => Ok(Value::Bool(true)),
            _ => Err(format!("the variable `{name}` is not defined")),
        };
        let mut parser = Parser {
            tokens: tokens(text)?,
            at: 0,
            register: "r",
            evaluate: &mut evaluate,
        };
        let text = parser.any()?;
        if parser.next().is_some() {
            Err("more".into())
        } else {
            Ok(text)
        }
    }

    #[test]
    fn conditions_hold_in_a_shell_as_they_read() {
        // condition; exit status and output of a try; whether it holds
        let cases = [
            ("r.rc == 0", 0, "", true),
            ("r.rc == 0", 1, "", false),
            ("r.rc != 0 and r.rc <= 3", 3, "", true),
            ("not r.rc == 0", 0, "", false),
            ("r is succeeded", 0, "", true),
            ("r is not failed", 1, "", false),
            ("r is failed or r.stdout == 'x'", 0, "x\n", true),
            ("'a*' in r.stdout", 0, "xa*y", true),
            ("'a*' in r.stdout", 0, "xaby", false),
            ("'a' not in r.stdout", 0, "xaby", false),
            ("r.stdout == wanted", 0, "it's\n", true),
            ("r.stdout != wanted", 0, "its", true),
            ("r.stdout | int >= 3", 0, "10", true),
            ("r.stdout | int >= 3", 0, "none", false),
            ("3 < r.stdout | int", 0, "4", true),
            ("(r.rc == 1 or r.rc == 2) and flag", 2, "", true),
            ("r.rc == 0 or r.rc == 1 and r.stdout == 'x'", 0, "", true),
        ];
        for (text, rc, out, expected) in cases {
            let condition = sh(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            for shell in [&["dash"][..], &["busybox", "sh"]] {
                let holds = std::process::Command::new(shell[0])
                    .args(&shell[1..])
                    .args([
                        "-c",
                        &format!("rc={rc}; out=$(printf %s \"$1\"); {condition}"),
                        "sh",
                        out,
                    ])
                    .status()
                    .unwrap();
                assert_eq!(holds.success(), expected, "{text}: {condition}");
            }
        }
    }

    #[test]
    fn what_a_host_cannot_check_is_refused() {
        for text in [
            "",
            "r",
            "r.rc",
            "r.rc ==",
            "r.rc = 0",
            "r.rc == 'x'",
            "r.stdout > 'x'",
            "r.stderr == ''",
            "r.stdout | length > 1",
            "r.stdout_lines == 1",
            "nothing == 1",
            "r is defined",
            "(r.rc == 0",
            "r.rc == 0 r.rc",
            "'x in r.stdout",
            "r.rc + 1 == 2",
            "r.stdout in 'x'",
            "wanted == wanted",
        ] {
            assert!(sh(text).is_err(), "{text}: {:?}", sh(text));
        }
    }
}
