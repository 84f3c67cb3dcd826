//! The page in a real browser: headless Chromium, driven over its debugging pipe. `make test-page` runs it, and says
//! "skipped" where there is no Chromium.
//!
//! With `QUORATE_SHOTS=FOLDER` it leaves screenshots there, for a person to look at.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests are no tests to clippy"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

/// How long the browser may take for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of text to its background, as WCAG 2.2 asks for (success criterion 1.4.3, level AA).
const CONTRAST: f64 = 4.5;

/// A browser with one page.
struct Browser {
    process: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    session: String,
    next: u64,
    /// Addresses that were asked for.
    requests: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Browser {
    fn start(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The pipe is on descriptors 3 and 4; a shell puts them there.
        let mut process = Command::new("sh")
            .args([
                "-c",
                "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1",
                "sh",
            ])
            .arg(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop_if(|end| *end == 0);
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            process,
            input,
            answers,
            session: String::new(),
            next: 0,
            requests: Vec::new(),
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().unwrap().into();
        browser.call("Page.enable", json!({}));
        browser.call("Network.enable", json!({}));
        browser
    }

    /// Calls a method and returns its result.
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let text = format!("{message}\0");
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.flush().unwrap();
        loop {
            let answer = self.answers.recv_timeout(PATIENCE).expect(method);
            self.note(&answer);
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    fn note(&mut self, message: &Value) {
        if message["method"] == "Network.requestWillBeSent" {
            let url = &message["params"]["request"]["url"];
            self.requests.push(url.as_str().unwrap_or_default().into());
        }
    }

    /// Opens a file and waits until it is there.
    fn open(&mut self, path: &std::path::Path) {
        self.requests.clear();
        let url = format!("file://{}", path.display());
        self.call("Page.navigate", json!({ "url": url }));
        loop {
            let message = self.answers.recv_timeout(PATIENCE).expect("load");
            self.note(&message);
            if message["method"] == "Page.loadEventFired" {
                return;
            }
        }
    }

    /// Returns what an expression says.
    fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// Shows the page as on a screen of this width and colour scheme, or on paper.
    fn look(&mut self, width: u32, scheme: &str, media: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false }),
        );
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "media": media, "features": features }),
        );
    }

    fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    fn shoot(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("QUORATE_SHOTS") else {
            return;
        };
        std::fs::create_dir_all(&folder).unwrap();
        let shot = self.call(
            "Page.captureScreenshot",
            json!({ "captureBeyondViewport": true, "format": "png" }),
        );
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(shot["data"].as_str().unwrap())
            .unwrap();
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(path, bytes).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns texts whose contrast to what is behind them is too small.
const PALE: &str = r"
(() => {
  const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const linear = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0.99) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const node = walker.currentNode.parentElement;
    if (!text || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const ink = node.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(parse(ink)), light(behind(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < LEAST) found.push(`${text.slice(0, 40)}: ${contrast.toFixed(2)} (${ink})`);
  }
  return [...new Set(found)];
})()";

/// Returns elements that stick out to the right, but for those in boxes that scroll by themselves.
const WIDE: &str = r"
(() => {
  const found = [];
  if (document.documentElement.scrollWidth > innerWidth) found.push(`the page: ${document.documentElement.scrollWidth}`);
  for (const node of document.querySelectorAll('body *')) {
    if (node.closest('.wide, pre, .track, .axis') || !node.checkVisibility()) continue;
    const box = node.getBoundingClientRect();
    if (box.right > innerWidth + 1) found.push(`${node.tagName}.${node.className}: ${Math.round(box.right)}`);
  }
  return found;
})()";

/// Returns boxes that are scrolled sideways and have no shadow, over which covers scroll along, at the edge behind which there is more.
const CUT: &str = r"
(() => {
  const found = [];
  let cut = 0;
  for (const node of document.querySelectorAll('.wide')) {
    if (node.scrollWidth <= node.clientWidth || !node.checkVisibility()) continue;
    cut += 1;
    const style = getComputedStyle(node);
    const shadows = style.backgroundImage.split('linear-gradient').length - 1;
    if (shadows !== 4 || style.backgroundAttachment !== 'local, local, scroll, scroll') found.push(`${node.parentElement.id}: ${style.backgroundImage}`);
  }
  if (cut === 0 && innerWidth < 560) found.push('no box is scrolled');
  return found;
})()";

fn strings(value: Value) -> Vec<String> {
    serde_json::from_value(value).unwrap()
}

/// Every part of a page, in both colour schemes, on a desk, on a phone, and on paper.
#[test]
fn each_page_is_readable_everywhere() {
    let program = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start(&program);
    for name in [
        "plan",
        "apply",
        "drill",
        "lab-drift-plan",
        "lab-drift-apply",
    ] {
        let journal = format!("{}/tests/data/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let (records, _) = quorate::engine::journal::read(journal.as_ref()).unwrap();
        let path = folder.path().join(format!("{name}.html"));
        std::fs::write(&path, quorate::report::page(&records, name)).unwrap();
        for (width, scheme) in [
            (1200, "light"),
            (1200, "dark"),
            (380, "light"),
            (380, "dark"),
        ] {
            let place = format!("{name}-{width}-{scheme}");
            browser.look(width, scheme, "screen");
            browser.open(&path);
            let loaded: Vec<&String> = browser
                .requests
                .iter()
                .filter(|url| !url.ends_with(&format!("{name}.html")))
                .collect();
            assert!(loaded.is_empty(), "{place} loads {loaded:?}");
            browser.shoot(&place);
            // What is folded has to be readable too.
            browser.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
            assert_eq!(strings(browser.eval(WIDE)), Vec::<String>::new(), "{place}");
            assert_eq!(strings(browser.eval(CUT)), Vec::<String>::new(), "{place}");
            let pale = PALE.replace("LEAST", &CONTRAST.to_string());
            assert_eq!(
                strings(browser.eval(&pale)),
                Vec::<String>::new(),
                "{place}"
            );
        }
        browser.look(700, "light", "print");
        assert_eq!(
            browser.eval("getComputedStyle(document.querySelector('nav')).display"),
            "none"
        );
        browser.shoot(&format!("{name}-print"));
        by_keyboard(&mut browser, name);
    }
}

/// All links lead to a part that is there; all folds open and close with the keyboard alone.
fn by_keyboard(browser: &mut Browser, name: &str) {
    browser.look(1200, "light", "screen");
    let links = browser.eval("document.querySelectorAll('nav a').length");
    for at in 0..links.as_u64().unwrap() {
        browser.eval(&format!("document.querySelectorAll('nav a')[{at}].focus()"));
        browser.press("Enter", 13, "\r");
        let there = browser.eval(&format!(
            "(() => {{ const a = document.querySelectorAll('nav a')[{at}]; const part = document.querySelector(a.hash); \
             return location.hash === a.hash && part !== null && part.getBoundingClientRect().top < innerHeight; }})()"
        ));
        assert_eq!(there, true, "{name}: link {at}");
    }
    let folds = browser.eval("document.querySelectorAll('summary').length");
    for at in 0..folds.as_u64().unwrap() {
        let open = format!("document.querySelectorAll('details')[{at}].open");
        browser.eval(&format!(
            "document.querySelectorAll('summary')[{at}].focus()"
        ));
        let before = browser.eval(&open);
        browser.press("Enter", 13, "\r");
        let after = browser.eval(&open);
        assert_ne!(before, after, "{name}: fold {at}");
        // Where the keyboard is can be seen.
        let seen = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
        assert_eq!(seen, "solid", "{name}: fold {at}");
    }
    // From the top the first stop is a link of the navigation.
    browser.eval("document.activeElement.blur(); getSelection().removeAllRanges()");
    browser.eval("location.hash = ''; document.body.tabIndex = -1; document.body.focus()");
    browser.press("Tab", 9, "");
    let first = browser.eval("document.activeElement.closest('nav') !== null");
    assert_eq!(first, true, "{name}");
}
