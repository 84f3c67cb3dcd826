//! The types of plain scalars.

use serde_json::Number;

use super::Schema;
use crate::model::Value;

/// Returns a plain scalar's value, or why it has none.
pub(super) fn resolve(text: &str, schema: Schema) -> Result<Value, String> {
    match schema {
        Schema::Ansible => ansible(text),
        Schema::Core => core(text),
    }
}

/// Returns the value of a scalar with a core tag (`int`, `float`, `bool`, `null`), or why it is none.
pub(super) fn tagged(text: &str, tag: &str, schema: Schema) -> Result<Value, String> {
    let value = resolve(text, schema)?;
    let fits = match tag {
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        "bool" => value.is_boolean(),
        _ => value.is_null(),
    };
    if fits {
        Ok(value)
    } else {
        Err(format!("`{text}` is no {tag}"))
    }
}

/// YAML 1.1, from PyYAML's `resolver.py` and `constructor.py`. Dates stay text: JSON has none, and `ansible-inventory`
/// prints them as text too.
fn ansible(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    let (sign, body) = split_sign(text);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Value::String(text.into()));
    }
    let digits = body.replace('_', "");
    let is =
        |body: &str, allowed: &str| !body.is_empty() && body.chars().all(|c| allowed.contains(c));
    if let Some(rest) = body.strip_prefix("0b").filter(|r| is(r, "01_")) {
        return radix(sign, &rest.replace('_', ""), 2, text);
    }
    if let Some(rest) = body
        .strip_prefix("0x")
        .filter(|r| is(r, "0123456789abcdefABCDEF_"))
    {
        return radix(sign, &rest.replace('_', ""), 16, text);
    }
    if body == "0" {
        return Ok(Value::from(0));
    }
    if body.starts_with('0') && is(body, "01234567_") {
        return radix(sign, &digits, 8, text);
    }
    if !body.starts_with('0')
        && body.starts_with(|c: char| c.is_ascii_digit())
        && is(body, "0123456789_")
    {
        return radix(sign, &digits, 10, text);
    }
    if let Some(value) = sexagesimal(sign, body) {
        return value;
    }
    float(sign, body, text, true)
}

/// YAML 1.2, core schema.
fn core(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let (sign, body) = split_sign(text);
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Ok(Value::String(text.into()));
    }
    // Octal and hexadecimal numbers have no sign in 1.2.
    if text == body {
        let octal = |r: &&str| !r.is_empty() && r.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let hexadecimal = |r: &&str| !r.is_empty() && r.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(rest) = body.strip_prefix("0o").filter(octal) {
            return radix(sign, rest, 8, text);
        }
        if let Some(rest) = body.strip_prefix("0x").filter(hexadecimal) {
            return radix(sign, rest, 16, text);
        }
    }
    if body.bytes().all(|b| b.is_ascii_digit()) {
        return if body.len() > 1 && body.starts_with('0') {
            Ok(Value::String(text.into()))
        } else {
            radix(sign, body, 10, text)
        };
    }
    if body.len() > 1 && body.starts_with('0') && body.as_bytes()[1].is_ascii_digit() {
        return Ok(Value::String(text.into()));
    }
    float(sign, body, text, false)
}

fn split_sign(text: &str) -> (&str, &str) {
    match text.as_bytes().first() {
        Some(b'-') => ("-", &text[1..]),
        Some(b'+') => ("", &text[1..]),
        _ => ("", text),
    }
}

fn radix(sign: &str, digits: &str, radix: u32, text: &str) -> Result<Value, String> {
    let too_large =
        || format!("the number {text} does not fit into 64 bits; quote it if it is meant as text");
    if digits.is_empty() {
        return Ok(Value::String(text.into()));
    }
    if sign.is_empty() {
        u64::from_str_radix(digits, radix)
            .map(Value::from)
            .map_err(|_| too_large())
    } else {
        i64::from_str_radix(&format!("-{digits}"), radix)
            .map(Value::from)
            .map_err(|_| too_large())
    }
}

