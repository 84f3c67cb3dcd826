//! `image_pull`: images that containerd takes from their registries, before a pod waits for them.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Effect, Fact, Known};
use crate::plan::Change;
use crate::role::archive;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "image_pull",
    aliases: &[],
    arguments: &["name", "registry_config"],
    bare: Some("name"),
    category: Category::Transfer,
    read,
};

/// Where containerd's own packages say how registries are reached (containerd's docs/hosts.md).
const REGISTRIES: &str = "/etc/containerd/certs.d";

#[derive(Debug)]
struct Images {
    names: Vec<String>,
    hosts: String,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    if !args.has("name") {
        args.missing("name");
    }
    let names = args.list("name");
    let hosts = args.optional_path("registry_config");
    let names = names?;
    if let Some(name) = names.iter().find(|name| !archive::is_image(name)) {
        let message = format!("`{}` is no name of an image", name.escape_debug());
        let help = "as in registry.example/haproxy:3.2.4";
        args.complain("name", message, help.to_string());
        return None;
    }
    let names = names.iter().map(|name| archive::full(name)).collect();
    let hosts = hosts.unwrap_or_else(|| REGISTRIES.to_string());
    Some(Box::new(Images { names, hosts }))
}

impl Action for Images {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::Images);
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let (names, why) = match look.images() {
            Known::Is(there) => {
                let missing = self.names.iter().filter(|name| !there.contains(*name));
                (missing.cloned().collect(), "not there")
            }
            Known::Unknown => (self.names.clone(), LATER),
        };
        if names.is_empty() {
            return Verdict::Nothing("all images are there".to_string());
        }
        let hosts = self.hosts.clone();
        let effect = Effect::PullImages { names, hosts };
        Verdict::Changes(vec![Change::new(effect, why)])
    }
}
