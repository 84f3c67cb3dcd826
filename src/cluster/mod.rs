//! Floor 3: what a cluster needs, decided without touching a host. Pure.

pub mod kubeadm;
