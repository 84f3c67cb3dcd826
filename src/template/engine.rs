//! The one place that knows Tera.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use tera::{Context, ErrorKind, Kwargs, State, Tera};

use super::{filters, jinja};
use crate::model::{Map, Value};

/// What Tera says is wrong, with the bytes of the text that it means.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) range: Range<usize>,
}

/// The function that hands an expression's value out of a rendering. No name of a user's can be called like it, because
/// a name cannot begin with two underscores and go on with this.
const VALUE: &str = "__quorate_value";

/// The name under which an instance keeps its only template.
const NAME: &str = "text";

/// Compiled texts that are kept per thread. A run has a few hundred; beyond that something makes texts up, and all are
/// dropped at once.
const KEPT: usize = 2048;

/// Bytes of the longest text that a template gives: variables that are made of one another double with each step.
const LONGEST: usize = 16 << 20;
/// The same of a value, where each of its parts counts for [`PART`] bytes beside its text.
const LARGEST: usize = 16 << 20;
const PART: usize = 32;
/// The same of what a filter takes, which is gone behind it: a thousand hosts' variables, each with all groups in it, are millions of parts.
const TAKEN: usize = 256 << 20;

thread_local! {
    static COMPILED: RefCell<HashMap<String, Arc<Tera>>> = RefCell::default();
    static CAUGHT: RefCell<Option<tera::Value>> = const { RefCell::new(None) };
}

/// Returns the instance with all filters and functions and without a template.
fn base() -> &'static Tera {
    static BASE: OnceLock<Tera> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut tera = Tera::new();
        tera.autoescape_on(Vec::<String>::new());
        filters::register(&mut tera);
        tera.register_function(
            VALUE,
            |kwargs: Kwargs, _: &State| -> tera::TeraResult<String> {
                let value: tera::Value = kwargs.must_get("value")?;
                CAUGHT.with(|caught| *caught.borrow_mut() = Some(value));
                Ok(String::new())
            },
        );
        tera
    })
}

fn compile(text: &str) -> Result<Arc<Tera>, Fault> {
    if let Some(known) = COMPILED.with(|c| c.borrow().get(text).cloned()) {
        return Ok(known);
    }
    if !ordered()
        && let Some(range) = map_loop(text)
    {
        let message = "the order of a map's entries is not fixed".to_owned();
        return Err(Fault { message, range });
    }
    let mut tera = base().clone();
    tera.add_raw_template(NAME, text).map_err(|e| {
        let fault = fault(&e, text);
        jinja::of_files(text, &fault).unwrap_or(fault)
    })?;
    let tera = Arc::new(tera);
    COMPILED.with(|compiled| {
        let mut compiled = compiled.borrow_mut();
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        compiled.insert(text.to_owned(), tera.clone());
    });
    Ok(tera)
}

/// Returns the variables that a text needs from outside.
pub(super) fn names(text: &str) -> Result<BTreeSet<String>, Fault> {
    let tera = compile(text)?;
    let names = tera
        .get_template_variables(NAME)
        .map_err(|e| fault(&e, text))?;
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Returns the text with every expression replaced.
pub(super) fn render(text: &str, context: &Context) -> Result<String, Fault> {
    written(&*compile(text)?, context, text)
}

fn written(tera: &Tera, context: &Context, text: &str) -> Result<String, Fault> {
    let mut output = Output::default();
    let result = tera.render_to(NAME, context, &mut output);
    let whole = |message: String| Fault {
        message,
        range: 0..text.len(),
    };
    if output.full {
        return Err(whole(format!("it gives more than {} MiB", LONGEST >> 20)));
    }
    result.map_err(|e| fault(&e, text))?;
    String::from_utf8(output.bytes).map_err(|error| whole(error.to_string()))
}

/// What values may still take, in bytes.
pub(super) struct Room {
    most: usize,
    left: usize,
}

impl Room {
    /// Returns the room that one variable has.
    pub(super) fn of_a_variable() -> Self {
        Self::new(LARGEST)
    }

    fn new(most: usize) -> Self {
        Self { most, left: most }
    }

    fn take(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!(
                "it gives more than {} MiB, where each value counts {PART} bytes beside its text",
                self.most >> 20
            )
        })?;
        self.left = left;
        Ok(())
    }

    /// Takes what a value that `text` has given needs.
    pub(super) fn take_value(&mut self, value: &Value, text: &str) -> Result<(), Fault> {
        let range = 0..text.len();
        self.take(size(value))
            .map_err(|message| Fault { message, range })
    }
}

/// What a template has given so far.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    full: bool,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > LONGEST {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns an expression's value; `None` if it is undefined. The ranges of faults count from the expression's start.
pub(super) fn evaluate(expression: &str, context: &Context) -> Result<Option<Value>, Fault> {
    let head = format!("{{{{{VALUE}(value=(");
    let text = format!("{head}{expression}\n))}}}}");
    let shift = |mut fault: Fault| {
        let end = expression.len();
        fault.range.start = fault.range.start.saturating_sub(head.len()).min(end);
        fault.range.end = fault.range.end.saturating_sub(head.len()).min(end);
        fault
    };
    let tera = compile(&text).map_err(shift)?;
    CAUGHT.with(|caught| caught.borrow_mut().take());
    tera.render(NAME, context)
        .map_err(|e| shift(fault(&e, &text)))?;
    let caught = CAUGHT.with(|caught| caught.borrow_mut().take());
    match caught {
        Some(value) if !value.is_undefined() => part(&value, &mut Room::of_a_variable())
            .map(Some)
            .map_err(|message| Fault {
                message,
                range: 0..expression.len(),
            }),
        _ => Ok(None),
    }
}

