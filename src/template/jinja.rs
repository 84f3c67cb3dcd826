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
