//! A journal: replayed in each form, and as a page of which no text may become markup.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use quorate::engine::journal;
use quorate::event::{History, Recap, Reporter};
use quorate::report::{Json, Metrics, Options, Plain, Pretty, Surface, letter, page};
use quorate_fuzz::{Buffer, tame};

thread_local! {
    /// One file for all journals of this process.
    static FILE: tempfile::NamedTempFile = tempfile::NamedTempFile::new().expect("a temporary file");
}

fuzz_target!(|data: &[u8]| {
    let read = FILE.with(|file| {
        let mut handle = file.as_file();
        std::io::Seek::rewind(&mut handle).expect("a file that can be written");
        handle.set_len(0).expect("a file that can be written");
        handle.write_all(data).expect("a file that can be written");
        let path = camino::Utf8Path::from_path(file.path()).expect("a path that is text");
        journal::read(path)
    });
    let Ok((records, warnings)) = read else {
        return;
    };
    assert!(warnings.len() <= 32, "{} warnings", warnings.len());
    warnings.iter().for_each(|warning| tame(warning));
    let options = || Options {
        diff: true,
        detailed: true,
        verbosity: 2,
        ..Options::default()
    };
    let plain = Buffer::default();
    let pretty = Buffer::default();
    let reporters: [Box<dyn Reporter>; 3] = [
        Box::new(Plain::new(Box::new(plain.clone()), options())),
        Box::new(Pretty::new(
            Surface::Stream(Box::new(pretty.clone())),
            options(),
            false,
        )),
        Box::new(Json::new(Box::new(Buffer::default()))),
    ];
    for mut reporter in reporters {
        for record in &records {
            reporter.record(record).expect("written to memory");
        }
        reporter.finish().expect("written to memory");
    }
    tame(&plain.text());
    tame(&anstream::adapter::strip_str(&pretty.text()).to_string());
    tame(&letter(&records, "j.jsonl"));
    Recap::of(&records).exit();
    History::default().add_older(&records);
    // All markup is the page's own: of a text there is no `<` left.
    let html = page(&records, "j.jsonl");
    for tag in ["<script>alert", "<img src=x", "onerror=\"", "javascript:"] {
        assert!(!html.contains(tag), "{tag} in the page");
    }
});
