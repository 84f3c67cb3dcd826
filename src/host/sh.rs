//! POSIX shell words.

use std::borrow::Cow;

/// Returns `text` as one shell word (POSIX 2.2.2: nothing is special between single quotes but the quote itself).
pub fn quote(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// Returns `text` as one word of whatever login shell reads it: what sh, csh and fish read alike. Between single quotes fish
/// reads backslashes, and csh looks for `!` and takes no end of line; that last one stays as it is.
pub fn login_word(text: &str) -> String {
    let mut word = String::with_capacity(text.len() + 2);
    word.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' | '!' => word.extend(["'\\", c.encode_utf8(&mut [0; 4]), "'"]),
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

/// Returns `words` as shell words with a space between them.
pub fn words<I: IntoIterator>(words: I) -> String
where
    I::Item: AsRef<str>,
{
    words
        .into_iter()
        .map(|w| quote(w.as_ref()).into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns whether a path can stand in a line of our records: absolute, without control characters or backslashes,
/// and without `.` or `..` in it.
pub fn is_sound_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() < 4096
        && !path.chars().any(|c| c.is_control() || c == '\\')
        && !path.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        for text in [
            "", "a", "it's", "$(x)", "a b", "-n", "`x`", "a\nb", "\"", "!", "*", "~", "a;b", "ü",
        ] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s' {}", quote(text))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }

    #[test]
    fn words_survive_any_login_shell() {
        // Those that are no part of every system are tried where they are.
        for (shell, is_there) in [
            (&["sh"][..], true),
            (&["busybox", "sh"], true),
            (&["bash"], false),
            (&["zsh"], false),
            (&["fish", "--no-config"], false),
            (&["tcsh", "-f"], false),
        ] {
            for text in [
                "",
                "it's",
                r"a\b",
                r"\'",
                r"\",
                "a!b",
                "'\\''",
                "$(x) `y` \"",
                "!!",
                "ü #",
                "{a,b} ~",
            ] {
                // Also where the word is inside of another one, as behind sudo.
                let inner = format!("printf '%s' {}", login_word(text));
                let line = format!("exec /bin/sh -c {}", login_word(&inner));
                let output = std::process::Command::new(shell[0])
                    .args(&shell[1..])
                    .args(["-c", &line])
                    .output();
                let output = match output {
                    Ok(output) => output,
                    Err(error) if is_there => panic!("{shell:?}: {error}"),
                    Err(_) => break,
                };
                assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{shell:?}");
            }
        }
    }

    #[test]
    fn paths() {
        for good in ["/", "/etc/hosts", "/a b"] {
            assert!(is_sound_path(good), "{good}");
        }
        for bad in ["", "etc", "/a\nb", "/a/../b", "/a\\b", "/./a"] {
            assert!(!is_sound_path(bad), "{bad}");
        }
    }
}
