//! An inventory in YAML, with a file of variables behind a line `%%`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate::inventory::Input;

fuzz_target!(|data: &[u8]| {
    // Files that are no text are refused where they are read.
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (hosts, vars) = text.split_once("\n%%\n").unwrap_or((text, ""));
    let input = Input::from_text("hosts.yml", hosts).with_group_vars("all", "all.yml", vars);
    quorate_fuzz::inventory(&input);
});
