//! Jinja that Tera does not read, and how Tera says the same. Source of both: jinja.palletsprojects.com and the Tera 2
//! documentation (keats.github.io/tera).

use super::engine::Fault;

/// Filters whose Jinja form differs: the name and Tera's form.
const FILTERS: &[(&str, &str)] = &[
    (
        "bool",
        "there is no `bool`: a boolean stays one; compare text with `x == \"true\"`",
    ),
    ("combine", "write the map out: `{...a, ...b}`"),
    ("d", "write `default(value=…)`"),
    ("flatten", "write `[...a, ...b]`"),
    ("format", "join text with `~`: `\"10.0.0.\" ~ n`"),
    (
        "from_json",
        "values in inventories and roles are typed already: write the map itself",
    ),
    (
        "from_yaml",
        "values in inventories and roles are typed already: write the map itself",
    ),
    ("hash", "write `sha256`"),
    (
        "ipaddr",
        "write the address itself; nothing here computes with addresses",
    ),
    (
        "items",
        "`{% for entry in map | dict2items %}` gives `entry.key` and `entry.value`",
    ),
    ("list", "a list is one already; leave `list` out"),
    (
        "mandatory",
        "leave it out: a variable that nobody set is an error already",
    ),
    ("max", "write `sort | last`"),
    ("min", "write `sort | first`"),
    (
        "regex_replace",
        "write `replace(from=\"…\", to=\"…\")`; there are no regular expressions",
    ),
    ("reject", "write `[x for x in list if …]`"),
    ("rejectattr", "write `[x for x in list if not x.attribute]`"),
    ("select", "write `[x for x in list if …]`"),
    ("selectattr", "write `[x for x in list if x.attribute]`"),
    ("string", "write `str`"),
    ("strip", "write `trim`"),
    ("ternary", "write `a if condition else b`"),
    ("union", "write `[...a, ...b] | unique`"),
    ("count", "write `length`"),
];

/// Filters and functions whose arguments Jinja takes by place and Tera by name.
const ARGUMENTS: &[(&str, &str)] = &[
    ("default", "default(value=…)"),
    ("d", "default(value=…)"),
    ("join", "join(sep=\",\")"),
    ("replace", "replace(from=\"a\", to=\"b\")"),
    ("split", "split(pat=\",\")"),
    ("round", "round(precision=1)"),
    ("truncate", "truncate(length=10)"),
    ("indent", "indent(width=2)"),
    ("map", "map(attribute=\"name\")"),
    ("range", "range(end=3)"),
    ("get", "get(key=\"name\")"),
    ("nth", "nth(n=0)"),
    ("sort", "sort(attribute=\"name\")"),
    ("group_by", "group_by(attribute=\"name\")"),
    ("startswith", "starting_with(pat=\"…\")"),
];

/// Functions of Ansible's that are not here.
const FUNCTIONS: &[(&str, &str)] = &[
    (
        "lookup",
        "nothing is looked up on the controller: set a variable, or pass one with `-e`",
    ),
    (
        "query",
        "nothing is looked up on the controller: set a variable, or pass one with `-e`",
    ),
    (
        "q",
        "nothing is looked up on the controller: set a variable, or pass one with `-e`",
    ),
    ("dict", "write a map: `{\"key\": value}`"),
    ("raise", "write `throw(message=\"…\")`"),
];

/// Methods of Python's objects.
const METHODS: &[(&str, &str)] = &[
    (
        "items",
        "`{% for entry in map | dict2items %}` gives `entry.key` and `entry.value`",
    ),
    ("keys", "write `map | keys`"),
    ("values", "write `map | values`"),
    ("get", "write `map.key | default(value=…)`"),
    ("split", "write `text | split(pat=\",\")`"),
    ("join", "write `list | join(sep=\",\")`"),
    ("replace", "write `text | replace(from=\"a\", to=\"b\")`"),
    ("upper", "write `text | upper`"),
    ("lower", "write `text | lower`"),
    ("strip", "write `text | trim`"),
    ("startswith", "write `text is starting_with(pat=\"…\")`"),
    ("endswith", "write `text is ending_with(pat=\"…\")`"),
    ("append", "write `{% set list = [...list, item] %}`"),
    ("format", "join text with `~`"),
];

/// Tests whose Jinja form differs.
const TESTS: &[(&str, &str)] = &[
    (
        "match",
        "write `text is starting_with(pat=\"…\")` or `text is containing(pat=\"…\")`; there are no regular expressions",
    ),
    (
        "search",
        "write `text is containing(pat=\"…\")`; there are no regular expressions",
    ),
    (
        "regex",
        "write `text is containing(pat=\"…\")`; there are no regular expressions",
    ),
    ("mapping", "write `is map`"),
    ("sequence", "write `is array`"),
    ("list", "write `is array`"),
    ("boolean", "write `is bool`"),
    ("true", "write the variable alone, or `== true`"),
    ("false", "write `not` before the variable"),
    ("in", "write `a in b`"),
    (
        "version",
        "versions cannot be compared here; a role can set a variable for each",
    ),
    ("empty", "write `x | length == 0`"),
    ("sameas", "write `==`"),
    ("equalto", "write `==`"),
];

