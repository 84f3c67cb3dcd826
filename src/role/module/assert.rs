//! `assert`: conditions without which the host is left as it is.

use super::{Action, Look, Module, Verdict};
use crate::event::Category;
use crate::model::Value;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "assert",
    aliases: &[],
    arguments: &["that", "fail_msg", "msg", "success_msg", "quiet"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Assert {
    /// Why it fails, if it does.
    failure: Option<String>,
    success: Option<String>,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let that = match args.values.get("that") {
        Some(Value::Array(items)) => items.clone(),
        None | Some(Value::Null) => {
            args.missing("that");
            return None;
        }
        Some(one) => vec![one.clone()],
    };
    let mut broken = None;
    for (i, condition) in that.iter().enumerate() {
        if !args.condition("that", i, condition)? && broken.is_none() {
            broken = Some(condition.clone());
        }
    }
    let message = args.text("fail_msg").or_else(|| args.text("msg"));
    let quiet = args.flag("quiet").unwrap_or(false);
    let success = args.text("success_msg").filter(|_| !quiet);
    let failure = broken.map(|condition| {
        let text = match &condition {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        message.unwrap_or_else(|| format!("`{text}` does not hold"))
    });
    Some(Box::new(Assert { failure, success }))
}

impl Action for Assert {
    fn plan(&self, _: &Look<'_>) -> Verdict {
        match &self.failure {
            Some(reason) => Verdict::Refused(reason.clone()),
            None => Verdict::Nothing("holds".into()),
        }
    }

    fn says(&self) -> Option<String> {
        self.success.clone().filter(|_| self.failure.is_none())
    }
}
