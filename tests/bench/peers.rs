//! What `make bench-peers` needs beside other people's programs: plays on hosts of their own, and a network with a delay.
//!
//!     peers apply -i INVENTORY --known-hosts FILE [-e NAME=VALUE]
//!     peers proxy CONTROL_PORT RTT_MS LISTEN:TARGET...

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a program for measurements, not for users"
)]

mod apply;
mod proxy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // As `quorate` itself runs.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let exit = match words.split_first() {
        Some((first, rest)) if first == "apply" => runtime.block_on(apply::apply(rest)),
        Some((first, rest)) if first == "proxy" => runtime.block_on(proxy::proxy(rest)),
        _ => {
            eprintln!("peers apply ... | peers proxy ...");
            64
        }
    };
    ExitCode::from(exit)
}