/// Returns the expression, and where it begins, of a text that is one `{{ expression }}` and nothing else.
pub(super) fn lone_expression(text: &str) -> Option<(usize, &str)> {
    let inner = text.strip_prefix("{{")?;
    let bytes = inner.as_bytes();
    let (mut i, mut depth, mut quote) = (0, 0_usize, None);
    while i < bytes.len() {
        match (quote, bytes[i]) {
            (Some(_), b'\\') => i += 1,
            (Some(open), b) if b == open => quote = None,
            (None, b @ (b'"' | b'\'' | b'`')) => quote = Some(b),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(i + 1) == Some(&b'}') => {
                if i + 2 != bytes.len() {
                    return None;
                }
                let expression = &inner[..i];
                let (start, expression) = expression
                    .strip_prefix('-')
                    .map_or((2, expression), |e| (3, e));
                return Some((start, expression.strip_suffix('-').unwrap_or(expression)));
            }
            _ => {}
        }
        i += 1;
    }
    None
}

fn fault(error: &tera::Error, text: &str) -> Fault {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => Fault {
            message: report.message().to_owned(),
            range: report.span().range.clone(),
        },
        // Unknown filters, tests and functions come as a printed report: `error: MESSAGE\n --> NAME:LINE:COLUMN`.
        ErrorKind::Msg(message) => {
            let head = message.lines().next().unwrap_or_default();
            let range = place(message, text).unwrap_or(0..text.len());
            Fault {
                message: head.strip_prefix("error: ").unwrap_or(head).to_owned(),
                range,
            }
        }
        other => Fault {
            message: other.to_string(),
            range: 0..text.len(),
        },
    }
}

fn place(report: &str, text: &str) -> Option<Range<usize>> {
    let mut lines = report.lines();
    let place = lines.find_map(|l| l.trim_start().strip_prefix("--> "))?;
    let mut parts = place.rsplit(':');
    let column: usize = parts.next()?.parse().ok()?;
    let line: usize = parts.next()?.parse().ok()?;
    let start: usize = text
        .split_inclusive('\n')
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let rest = text.get(start..)?;
    let at = start + rest.char_indices().nth(column.checked_sub(1)?)?.0;
    let length = report
        .lines()
        .last()
        .map_or(1, |l| l.matches('^').count())
        .max(1);
    Some(at..(at + length).min(text.len()))
}

/// Returns Tera's form of a value.
pub(super) fn to_tera(value: &Value) -> tera::Value {
    tera::Value::from_serializable(value)
}

/// Returns a value of Tera's as JSON has it, or why JSON has none. Without Tera's `preserve_order` its maps have no
/// order; they are sorted then, so that what is written is always the same.
pub(super) fn from_tera(value: &tera::Value) -> Result<Value, String> {
    part(value, &mut Room::new(TAKEN))
}

/// Returns the same of a part of a value.
fn part(value: &tera::Value, room: &mut Room) -> Result<Value, String> {
    room.take(PART + value.as_str().map_or(0, str::len))?;
    if let Some(items) = value.as_array() {
        return items
            .iter()
            .map(|item| part(item, room))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    if let Some(map) = value.as_map() {
        let mut entries: Vec<(String, Value)> = map
            .iter()
            .map(|(k, v)| {
                let key = k.to_string();
                room.take(key.len())?;
                Ok::<_, String>((key, part(v, room)?))
            })
            .collect::<Result<_, _>>()?;
        if !ordered() {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        return Ok(Value::Object(entries.into_iter().collect::<Map>()));
    }
    if let Some(text) = value.as_str() {
        return Ok(Value::String(text.to_owned()));
    }
    if let Some(boolean) = value.as_bool() {
        return Ok(Value::Bool(boolean));
    }
    if value.is_none() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if !value.is_f64() {
        if let Some(number) = value.as_i64() {
            return Ok(number.into());
        }
        if let Some(number) = value.as_u64() {
            return Ok(number.into());
        }
        if let Some(number) = value.as_i128() {
            return i64::try_from(number)
                .map(Value::from)
                .or_else(|_| u64::try_from(number).map(Value::from))
                .map_err(|_| format!("the number {number} does not fit into 64 bits"));
        }
    }
    value
        .as_f64()
        .and_then(serde_json::Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| format!("`{value}` has no form in JSON"))
}

fn size(value: &Value) -> usize {
    let parts = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().map(|(k, v)| k.len() + size(v)).sum(),
        _ => 0,
    };
    PART + parts
}

/// Returns the place of a loop over a map's entries, `for key, value in`. Without `preserve_order` it would write a file
/// in another order each time, and each run would change it.
fn map_loop(text: &str) -> Option<Range<usize>> {
    text.match_indices("{%").find_map(|(start, open)| {
        let inside = &text[start + open.len()..];
        let inside = &inside[..inside.find("%}")?];
        let body = inside
            .trim_start_matches('-')
            .trim_start()
            .strip_prefix("for ")?;
        let (names, _) = body.split_once(" in ")?;
        names
            .contains(',')
            .then_some(start..start + open.len() + inside.len())
    })
}

/// Returns whether Tera's maps keep their order (its feature `preserve_order`).
pub(super) fn ordered() -> bool {
    std::any::type_name::<tera::Map>().contains("IndexMap")
}
