//! A plan file, with and without a seal that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate::event::PlanFile;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = PlanFile::parse(text);
    // Whoever edits one by hand can seal it too.
    let Ok(plan) = serde_json::from_str::<PlanFile>(text) else {
        return;
    };
    let sealed = plan.to_text().expect("JSON");
    let again = PlanFile::parse(&sealed).expect("what was written");
    again.differences(&plan.hosts);
});
