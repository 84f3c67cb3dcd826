//! Encrypted files, of ansible-vault and of age.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quorate::model::Secret;
use quorate::vault::{Key, Keys, age, kind};

static NONE: LazyLock<Keys> = LazyLock::new(Keys::default);
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    passwords: vec![Key {
        key: Secret::new(b"correct horse".to_vec()),
        from: "the test".into(),
    }],
    identities: age::identities(
        include_bytes!("../../tests/fixtures/vault/age.key"),
        "the test",
        &NONE,
    )
    .expect("a key"),
    ..Keys::default()
});

fuzz_target!(|data: &[u8]| {
    kind(data);
    age::recipients(data);
    age::is_armored(data);
    let _ = age::identities(data, "the test", &NONE);
    if let Err(closed) = NONE.open(data) {
        closed.help();
    }
    if let Err(closed) = KEYS.open(data) {
        quorate_fuzz::tame(&quorate::event::printable(&closed.to_string(), false));
    }
});
