//! Decrypted values within base64, in the forms in which templates and programs put them there.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use proptest::prelude::*;
use quorate::event::{Category, Event, Status};
use quorate::model::{HostName, Masks};
use serde_json::json;

const PEM: &str = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQDEnYvG5ulw\nx4=\n-----END KEY-----";
const PASS: &str = "Alpha-Bravo-Charlie-Delta-Echo-Foxtrot";

fn masks(values: &[&str]) -> Masks {
    Masks::new(values.iter().map(ToString::to_string))
}

/// As `base64 FILE` prints it.
fn wrapped(text: &str) -> String {
    let text = BASE64.encode(text);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    lines.join("\n")
}

#[test]
fn values_within_base64_are_hidden() {
    let odd = "qu\"ote\\back/sl ash";
    let block = format!("k:\n  z: |\n    {}\n", PEM.replace('\n', "\n    "));
    let auth = json!({"auths": {"r": {"auth": BASE64.encode(format!("joe:{PASS}"))}}});
    for (value, text, hidden) in [
        // JSON's form.
        (PEM, BASE64.encode(json!({"k": PEM}).to_string()), "***"),
        (odd, BASE64.encode(json!({"key": odd}).to_string()), "***"),
        (
            "end\"quoted\"",
            BASE64.encode(json!(["end\"quoted\""]).to_string()),
            "***",
        ),
        // Lines of it, indented.
        (PEM, format!("data: {}", BASE64.encode(block)), "data: ***"),
        // Base64 of base64, also with JSON between, and once more.
        (PASS, BASE64.encode(auth.to_string()), "***"),
        (PASS, BASE64.encode(BASE64.encode(auth.to_string())), "***"),
        // A short one, as a word.
        (
            "sixchr",
            format!("Basic {}", BASE64.encode("joe:sixchr")),
            "Basic ***",
        ),
        ("sixchr", BASE64.encode("jo:sixchr"), "***"),
        ("sixchr", BASE64.encode("j:sixchr"), "***"),
        ("four", "x-Zm91cg==".to_owned(), "***"),
        ("four", "letters/Zm91cg==".to_owned(), "letters/***"),
        ("four", "Zm91cg".to_owned(), "***"),
        // The other alphabet, and a word before it.
        (
            PASS,
            format!(
                "t={}",
                URL_SAFE_NO_PAD.encode(format!("\u{3ff}\u{fff}~?{PASS}"))
            ),
            "t=***",
        ),
        (PASS, format!("/path/{}", BASE64.encode(PASS)), "***"),
        (
            PASS,
            format!("\u{e9}{}\u{e9}", BASE64.encode(PASS)),
            "\u{e9}***\u{e9}",
        ),
        // Padding in the middle of a line.
        (
            PASS,
            format!("a={}&b=c", BASE64.encode(format!("{PASS}."))),
            "a=***&b=c",
        ),
    ] {
        assert_eq!(masks(&[value]).hide(&text), hidden, "{value:?}");
    }
}

/// The value lies over the end of a line; what the other lines say stays, and so do the lines.
#[test]
fn values_within_wrapped_base64_are_hidden() {
    let masks = masks(&[PASS]);
    let text = format!("{}{PASS}{}", "some text ".repeat(4), " and more".repeat(9));
    let text = wrapped(&text);
    let lines: Vec<&str> = text.lines().collect();
    let [_, _, last] = lines[..] else {
        panic!("{text}");
    };
    for (before, between, after) in [
        ("", "\n", ""),
        ("", "\r\n", ""),
        ("a: ", "\\n", "\\n"),
        ("{\"a\":\"", "\\r\\n", "\"}"),
        ("a: |\n    ", "\n    ", "\nb: 1\n"),
        ("a: \"", "\\\n  ", "\"\n"),
        // A difference: new, gone, as it was.
        ("@@ -1 +1 @@\n+", "\n+", "\n+b\n"),
        ("-", "\n-", "\n+b\n"),
        ("--- a\n+++ b\n-  ", "\n-  ", "\n+  c2hvcnQ=\n"),
        (" k: |\n+    ", "\n+    ", "\n b: 1\n"),
        ("+", "\n+", "\n c\n"),
    ] {
        let whole = format!("{before}{}{after}", lines.join(between));
        let hidden = format!("{before}***{between}***{between}{last}{after}");
        assert_eq!(masks.hide(&whole), hidden);
    }
    // Each side of a difference, whose lines stand among the other's.
    let [first, second, _] = lines[..] else {
        panic!("{text}");
    };
    for (text, hidden) in [
        (
            format!(" {first}\n-b2xk\n+{second}\n {last}\n"),
            format!(" ***\n-b2xk\n+***\n {last}\n"),
        ),
        (
            format!("-{first}\n+bmV3\n {second}\n {last}\n"),
            format!("-***\n+bmV3\n ***\n {last}\n"),
        ),
    ] {
        assert_eq!(masks.hide(&text), hidden);
    }
    // The last lines of a command that failed are several texts.
    let event = Event::StepFinished {
        host: HostName::new("cp1").unwrap(),
        title: "t".into(),
        status: Status::Failed,
        category: Category::Kubeadm,
        seconds: 1.0,
        detail: lines.iter().map(ToString::to_string).collect(),
        help: None,
    };
    let Event::StepFinished { detail, .. } = event.hide(&masks) else {
        panic!("another event");
    };
    assert_eq!(detail, ["***", "***", last]);
}

