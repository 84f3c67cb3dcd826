//! Which tasks run: `--tags` and `--skip-tags`.

use std::collections::BTreeSet;

/// The tags that the user asked for and those to leave out, with Ansible's special ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// `--tags`; empty asks for all.
    pub tags: BTreeSet<String>,
    /// `--skip-tags`.
    pub skip: BTreeSet<String>,
}

impl Selection {
    /// Returns whether a task with these tags is to run. `always` runs unless it is skipped by name, `never` only where
    /// one of the task's tags is asked for; `tagged`, `untagged` and `all` stand for what they say.
    pub fn takes(&self, tags: &[String]) -> bool {
        let has = |tag: &str| tags.iter().any(|t| t == tag);
        let meant = |set: &BTreeSet<String>| {
            tags.iter().any(|t| set.contains(t))
                || (set.contains("tagged") && !tags.is_empty())
                || (set.contains("untagged") && tags.is_empty())
        };
        let named = tags.iter().any(|t| self.tags.contains(t));
        if has("never") && !named {
            return false;
        }
        let all = self.tags.is_empty() || self.tags.contains("all");
        let wanted = all || meant(&self.tags) || has("always");
        wanted && !meant(&self.skip) && !self.skip.contains("all")
    }
}

#[cfg(test)]
mod tests {
    use super::Selection;

    #[test]
    fn tags() {
        // tags asked for, skipped, the task's, taken
        let cases = [
            ("", "", "", true),
            ("", "", "a", true),
            ("a", "", "a", true),
            ("a", "", "b", false),
            ("a", "", "", false),
            ("a", "", "always", true),
            ("", "a", "a b", false),
            ("", "always", "always", false),
            ("", "", "never", false),
            ("a", "", "never a", true),
            ("all", "", "never", false),
            ("tagged", "", "a", true),
            ("tagged", "", "", false),
            ("untagged", "", "", true),
            ("", "untagged", "", false),
        ];
        let words = |text: &str| text.split_whitespace().map(str::to_string).collect::<Vec<_>>();
        for (tags, skip, task, taken) in cases {
            let selection = Selection { tags: words(tags).into_iter().collect(), skip: words(skip).into_iter().collect() };
            assert_eq!(selection.takes(&words(task)), taken, "{tags} | {skip} | {task}");
        }
    }
}
