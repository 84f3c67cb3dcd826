//! `make torture`: every kill point, and every record of the journal. A controller that dies at each moment of one bootstrap is among
//! the short stories.

use crate::driver::Lab;
use crate::kill::{Blow, Point, at_every_record, each_host_at_each_moment, kill_and_go_on};

#[test]
fn killed_between_load_balancer_and_init() {
    kill_and_go_on(
        &Lab::take("killed between load balancer and init"),
        Point::LoadBalancer,
        false,
    );
}

#[test]
fn killed_in_init_after_certificates() {
    kill_and_go_on(
        &Lab::take("killed in init, after the certificates"),
        Point::Certificates,
        false,
    );
}

#[test]
fn killed_in_init_after_manifests() {
    kill_and_go_on(
        &Lab::take("killed in init, after the manifests"),
        Point::Manifests,
        false,
    );
}

#[test]
fn killed_with_kubeadm_in_init_after_manifests() {
    kill_and_go_on(
        &Lab::take("killed with kubeadm in init, after the manifests"),
        Point::Manifests,
        true,
    );
}

#[test]
fn killed_with_the_api_up_before_the_configuration_is_there() {
    kill_and_go_on(&Lab::take("killed with the API up"), Point::Api, false);
}

#[test]
fn killed_with_kubeadm_with_the_api_up_before_the_configuration_is_there() {
    kill_and_go_on(
        &Lab::take("killed with kubeadm with the API up"),
        Point::Api,
        true,
    );
}

#[test]
fn killed_between_joins() {
    kill_and_go_on(
        &Lab::take("killed between joins"),
        Point::BetweenJoins,
        false,
    );
}

#[test]
fn killed_in_a_join() {
    kill_and_go_on(&Lab::take("killed in a join"), Point::Join, false);
}

/// One bootstrap of many runs, as the short story of a controller that dies; the runs live, and several hosts may be away at once.
#[test]
fn moments_and_a_cut_network() {
    each_host_at_each_moment(&Lab::take("a host's network cut at each moment"), Blow::Cut);
}

#[test]
fn moments_and_a_reboot() {
    each_host_at_each_moment(&Lab::take("a host rebooted at each moment"), Blow::Rebooted);
}

/// Hours: a bootstrap for each record of the journal.
#[test]
fn records_and_a_dead_controller() {
    at_every_record(
        &Lab::take("the controller killed at each record"),
        Blow::Killed,
    );
}

#[test]
fn records_and_a_cut_network() {
    at_every_record(&Lab::take("a host's network cut at each record"), Blow::Cut);
}

#[test]
fn records_and_a_reboot() {
    at_every_record(&Lab::take("a host rebooted at each record"), Blow::Rebooted);
}
