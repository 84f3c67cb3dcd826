//! A known_hosts file.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for (address, port) in [("10.0.0.1", 22), ("Host.example", 2222), ("[::1]", 22)] {
        quorate::transport::ssh::fuzz_known_hosts(data, address, port);
    }
});
