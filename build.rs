//! Lets cargo look at roles/ again: what `include_dir!` embeds is not among the files that it watches by itself.

fn main() {
    println!("cargo:rerun-if-changed=roles");
}