/// What is written instead of a text that takes in another one.
const ALONE: &str = "write its text here, or into a variable of vars/main.yml (`name: |`), which is a template too: `{{ name }}`";

/// Tags that take in another template.
const FILES: [&str; 4] = ["include", "extends", "import", "from"];

/// Tags that Tera has not, or that have nothing to name here.
const TAGS: &[(&str, &str)] = &[
    (
        "macro",
        "there are no macros: write the text out, or loop over a list",
    ),
    ("include", ALONE),
    ("extends", ALONE),
    ("import", ALONE),
    ("from", ALONE),
    ("call", "there are no macros: write the text out"),
    ("do", "write `{% set name = … %}`"),
    ("with", "write `{% set name = … %}`"),
    ("elseif", "write `elif`"),
];

/// Names of Tera's for types (its `args.rs` and `Value::name`), in words. `undefined` is none of them: it is told in its own way.
const TYPES: &[(&[&str], &str)] = &[
    (&["&str", "string", "String"], "text"),
    (
        &[
            "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
            "f32", "f64", "Number",
        ],
        "a number",
    ),
    (&["bool"], "true or false"),
    (&["array", "Vec<Value>", "&[Value]"], "a list"),
    (&["Map", "map/struct"], "a map"),
    (&["none"], "null"),
];

/// Parts of the messages that name types.
const TYPED: [&str; 4] = [
    "Invalid type for the value",
    "can only be used on",
    "requires both operands to be",
    "Iteration not possible on type",
];

/// What makes one type of another: what is expected, what was given, and what to write.
const MADE: &[(&str, &str, &str)] = &[
    ("text", "a number", "`str` makes text of it: `value | str`"),
    (
        "text",
        "true or false",
        "`str` makes text of it: `value | str`",
    ),
    (
        "text",
        "a list",
        "`join` makes text of it: `list | join(sep=\",\")`",
    ),
    (
        "a number",
        "text",
        "`int` makes a number of it: `value | int`",
    ),
    (
        "a list",
        "a map",
        "`dict2items` makes a list of it: `map | dict2items`",
    ),
    (
        "a list",
        "text",
        "`split` makes a list of it: `text | split(pat=\",\")`",
    ),
];

fn in_words(name: &str) -> Option<&'static str> {
    let mut all = TYPES.iter();
    all.find(|(names, _)| names.contains(&name))
        .map(|(_, words)| *words)
}

/// Returns a message of Tera's with types in words, where it names some.
pub(super) fn plain(message: &str) -> String {
    if !TYPED.iter().any(|part| message.contains(part)) {
        return message.to_owned();
    }
    let mut out = String::new();
    for (place, part) in message.split('`').enumerate() {
        match (place % 2 == 1, in_words(part)) {
            (true, Some(words)) => out.push_str(words),
            (true, None) => {
                out.push('`');
                out.push_str(part);
                out.push('`');
            }
            (false, _) => out.push_str(part),
        }
    }
    out.replace(
        "Iteration not possible on type ",
        "Iteration not possible on ",
    )
}

/// Returns how the value that a filter or test does not take becomes one that it does.
fn made(message: &str) -> Option<String> {
    let mut types = message.split('`').skip(1).step_by(2).map(in_words);
    let (wanted, given) = (types.next()??, types.next()??);
    let mut all = MADE.iter();
    all.find(|(to, from, _)| (*to, *from) == (wanted, given))
        .map(|(.., form)| (*form).to_owned())
}

/// Returns Tera's form of an index behind a dot: `a.0`. `before` ends with the dot.
fn index(before: &str, rest: &str) -> Option<String> {
    let before = before.strip_suffix('.')?;
    let is_path = |c: char| c.is_alphanumeric() || "_.[]".contains(c);
    let name = &before[before.rfind(|c: char| !is_path(c)).map_or(0, |at| {
        at + before[at..].chars().next().map_or(1, char::len_utf8)
    })..];
    // `a.1.0` is read as a fraction.
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
    let numbers = rest[..end.unwrap_or(rest.len())].split('.');
    let places: String = numbers
        .filter(|number| !number.is_empty())
        .map(|number| format!("[{number}]"))
        .collect();
    Some(format!("write `{name}{places}`"))
}

