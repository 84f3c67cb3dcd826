//! `container_images`: images from archives in a folder of the controller. Patterns of `include` and `exclude` are held
//! against the image's full name, the last part of it, and the archive's file name; one without wildcards may leave out
//! what a container runtime adds to an image's name.

use camino::Utf8PathBuf;

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;
use crate::role::{FileError, archive, glob};

pub(super) const MODULE: Module = Module {
    name: "container_images",
    aliases: &[],
    arguments: &["src", "include", "exclude"],
    bare: Some("src"),
    category: Category::Transfer,
    read,
};

#[derive(Debug)]
struct Images(Vec<Archive>);

#[derive(Debug)]
struct Archive {
    content: Content,
    names: Vec<String>,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let src = args.required("src");
    let include = args.list("include").unwrap_or_else(|| vec!["*".into()]);
    let exclude = args.list("exclude").unwrap_or_default();
    let src = Utf8PathBuf::from(src?);
    let found = match args.files.images(&src) {
        Ok(found) => found,
        Err(FileError::Told) => return Some(Box::new(Images(Vec::new()))),
        Err(error) => {
            let message = format!(
                "`container_images` needs the folder {src} with *.tar, *.tar.gz or *.tar.zst: {error}"
            );
            args.complain("src", message, super::binaries::help(&src));
            return None;
        }
    };
    let mut archives = Vec::new();
    for archive in &found {
        let file = archive.file.path.file_name().unwrap_or_default();
        let fits = |patterns: &[String], name: &str| {
            let last = name.rsplit('/').next().unwrap_or(name);
            patterns.iter().any(|p| {
                [name, last, file].iter().any(|text| glob::matches(p, text))
                    || (!is_glob(p) && archive::full(p) == name)
            })
        };
        let wanted = |name: &&String| fits(&include, name) && !fits(&exclude, name);
        let names: Vec<String> = archive.names.iter().filter(wanted).cloned().collect();
        if !names.is_empty() {
            archives.push((
                file.to_string(),
                Archive {
                    content: archive.file.clone().content(),
                    names,
                },
            ));
        }
    }
    // A pattern without wildcards is an image that somebody needs.
    for pattern in include.iter().filter(|p| !is_glob(p)) {
        let full = archive::full(pattern);
        if !archives
            .iter()
            .any(|(file, a)| file == pattern || a.names.contains(&full))
        {
            args.complain(
                "include",
                format!("no archive in {src} holds the image {pattern}"),
                format!("save it there under its full name, {full}: `docker save {full}`, or `ctr images export`"),
            );
        }
    }
    Some(Box::new(Images(
        archives.into_iter().map(|(_, a)| a).collect(),
    )))
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

impl Action for Images {
    fn facts(&self, questions: &mut Questions) {
        if !self.0.is_empty() {
            questions.facts.insert(Fact::Images);
        }
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let change = |archive: &Archive| {
            let (missing, later): (Vec<&str>, bool) = match look.images() {
                Known::Is(there) => (
                    archive
                        .names
                        .iter()
                        .map(String::as_str)
                        .filter(|n| !there.contains(*n))
                        .collect(),
                    false,
                ),
                Known::Unknown => (archive.names.iter().map(String::as_str).collect(), true),
            };
            if missing.is_empty() {
                return None;
            }
            let effect = Effect::ImportImage {
                archive: archive.content.clone(),
                names: archive.names.clone(),
            };
            Some(Change::new(effect, if later { LATER } else { "not there" }))
        };
        Verdict::of(
            self.0.iter().filter_map(change).collect(),
            "all images are there",
        )
    }
}
