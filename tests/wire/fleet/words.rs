//! The words of a shell command that quorate rendered: plain ones, and ones between single quotes.

/// Returns the words of the command that begins at `text`, up to the end of its line or the operator behind it, and how
/// many bytes they take.
pub(crate) fn command(text: &str) -> (Vec<String>, usize) {
    let bytes = text.as_bytes();
    let (mut words, mut word, mut quoted, mut at) = (Vec::new(), Vec::new(), false, 0);
    let mut end = |word: &mut Vec<u8>, quoted: &mut bool| {
        if !word.is_empty() || *quoted {
            words.push(String::from_utf8_lossy(word).into_owned());
        }
        word.clear();
        *quoted = false;
    };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\'' => {
                quoted = true;
                let rest = &bytes[at + 1..];
                let length = rest.iter().position(|b| *b == b'\'').unwrap_or(rest.len());
                word.extend(&rest[..length]);
                at += length + 1;
            }
            b'\\' => {
                at += 1;
                word.extend(bytes.get(at));
            }
            b' ' => end(&mut word, &mut quoted),
            b'\n' | b';' | b'&' | b'|' => break,
            _ => word.push(byte),
        }
        at += 1;
    }
    end(&mut word, &mut quoted);
    (words, at)
}

/// Returns all commands in a text, in order.
pub(crate) fn commands(mut text: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let (words, length) = command(text);
        if !words.is_empty() {
            all.push(words);
        }
        let rest = &text[length.min(text.len())..];
        text = rest.trim_start_matches(['\n', ';', '&', '|', ' ']);
    }
    all
}
