//! The host field of a line: patterns, negation, hashed names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Returns whether a line's host field names the host: a list of patterns, of which a negated one that matches rules the
/// line out, or one hashed name (`|1|salt|HMAC-SHA1`).
pub(super) fn names(field: &str, name: &str) -> bool {
    let mut found = false;
    for pattern in field.split(',') {
        if let Some(hashed) = pattern.strip_prefix("|1|") {
            found |= hashed_is(hashed, name);
        } else if let Some(negated) = pattern.strip_prefix('!') {
            if glob(&negated.to_ascii_lowercase(), name) {
                return false;
            }
        } else {
            found |= glob(&pattern.to_ascii_lowercase(), name);
        }
    }
    found
}

fn hashed_is(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    Hmac::<Sha1>::new_from_slice(&salt)
        .is_ok_and(|mac| mac.chain_update(name).verify_slice(&hash).is_ok())
}

/// Returns the name as ssh-keygen -H writes it, with a salt of its own.
pub(super) fn hash(name: &str) -> String {
    // As long as SHA-1's output, as OpenSSH takes it (hostfile.c).
    let salt: [u8; 20] = rand::random();
    // HMAC takes keys of any length.
    let digest = Hmac::<Sha1>::new_from_slice(&salt)
        .map(|mac| mac.chain_update(name).finalize().into_bytes())
        .unwrap_or_default();
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(digest))
}

/// Returns whether `*` (any run) and `?` (any one) in the pattern can be filled to give the text.
pub(in crate::transport::ssh) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` was, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || Some(&c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    p = at + 1;
                    t = taken + 1;
                    star = Some((at, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&c| c == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_ssh_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("?", "", false),
            ("10.0.?.*", "10.0.1.23", true),
            ("[*]:2222", "[host]:2222", true),
            ("a*b*c", "aXbXbXc", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
        // No pattern takes more than the product of the lengths.
        assert!(!glob(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn host_fields_are_lists_with_negation() {
        assert!(names("a,b", "b"));
        assert!(names("HOST", "host"));
        assert!(!names("!b,*", "b"));
        assert!(!names("*,!b", "b"));
        assert!(!names("!a", "b"));
        // ssh-keygen -H of "host", and hashes that are broken.
        assert!(!names("|1|", "host"));
        assert!(!names("|1|AAAA", "host"));
        assert!(!names("|1|%|%", "host"));
        let hashed = hash("[host]:2222");
        assert!(names(&hashed, "[host]:2222") && !names(&hashed, "host"));
        assert_ne!(hashed, hash("[host]:2222"));
    }
}