#[test]
fn what_holds_no_value_stays() {
    let masks = masks(&[PASS, PEM, "four", "sixchr", "root", "kubernetes-admin"]);
    let long = BASE64.encode("nothing of it ".repeat(400));
    let noise: Vec<u8> = (0..4000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    for text in [
        "control-plane-1.example.internal",
        "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "chroot rootfs fourteen sixchristmas",
        "cm9vdGZz",
        "YWxsIHJvb3RmcyBhcmU=",
        "- one\n- two\n+ three\n\\n\\\\n\n\n=====\n",
        "\\",
        "",
        "\u{1f980}\u{1f980}/\u{1f980}aaaaaaaaaaaa\u{1f980}\n\u{1f980}",
        long.as_str(),
        wrapped(&"nothing of it ".repeat(400)).as_str(),
        BASE64.encode(noise).as_str(),
    ] {
        assert_eq!(masks.hide(text), text);
    }
}

/// Returns whether a value can be had back from a text by decoding, so often at most.
fn survives(text: &[u8], value: &str, depth: usize) -> bool {
    let lenient = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    if text
        .windows(value.len())
        .any(|part| part == value.as_bytes())
    {
        return true;
    }
    // With and without the ends of lines, from each character.
    let joined: Vec<u8> = text.iter().copied().filter(|b| *b != b'\n').collect();
    depth > 0
        && [text, &joined].into_iter().any(|text| {
            let is_letter = |b: &u8| b.is_ascii_alphanumeric() || b"+/".contains(b);
            let runs = text.split(|b| !is_letter(b));
            runs.filter(|run| run.len() > 8).any(|run| {
                (0..4).any(|skipped| {
                    let run = &run[skipped..];
                    let whole = run.len() - usize::from(run.len() % 4 == 1);
                    let bytes = lenient.decode(&run[..whole]).unwrap();
                    survives(&bytes, value, depth - 1)
                })
            })
        })
}

proptest! {
    #[test]
    fn no_value_is_had_back(
        value in "[ -~\u{e9}]{8,90}".prop_filter("a value", |v| v.trim().chars().count() >= 8),
        (before, after) in ("(?s).{0,120}", "(?s).{0,120}"),
        (outer, behind) in ("[ -~\n\u{e9}]{0,60}", "[ -~\n\u{e9}]{0,60}"),
        wraps in any::<[bool; 3]>(),
        times in 1..=3usize,
    ) {
        let value = value.trim();
        let mut text = format!("{before}{value}{after}");
        for wrap in &wraps[..times] {
            text = if *wrap { wrapped(&text) } else { BASE64.encode(&text) };
        }
        let text = format!("{outer}{text}{behind}");
        prop_assert!(survives(text.as_bytes(), value, times));
        let hidden = masks(&[value]).hide(&text);
        prop_assert!(!survives(hidden.as_bytes(), value, times), "{hidden}");
        prop_assert_eq!(hidden.lines().count(), text.lines().count());
    }

    #[test]
    fn any_text_and_any_value_will_do(
        values in prop::collection::vec("(?s).{0,12}", 0..4),
        text in r"([+\-\n\r /=\\nA-Zé]|(?s).){0,80}",
    ) {
        let masks = Masks::new(values);
        masks.hide(&text);
        masks.hide_all(&text);
    }
}
