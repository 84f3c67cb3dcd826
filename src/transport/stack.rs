//! The order of the decorators, in one place.

use std::sync::Arc;

use super::Connect;
use super::count::{Counters, CountingConnector};
use super::gate::ReadOnlyConnector;
use super::ssh::{SshConnector, SshOptions};
use super::sudo::SudoConnector;

/// Returns SSH with sudo, counted, and gated where the run is read-only.
///
/// The gate stands outermost: sudo rewrites commands, and what it sends is no [`crate::host::Kind::Probe`] by type any more.
pub fn stack(options: SshOptions, read_only: bool, counters: Arc<Counters>) -> Arc<dyn Connect> {
    let ssh = Arc::new(SshConnector::new(options));
    let sudo = Arc::new(SudoConnector::new(ssh));
    let counted = Arc::new(CountingConnector::new(sudo, counters));
    if read_only {
        Arc::new(ReadOnlyConnector::new(counted))
    } else {
        counted
    }
}
