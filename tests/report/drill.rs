//! A drill and other journals as they are shown, and as a page.

use quorate::event::{Event, Recap, Record};
use quorate::report::{Options, Plain, Pretty, Surface, page};

use super::{Buffer, at, host, journal, planned, report, started, step, unstyled};

#[test]
fn a_drill_in_lines() {
    let records = journal("drill");
    let plain = Buffer::default();
    report(
        &mut Plain::new(Box::new(plain.clone()), Options::default()),
        &records,
    );
    insta::assert_snapshot!("plain_drill", plain.text());
    let pretty = Buffer::default();
    let surface = Surface::Stream(Box::new(pretty.clone()));
    report(
        &mut Pretty::new(surface, Options::default(), true),
        &records,
    );
    insta::assert_snapshot!("pretty_drill", unstyled(&pretty.text()));
}

#[test]
fn the_fold_keeps_what_the_rounds_found() {
    let records = journal("drill");
    let found = Recap::of(&records).drill.unwrap();
    assert_eq!((found.plan.rounds, found.rounds.len()), (2, 2));
    // A drill that was killed has the rounds that came to their end.
    let half = &records[..records.len() / 2];
    let recap = Recap::of(half);
    assert!(!recap.finished);
    assert_eq!(recap.drill.unwrap().rounds.len(), 0);
    let text = serde_json::to_string(&Recap::of(&records)).unwrap();
    assert!(text.contains(r#""target":"cp1""#), "{text}");
}

/// Tags that are open at the end, or closed without having been opened.
fn unbalanced(html: &str) -> Vec<String> {
    // The content of these needs no end tag (HTML, optional tags), or has none.
    const VOID: [&str; 14] = [
        "meta", "path", "rect", "!doctype", "i", "td", "th", "tr", "li", "br", "!--", "tbody",
        "thead", "p",
    ];
    let mut open: Vec<String> = Vec::new();
    let mut wrong = Vec::new();
    for piece in html.split('<').skip(1) {
        let name: String = piece
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '>')
            .collect();
        let tag = piece.split('>').next().unwrap_or_default();
        let bare = name.trim_start_matches('/').to_string();
        if tag.ends_with('/') || VOID.contains(&bare.as_str()) {
            continue;
        }
        if name.starts_with('/') {
            if open.pop().as_ref() != Some(&bare) {
                wrong.push(bare);
            }
        } else {
            open.push(bare);
        }
    }
    wrong.extend(open);
    wrong
}

#[test]
fn a_page_stands_alone() {
    for name in ["drill", "apply", "plan", "lab-drift-apply", "lab-exec"] {
        let html = page(&journal(name), &format!("{name}.jsonl"));
        assert!(html.starts_with("<!doctype html>"));
        assert_eq!(unbalanced(&html), Vec::<String>::new(), "{name}");
        // Nothing is loaded from anywhere, and nothing runs.
        let html_without_own_links = html.replace("href=\"#", "");
        for sign in [
            "http://", "https://", "src=", "href=", "url(", "<script", "@import",
        ] {
            assert!(!html_without_own_links.contains(sign), "{name}: {sign}");
        }
        assert!(html.contains("default-src 'none'"));
        assert!(html.contains("prefers-color-scheme: dark"));
        assert!(html.contains(&format!("journal {name}.jsonl")));
    }
}

/// The bars of a kind in the first strip.
fn bars(html: &str, kind: &str) -> usize {
    let strip = html.split("</svg>").next().unwrap();
    let path = strip.split(&format!("bar {kind}\"")).nth(1);
    let path = path.and_then(|p| p.split("/>").next()).unwrap_or_default();
    path.matches('M').count()
}

#[test]
fn the_strip_has_a_bar_for_each_request() {
    let records = journal("drill");
    let html = page(&records, "drill.jsonl");
    let found = Recap::of(&records).drill.unwrap();
    let round = &found.rounds[0];
    let made = ["ok", "slow", "failed"].map(|kind| bars(&html, kind));
    assert_eq!(made.iter().sum::<usize>(), round.probes as usize);
    assert_eq!(made[1..], [round.slow as usize, round.failed as usize]);
    for text in [
        "cp1 taken away",
        "VIP to cp2",
        "cp1 back",
        "redundant",
        "made the requests",
        "took it over",
        "outage 0.65 s",
        "the open watch broke after 3.01 s",
    ] {
        assert!(html.contains(text), "no `{text}`");
    }
}

#[test]
fn what_hosts_say_forges_no_tag() {
    let bad = "</pre><script>alert('x')</script>&\u{1b}[31m\"";
    let mut hostile = step(
        "cp1",
        quorate::event::Status::Failed,
        quorate::event::Category::Own,
        1.0,
    );
    if let Event::StepFinished {
        title,
        detail,
        help,
        ..
    } = &mut hostile
    {
        *title = bad.into();
        *detail = vec![bad.into()];
        *help = Some(bad.into());
    }
    let mut run = started(bad, &["cp1"]);
    if let Event::RunStarted {
        cluster,
        user,
        version,
        ..
    } = &mut run
    {
        for text in [cluster, user, version] {
            *text = bad.into();
        }
    }
    let warning = Event::Warning {
        host: Some(host("cp1")),
        message: bad.into(),
    };
    let records: Vec<Record> = [run, hostile, warning, planned("cp1")]
        .map(|event| at(0, event))
        .into();
    let html = page(&records, bad);
    assert!(
        !html.contains("<script") && !html.contains('\u{1b}'),
        "{html}"
    );
    assert_eq!(unbalanced(&html), Vec::<String>::new());
    assert!(html.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{html}");
    assert!(html.contains("the run did not end"));
}

/// Each link of the page leads to a part that is there, once.
#[test]
fn the_page_s_parts_are_linked() {
    for (name, parts) in [
        ("plan", &["changes", "cluster", "timeline", "hosts"][..]),
        ("apply", &["failures", "changes", "timeline", "hosts"]),
        ("lab-drift-apply", &["changes", "timeline", "hosts"]),
        ("drill", &["rounds", "hosts"]),
    ] {
        let html = page(&journal(name), name);
        let links: Vec<&str> = html
            .split("<a href=\"#")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert_eq!(links, parts, "{name}");
        for part in parts {
            assert_eq!(
                html.matches(&format!(" id=\"{part}\"")).count(),
                1,
                "{name}"
            );
        }
    }
    let html = page(&journal("plan"), "plan");
    for text in [
        "seen before",
        "new since the last run",
        "disturbs the path to the API",
        "<span class=\"add\">+    maxconn 4000</span>",
        "virtual address 10.0.0.10 on cp1",
        "certificate for 363 days",
        "As written: w1",
    ] {
        assert!(html.contains(text), "no `{text}`");
    }
    let html = page(&journal("lab-drift-apply"), "x");
    assert!(
        html.contains("waits for cp1: cluster : endpoint answers"),
        "{html}"
    );
}
