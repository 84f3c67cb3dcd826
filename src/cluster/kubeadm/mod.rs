//! kubeadm's configuration: what the inventory says, as the documents that `kubeadm init` and `kubeadm join` read.
//!
//! The documents have version v1beta4 (kubeadm Configuration (v1beta4), kubernetes.io reference), which kubeadm knows
//! from 1.31 on. What a user writes in the variable `kubeadm` is merged over what is generated; [`UserDocuments`] says
//! how, and what is refused.

mod credentials;
mod documents;
mod from_spec;
mod generate;
mod input;
mod merge;

pub use credentials::{CertificateKey, CredentialError, Credentials, Token};
pub use documents::Documents;
pub use generate::{init, join, kubelet, phases, registration};
pub(super) use input::refused_preflight_error;
pub use input::{Join, KubeadmInput, Node, Taint};
pub use merge::UserDocuments;

/// `apiVersion` of kubeadm's own documents.
pub const KUBEADM_API: &str = "kubeadm.k8s.io/v1beta4";
/// `apiVersion` of KubeletConfiguration (Kubelet Configuration (v1beta1), kubernetes.io reference).
pub const KUBELET_API: &str = "kubelet.config.k8s.io/v1beta1";
/// `apiVersion` of KubeProxyConfiguration (kube-proxy Configuration (v1alpha1), kubernetes.io reference).
pub const KUBE_PROXY_API: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// containerd's CRI socket (containerd's docs/cri/crictl.md).
pub const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";
/// The first minor version of Kubernetes whose kubeadm reads v1beta4 (Kubernetes 1.31 release notes).
pub const FIRST_MINOR: u32 = 31;

/// All kinds that a user may write, with the `apiVersion` of each.
const KINDS: [(&str, &str); 5] = [
    ("InitConfiguration", KUBEADM_API),
    ("ClusterConfiguration", KUBEADM_API),
    ("KubeletConfiguration", KUBELET_API),
    ("KubeProxyConfiguration", KUBE_PROXY_API),
    ("JoinConfiguration", KUBEADM_API),
];
