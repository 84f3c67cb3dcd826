//! `include_vars`: a file of the role's vars/, chosen by what the host is.

use super::{Action, Look, Module, Verdict};
use crate::event::Category;
use crate::model::{Map, Value};
use crate::role::args::{Args, is_variable};

pub(super) const MODULE: Module = Module {
    name: "include_vars",
    aliases: &[],
    arguments: &["file", "name"],
    bare: Some("file"),
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct IncludeVars(Map);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let file = args.required("file")?;
    let values = args.variables("file", &file)?;
    let Some(name) = args.text("name") else {
        return Some(Box::new(IncludeVars(values)));
    };
    if !is_variable(&name) {
        let message = format!("`{}` is no name of a variable", name.escape_debug());
        args.complain("name", message, None);
        return None;
    }
    let under = Map::from_iter([(name, Value::Object(values))]);
    Some(Box::new(IncludeVars(under)))
}

impl Action for IncludeVars {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        Verdict::Nothing("is read".into())
    }

    fn sets(&self) -> Option<&Map> {
        Some(&self.0)
    }
}
