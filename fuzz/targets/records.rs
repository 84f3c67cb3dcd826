//! What a host answers: the records of a wave, and a probe's facts.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quorate::host::record::{Lines, WaveRecord, wave_record};
use quorate::host::{Fact, Facts, probe};

/// One of each kind.
static FACTS: LazyLock<Facts> = LazyLock::new(|| {
    let file = || "/etc/a".to_string();
    Facts::from([
        Fact::System,
        Fact::Path("/etc/b".into()),
        Fact::File(file()),
        Fact::LargeFile("/etc/c".into()),
        Fact::Content(file()),
        Fact::Package("p".into()),
        Fact::Unit("u.service".into()),
        Fact::Sysctl("net.ipv4.ip_forward".into()),
        Fact::Module("m".into()),
        Fact::User("root".into()),
        Fact::Group("root".into()),
        Fact::Mount("/".into()),
        Fact::Swap,
        Fact::Images,
        Fact::Listening(6443),
        Fact::Pod("kube-vip".into()),
        Fact::Kubernetes {
            address: "10.0.0.1".into(),
            port: 6443,
            node: "cp1".into(),
        },
    ])
});

fuzz_target!(|data: &[u8]| {
    // The nonce before each line, as the longest prefix that anybody else may have printed.
    let mut output = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        output.extend_from_slice(b"nonce ");
        output.extend_from_slice(line);
        output.push(b'\n');
    }
    let mut parser = probe::Parser::new(&FACTS);
    for line in Lines::new("nonce", &output) {
        if let Some(WaveRecord::Fact(fact)) = wave_record(&line) {
            let _ = parser.line(&fact);
        }
    }
    parser.finish();
    let _ = probe::parse(&FACTS, "nonce", &output);
    let _ = probe::parse(&FACTS, "nonce", data);
});