/// Returns the value of `[1-9][0-9_]*(:[0-5]?[0-9])+` with or without a fraction, `None` for any other text. MAC
/// addresses and IPv6 addresses have letters or longer groups, or too many digits, and do not match.
fn sexagesimal(sign: &str, body: &str) -> Option<Result<Value, String>> {
    let (whole, fraction) = match body.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (body, None),
    };
    let mut groups = whole.split(':');
    let head = groups.next()?;
    let head_fits = head.starts_with(|c: char| c.is_ascii_digit())
        && head.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if !head_fits || (fraction.is_none() && head.starts_with('0')) {
        return None;
    }
    let rest: Vec<&str> = groups.collect();
    let minute = |g: &&str| {
        (g.len() == 1 || (g.len() == 2 && (b'0'..=b'5').contains(&g.as_bytes()[0])))
            && g.bytes().all(|b| b.is_ascii_digit())
    };
    if rest.is_empty() || !rest.iter().all(minute) {
        return None;
    }
    if fraction.is_some_and(|f| !f.bytes().all(|b| b.is_ascii_digit() || b == b'_')) {
        return None;
    }
    let too_large = || {
        Err(format!(
            "the number {sign}{body} does not fit into 64 bits; quote it if it is meant as text"
        ))
    };
    let mut value: i64 = match head.replace('_', "").parse() {
        Ok(head) => head,
        Err(_) => return Some(too_large()),
    };
    for group in rest {
        let group: i64 = group.parse().ok()?;
        value = match value.checked_mul(60).and_then(|v| v.checked_add(group)) {
            Some(value) => value,
            None => return Some(too_large()),
        };
    }
    let negative = !sign.is_empty();
    Some(match fraction {
        None => Ok(Value::from(if negative { -value } else { value })),
        Some(fraction) => {
            let tail: f64 = format!("0.{}", fraction.replace('_', ""))
                .parse()
                .unwrap_or(0.0);
            #[expect(
                clippy::cast_precision_loss,
                reason = "YAML 1.1 itself gives a float here"
            )]
            let number = value as f64 + tail;
            Ok(Number::from_f64(if negative { -number } else { number })
                .map_or(Value::Null, Value::Number))
        }
    })
}

fn float(sign: &str, body: &str, text: &str, yaml_1_1: bool) -> Result<Value, String> {
    if matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!(
            "`{text}` is no number that JSON knows; quote it if it is meant as text"
        ));
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(i) => (&body[..i], Some(&body[i + 1..])),
        None => (body, None),
    };
    let digit = |b: u8| b.is_ascii_digit() || (yaml_1_1 && b == b'_');
    let fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            whole.bytes().all(digit)
                && fraction.bytes().all(digit)
                && mantissa.bytes().any(|b| b.is_ascii_digit())
                && (!whole.is_empty()
                    // In YAML 1.1 `.5` has no sign.
                    || (fraction.starts_with(|c: char| c.is_ascii_digit()) && !(yaml_1_1 && text != body)))
                && !whole.starts_with('_')
        }
        // YAML 1.1 asks for a point: `1e3` is text there, a number in 1.2.
        None => {
            !yaml_1_1 && exponent.is_some() && mantissa.bytes().all(digit) && !mantissa.is_empty()
        }
    };
    let exponent_fits = exponent.is_none_or(|e| {
        // YAML 1.1 asks for the exponent's sign as well.
        let unsigned = e.strip_prefix(['+', '-']);
        let digits = unsigned.unwrap_or(e);
        (!yaml_1_1 || unsigned.is_some())
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
    });
    if !fits || !exponent_fits {
        return Ok(Value::String(text.into()));
    }
    let number: f64 = match format!("{sign}{}", body.replace('_', "")).parse() {
        Ok(number) => number,
        Err(_) => return Ok(Value::String(text.into())),
    };
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| format!("the number {text} is too large; quote it if it is meant as text"))
}