/// Returns whether a map is still open at the end of the expression that `before` ends in.
fn is_in_map(before: &str) -> bool {
    let start = ["{{", "{%"].iter().filter_map(|open| before.rfind(open));
    let start = start.max().map_or(0, |at| {
        // Of `{{{` the first two begin the expression.
        before[..at].trim_end_matches('{').len() + 2
    });
    let (mut open, mut quote) = (Vec::new(), None);
    for c in before.get(start..).unwrap_or_default().chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{' | '[' | '(') => open.push(c),
            (None, '}' | ']' | ')') => {
                open.pop();
            }
            (None, _) => {}
        }
    }
    open.last() == Some(&'{')
}

fn known(table: &'static [(&str, &str)], name: &str) -> Option<String> {
    table
        .iter()
        .find(|(n, _)| *n == name)
        .map(|(_, form)| (*form).to_owned())
}

/// Returns a fault that is none of the text's but of a tag which names another template: Tera knows one at a time here.
pub(super) fn of_files(text: &str, fault: &Fault) -> Option<Fault> {
    // These have no place, or another one.
    let elsewhere = [
        (" is inheriting from ", "extends"),
        (" of a child template", "extends"),
        ("Circular include", "include"),
    ];
    let elsewhere = elsewhere
        .iter()
        .find(|(part, _)| fault.message.contains(part));
    let at = match elsewhere {
        Some((_, tag)) => text.find(tag)?,
        None => {
            let before = text.get(..fault.range.start)?;
            let tag = &before[before.rfind("{%")? + 2..];
            let rest = tag.trim_start_matches('-').trim_start();
            if tag.contains("%}") {
                return None;
            }
            before.len() - rest.len()
        }
    };
    let tag = word_at(text, at);
    FILES.contains(&tag).then(|| Fault {
        message: format!(
            "Unknown tag `{tag}`: a template cannot include, import or extend another one"
        ),
        range: at..at + tag.len(),
    })
}

/// Returns how Tera says what the faulty text tries to say, where that is known.
pub(super) fn hint(text: &str, fault: &Fault) -> Option<String> {
    let message = fault.message.as_str();
    let quoted = message.split('`').nth(1).unwrap_or_default();
    if message.starts_with("Unknown filter") {
        return known(FILTERS, quoted);
    }
    if message.starts_with("Unknown test") {
        return known(TESTS, quoted);
    }
    if message.starts_with("Unknown function") {
        return known(FUNCTIONS, quoted);
    }
    let start = fault.range.start.min(text.len());
    if message.starts_with("the order of a map") {
        return known(METHODS, "items");
    }
    if message.starts_with("Unknown tag") {
        return known(TAGS, word_at(text, start));
    }
    if message.starts_with("Function calls are only allowed") {
        return known(METHODS, word_at(text, start))
            .or_else(|| Some("there are no methods: use a filter, `value | filter`".into()));
    }
    if message.starts_with("`+` requires") {
        return Some("text is joined with `~`, lists with `[...a, ...b]`; `+` adds numbers".into());
    }
    if message.starts_with("Unexpected end") {
        return Some("each `{{` ends with `}}`, each `{% if … %}` with `{% endif %}`, each `{% for … %}` with `{% endfor %}`".into());
    }
    if message.starts_with("Invalid type for the value") {
        return made(message);
    }
    if message.starts_with("Found `}}`") && is_in_map(text.get(..start)?) {
        return Some("write a space between the braces of two maps, `} }`, and before the braces that end the expression, `} }}`".into());
    }
    let (before, rest) = text.split_at_checked(start)?;
    if before.ends_with('.')
        && ["Found integer", "Found float"]
            .iter()
            .any(|found| message.starts_with(found))
    {
        return index(before, rest);
    }
    if message.contains("expected identifier") || message.contains("but expected =") {
        return arguments(text.get(..start)?);
    }
    None
}

/// Returns the hint for an argument by place, from the text before it: the call that is still open.
fn arguments(before: &str) -> Option<String> {
    let mut depth = 0_usize;
    for (i, c) in before.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth > 0 => depth -= 1,
            '(' => {
                let name = before[..i].trim_end();
                let name = &name[name
                    .rfind(|c: char| !c.is_alphanumeric() && c != '_')
                    .map_or(0, |i| i + 1)..];
                if let Some(hint) = known(FUNCTIONS, name) {
                    return Some(hint);
                }
                return match ARGUMENTS.iter().find(|(n, _)| *n == name) {
                    Some((_, form)) => Some(format!("arguments have names here: `{form}`")),
                    None => known(FILTERS, name).or_else(|| {
                        Some("arguments have names here: `name(argument=value)`".into())
                    }),
                };
            }
            _ => {}
        }
    }
    None
}

fn word_at(text: &str, start: usize) -> &str {
    let rest = text.get(start..).unwrap_or_default();
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    &rest[..end]
}
