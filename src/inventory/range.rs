//! Ranges in host names: `cp[1:3]`, `[01:10:2]`, `[a:f]` (Ansible's `expand_hostname_range`).

/// Hosts that one pattern may stand for. Ten times what quorate is tested with.
const MAX_HOSTS: usize = 10_000;

/// Returns the names that a host pattern stands for, in order, or what is wrong with it.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find('[') {
        let head = &rest[..open];
        let close = rest[open..]
            .find(']')
            .ok_or_else(|| format!("`{pattern}` opens a range with `[` and does not close it"))?;
        let items = items(&rest[open + 1..open + close])?;
        if names.len().saturating_mul(items.len()) > MAX_HOSTS {
            return Err(format!(
                "`{pattern}` stands for more than {MAX_HOSTS} hosts"
            ));
        }
        names = names
            .iter()
            .flat_map(|n| items.iter().map(move |i| format!("{n}{head}{i}")))
            .collect();
        rest = &rest[open + close + 1..];
    }
    for name in &mut names {
        name.push_str(rest);
    }
    Ok(names)
}

fn items(range: &str) -> Result<Vec<String>, String> {
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds[..] {
        [begin, end] => (begin, end, "1"),
        [begin, end, step] => (begin, end, step),
        _ => {
            return Err(format!(
                "`[{range}]` is no range: write it as `[1:3]` or `[1:9:2]`"
            ));
        }
    };
    if end.is_empty() {
        return Err(format!("the range `[{range}]` has no end"));
    }
    let begin = if begin.is_empty() { "0" } else { begin };
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => {
            return Err(format!(
                "the step of the range `[{range}]` is no number above 0"
            ));
        }
    };
    if let (Some(b), Some(e)) = (letter(begin), letter(end)) {
        if b > e {
            return Err(format!("the range `[{range}]` ends before it begins"));
        }
        return Ok((b..=e)
            .step_by(step)
            .filter_map(|i| LETTERS.get(i..=i))
            .map(str::to_owned)
            .collect());
    }
    let number = |text: &str| {
        text.parse::<usize>().map_err(|_| {
            format!("the range `[{range}]` has a bound that is neither a number nor a letter")
        })
    };
    let (b, e) = (number(begin)?, number(end)?);
    let width = if begin.len() > 1 && begin.starts_with('0') {
        if begin.len() != end.len() {
            return Err(format!(
                "the bounds of the range `[{range}]` begin with 0 and differ in length"
            ));
        }
        begin.len()
    } else {
        0
    };
    if b > e {
        return Err(format!("the range `[{range}]` ends before it begins"));
    }
    if (e - b) / step >= MAX_HOSTS {
        return Err(format!(
            "the range `[{range}]` stands for more than {MAX_HOSTS} hosts"
        ));
    }
    Ok((b..=e)
        .step_by(step)
        .map(|i| format!("{i:0width$}"))
        .collect())
}

/// The order of letters in a range: Python's `string.ascii_letters`.
const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn letter(text: &str) -> Option<usize> {
    if text.len() == 1 {
        LETTERS.find(text)
    } else {
        None
    }
}
