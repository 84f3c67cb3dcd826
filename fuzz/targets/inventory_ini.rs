//! An inventory in INI, or what `vagrant ssh-config` prints.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate::inventory::Input;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    quorate_fuzz::inventory(&Input::from_text("hosts", text));
});
