//! A cluster as a model, written apart from the planner: observe, decide, act in sub-steps, with controllers, kubeadm and
//! hosts dying in between; run again, and it comes to the same cluster. What is dropped from the workflow is noticed.
//!
//! Asserted at every moment: one CA, one change of membership, one roll-out, etcd's quorum, nothing done outside of the limit;
//! and in the end every file as written with its handler run (docs/reliability.md).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are no tests to clippy"
)]

mod choices;
mod history;
mod steps;
mod world;

use choices::Choices;
use history::{History, Mutation, Setup, forecast_of, lives};
use indexmap::IndexMap;
use proptest::prelude::*;
use quorate::cluster::Decision;

/// Seeds that are far from each other.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// How many histories are lived through: `QUORATE_HISTORIES`, for a long run (`make histories`).
fn histories() -> u32 {
    let asked = std::env::var("QUORATE_HISTORIES");
    asked.map_or(2000, |number| number.parse().unwrap())
}

proptest! {
    // A history that fails is cut down by `lives`, which knows what its numbers mean.
    #![proptest_config(ProptestConfig { cases: histories(), failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_in_one_cluster(
        seed in any::<u64>(), faults in 0_u32..9, control_planes in 1_usize..5, workers in 0_usize..4,
        network in any::<bool>(), services in any::<bool>(),
    ) {
        let setup = Setup { network, services, ..Setup::new(seed, faults, control_planes, workers) };
        if let Err(story) = lives(setup, seed) {
            return Err(TestCaseError::fail(story));
        }
    }
}

/// Without faults one run is enough, and the second finds nothing to do.
#[test]
fn one_run_is_enough_where_nothing_dies() {
    for (control_planes, services) in (1..=5).flat_map(|n| [(n, true), (n, false)]) {
        let setup = Setup {
            services,
            ..Setup::new(7, 0, control_planes, 3)
        };
        let mut history = History::new(setup, Choices::of(7));
        assert_eq!(
            history.run(),
            Some(Decision::Done {
                missing: Vec::new()
            })
        );
        assert_eq!(history.whole(), Ok(()));
        let again = history.look();
        assert_eq!(forecast_of(&history.shape, &again.view), Ok(()));
    }
}

/// The same with a load balancer in static pods, which starts with the cluster: nobody looks for the VIP before.
#[test]
fn static_pods_end_in_one_cluster_too() {
    for seed in 1..=600_u64 {
        let (faults, control_planes) = (seed % 9, 1 + seed % 4);
        let far = seed.wrapping_mul(SPREAD);
        let setup = Setup {
            network: seed % 3 != 0,
            services: false,
            ..Setup::new(
                far,
                faults as u32,
                control_planes as usize,
                seed as usize % 4,
            )
        };
        assert_eq!(lives(setup, far), Ok(()), "seed {seed}");
    }
}

/// Returns the first seed with which a history of a mutation goes wrong.
fn noticed(mutation: Mutation) -> Option<(Setup, u64)> {
    (1..600_u64).find_map(|seed| {
        let far = seed.wrapping_mul(SPREAD);
        let of_signatures = matches!(mutation, Mutation::NoSignature | Mutation::SignatureUnseen);
        let mut setup = Setup {
            network: seed % 2 == 0,
            mutation,
            ..Setup::new(far, 8, 3, 2)
        };
        setup.dedicated |= of_signatures;
        let wrong = History::new(setup, Choices::of(far)).converge().is_err();
        wrong.then_some((setup, far))
    })
}

/// Whatever is dropped is noticed by some history.
#[test]
fn every_dropped_effect_and_rule_is_noticed() {
    let all = [
        Mutation::NoMarker,
        Mutation::NoDoneMarker,
        Mutation::NoMint,
        Mutation::NoCertificates,
        Mutation::NoPreparation,
        Mutation::NoKubeadm,
        Mutation::AttachTrusted,
        Mutation::AlwaysPreflight,
        Mutation::NeverSkipKubelet,
        Mutation::SkipByTheLook,
        Mutation::UnknownIsFine,
        Mutation::BusyIsUnseen,
        Mutation::MarkersUnseen,
        Mutation::TracesUnseen,
        Mutation::LearnersUnseen,
        Mutation::RunningUnseen,
        Mutation::TokenAssumed,
        Mutation::StaleWord,
        Mutation::NoSignature,
        Mutation::SignatureUnseen,
        Mutation::NoUpload,
        Mutation::NoRollOut,
        Mutation::DriftUnseen,
        Mutation::LimitUnseen,
        Mutation::NoHandlerMark,
        Mutation::PeersUnseen,
        Mutation::NoWaitForEtcd,
    ];
    let mut unnoticed = IndexMap::new();
    for mutation in all {
        if noticed(mutation).is_none() {
            unnoticed.insert(format!("{mutation:?}"), ());
        }
    }
    assert!(unnoticed.is_empty(), "not noticed: {unnoticed:?}");
}

/// What goes wrong is told as a story that a person can follow.
#[test]
fn a_history_that_fails_is_cut_down_to_a_story() {
    let (setup, seed) = noticed(Mutation::NoHandlerMark).unwrap();
    let long = {
        let mut history = History::new(setup, Choices::of(seed));
        let _ = history.converge();
        history
            .choices
            .made
            .iter()
            .filter(|made| **made != 0)
            .count()
    };
    let story = lives(setup, seed).unwrap_err();
    assert!(story.contains("the handler of"), "{story}");
    assert!(
        story.contains("is killed") || story.contains("goes down"),
        "{story}"
    );
    let lines = story.lines().count();
    assert!(lines < 120 && lines < long, "{lines} of {long}: {story}");
}

/// A Node that becomes Ready between the look and kubeadm's own: found by 30,000 histories.
#[test]
fn a_kubelet_that_comes_back_meanwhile_is_no_failure() {
    for (seed, faults, control_planes, workers) in [
        (13_983_297_948_447_085_366, 4, 2, 3),
        (12_647_484_932_313_459_445, 8, 3, 3),
        // An earlier run's join had left nothing at the look, and its member of etcd was listed soon after.
        (17_186_805_971_522_747_156, 3, 2, 3),
    ] {
        // As histories were when these were found.
        let setup = Setup {
            is_wide: false,
            ..Setup::new(seed, faults, control_planes, workers)
        };
        assert_eq!(lives(setup, seed), Ok(()));
    }
}

/// A join that was killed when its member of etcd had a vote and its Node no label: another control plane's roll-out would have
/// left etcd with one of three. Found by 5,000 histories.
#[test]
fn a_vote_without_a_label_is_a_vote() {
    let seed = 4_868_827_841_583_886_141;
    let setup = Setup {
        network: false,
        ..Setup::new(seed, 8, 3, 0)
    };
    assert_eq!(lives(setup, seed), Ok(()));
}
