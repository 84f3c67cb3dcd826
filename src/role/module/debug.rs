//! `debug`: a line for who reads the run.

use super::{Action, Look, Module, Verdict};
use crate::event::Category;
use crate::model::Value;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "debug",
    aliases: &[],
    arguments: &["msg", "var"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Debug(String);

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let text = match (args.values.get("msg").cloned(), args.has("var")) {
        (Some(_), true) => {
            args.complain("var", "`debug` takes `msg` or `var`, not both", None);
            return None;
        }
        (Some(value), false) => shown(&value),
        (None, true) => {
            let expression = args.required("var")?;
            let value = args.evaluate("var", &expression)?;
            format!("{expression} = {}", shown(&value))
        }
        // As in Ansible.
        (None, false) => "Hello world!".into(),
    };
    Some(Box::new(Debug(text)))
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Action for Debug {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        Verdict::Nothing("is said".into())
    }

    fn says(&self) -> Option<String> {
        Some(self.0.clone())
    }
}
