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
    fn paths() {
        for good in ["/", "/etc/hosts", "/a b"] {
            assert!(is_sound_path(good), "{good}");
        }
        for bad in ["", "etc", "/a\nb", "/a/../b", "/a\\b", "/./a"] {
            assert!(!is_sound_path(bad), "{bad}");
        }
    }
}
