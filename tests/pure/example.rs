//! The example that every new user copies.

use std::collections::BTreeSet;

use quorate::cluster::spec::ClusterSpec;
use quorate::inventory::load;
use quorate::model::Diagnostics;

#[test]
fn the_example_is_valid_without_a_word() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/inventory/example");
    let (inventory, diagnostics) = load(&[path.into()], &[]);
    assert_eq!(diagnostics, Diagnostics::default());
    let (spec, diagnostics) = ClusterSpec::build(&inventory, &BTreeSet::new());
    assert_eq!(diagnostics, Diagnostics::default());
    let spec = spec.unwrap();
    assert_eq!(spec.endpoint.to_string(), "api.example.internal:8443");
    assert_eq!(
        (spec.control_planes().count(), spec.workers().count()),
        (3, 2)
    );
    assert_eq!(spec.hosts["w2"].labels["disk"], "ssd");
}
