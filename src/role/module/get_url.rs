//! `get_url`: a file that the host fetches by itself, known by its digest.

use super::target::Attributes;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::local::Fetch;
use crate::host::{Effect, Fact, FileKind, Known};
use crate::model::{Mode, Sha256};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "get_url",
    aliases: &[],
    arguments: &["url", "dest", "checksum", "mode", "owner", "group"],
    bare: None,
    category: Category::Transfer,
    read,
};

#[derive(Debug)]
struct GetUrl {
    url: String,
    dest: String,
    sha256: Sha256,
    attributes: Attributes,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let (url, dest) = (args.required("url"), args.file_path("dest"));
    let attributes = Attributes::read(args);
    let checksum = args.required("checksum")?;
    let Some(sha256) = checksum
        .strip_prefix("sha256:")
        .and_then(|hex| hex.parse().ok())
    else {
        let help = "`sha256:` and 64 hexadecimal digits: what is fetched must be what was meant";
        let message = format!("`{}` is no checksum", checksum.escape_debug());
        args.complain("checksum", message, help.to_string());
        return None;
    };
    let (url, dest) = (url?, dest?);
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|s| url.strip_prefix(s));
    let sound = |c: char| c.is_ascii_graphic() && !"\"'\\<>`".contains(c);
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && rest.chars().all(sound)) else {
        let message = format!(
            "`{}` is no address that a host can fetch from",
            url.escape_debug()
        );
        args.complain("url", message, "http:// or https://".to_string());
        return None;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let message = "the address has a password in it, which everybody on the host could read";
        args.complain(
            "url",
            message,
            "fetch the file here, and `copy` it".to_string(),
        );
        return None;
    }
    Some(Box::new(GetUrl {
        url,
        dest,
        sha256,
        attributes,
    }))
}

impl Action for GetUrl {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::File(self.dest.clone()));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let state = match look.file(&self.dest) {
            Known::Unknown => Known::Unknown,
            Known::Is(state) => Known::Is(state.filter(|s| s.kind == FileKind::File)),
        };
        let why = match state {
            Known::Unknown => LATER,
            Known::Is(None) => "is absent",
            Known::Is(Some(state)) if state.sha256 == Some(self.sha256) => {
                let changes = self
                    .attributes
                    .change(&self.dest, look)
                    .into_iter()
                    .collect();
                return Verdict::of(changes, format!("{} is as written", self.dest));
            }
            Known::Is(Some(_)) => "content differs",
        };
        let kept = match state {
            Known::Is(state) => state,
            Known::Unknown => None,
        };
        let Attributes { mode, owner, group } = self.attributes.clone();
        let root = || "root".to_string();
        let effect = Effect::Fetch(Fetch {
            url: self.url.clone(),
            path: self.dest.clone(),
            sha256: self.sha256,
            mode: mode.or(kept.map(|s| s.mode)).unwrap_or(Mode::PUBLIC),
            owner: owner.or(kept.map(|s| s.owner.clone())).unwrap_or_else(root),
            group: group.or(kept.map(|s| s.group.clone())).unwrap_or_else(root),
        });
        Verdict::Changes(vec![Change::new(effect, why)])
    }
}
