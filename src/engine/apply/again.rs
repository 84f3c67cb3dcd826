//! A host's roles once more: where they say something else now that it, or the cluster, is another.

use super::Run;
use crate::cluster::Standing;
use crate::model::HostName;

impl Run {
    /// Whether the host's roles say something else once it is a member: then an act ends with all that they ask.
    pub(super) fn is_prepared_again(&self, name: &HostName) -> bool {
        self.state.settings.desired.differs_on_members(name)
    }

    /// Begins what comes when all nodes are in the cluster, once; returns whether something is under way because of it.
    pub(super) async fn complete(&mut self) -> bool {
        let settings = self.settings();
        if self.completed || !self.state.view.is_whole(settings.desired.shape()) {
            return false;
        }
        self.completed = true;
        let ready = |name: &HostName| {
            let host = self.state.hosts.get(name);
            host.is_some_and(|h| h.session.is_some() && h.standing == Standing::Prepared)
        };
        let names: Vec<HostName> = self.state.hosts.keys().cloned().collect();
        let names = names
            .into_iter()
            .filter(|n| settings.is_ours(n) && self.is_prepared_again(n) && ready(n));
        for name in names.collect::<Vec<_>>() {
            self.prepare_again(&name).await;
        }
        !self.tasks.is_empty()
    }

    /// Applies the host's roles once more, where they say something else now that the host is what the act has made it.
    pub(super) async fn prepare_again(&mut self, name: &HostName) {
        let desired = self.state.settings.desired.clone();
        if let Some(host) = self.state.hosts.get_mut(name) {
            // What was done for the host that it was is not done for the one that it is.
            desired.forget(name, &mut host.registered);
        }
        match self.state.plan(name) {
            Ok(()) if self.has_work(name) => Box::pin(self.dispatch(name)).await,
            Ok(()) => {}
            Err(message) => self.state.fail(name, &message).await,
        }
    }
}
