//! A command line as words, without a shell.

/// Returns the words of `text` as Python's `shlex.split` gives them: quotes and backslashes count, nothing else does. `None`
/// where a quote is not closed.
pub fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            (" a  b\n", Some(&["a", "b"])),
            ("a 'b c' d", Some(&["a", "b c", "d"])),
            (r#""a \" b" c\ d ''"#, Some(&["a \" b", "c d", ""])),
            (r#""\n" '\'"#, Some(&[r"\n", r"\"])),
            ("a#b", Some(&["a#b"])),
            ("'a", None),
            ("\"a", None),
            ("a\\", None),
        ];
        for (text, words) in cases {
            assert_eq!(
                split(text).as_deref(),
                words
                    .map(|w| w.iter().map(|s| s.to_string()).collect::<Vec<_>>())
                    .as_deref(),
                "{text}"
            );
        }
    }
}
