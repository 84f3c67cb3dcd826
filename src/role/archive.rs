//! The image names inside an archive, as docker-save and OCI tools write them.

use std::io::{self, Read};

use camino::Utf8Path;
use serde::Deserialize;

/// How an archive's name ends.
pub(super) const ENDINGS: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.zst"];

/// The largest manifest or index that is read; real ones have a few KiB.
const LIMIT: u64 = 4 << 20;

/// Opens the archive from its start.
type Open<'a> = &'a dyn Fn() -> io::Result<Box<dyn Read>>;

/// Returns the full names of all images in an archive, or why it is none. `path` tells how it is compressed.
pub(super) fn names(path: &Utf8Path, open: Open<'_>) -> Result<Vec<String>, String> {
    let raw = open().map_err(|e| e.to_string())?;
    let reader: Box<dyn Read> = match path.extension() {
        Some("gz" | "tgz") => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        Some("zst") => Box::new(zstd::stream::read::Decoder::new(raw).map_err(|e| e.to_string())?),
        _ => raw,
    };
    read(reader)
}

fn read(reader: impl Read) -> Result<Vec<String>, String> {
    let mut archive = tar::Archive::new(reader);
    let (mut saved, mut index) = (None, None);
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let entry = entry.map_err(|e| e.to_string())?;
        let path = String::from_utf8_lossy(&entry.path_bytes())
            .trim_start_matches("./")
            .to_string();
        let slot = match path.as_str() {
            "manifest.json" => &mut saved,
            "index.json" => &mut index,
            _ => continue,
        };
        let mut text = Vec::new();
        entry
            .take(LIMIT)
            .read_to_end(&mut text)
            .map_err(|e| e.to_string())?;
        *slot = Some(text);
    }
    // containerd reads index.json first and manifest.json only without it (its core/images/archive/importer.go).
    let names = match (&index, &saved) {
        (Some(index), saved) => {
            let names = indexed(index)?;
            match saved {
                Some(saved) if names.is_empty() => tagged(saved)?,
                _ => names,
            }
        }
        (None, Some(saved)) => tagged(saved)?,
        (None, None) => return Err("it holds neither index.json nor manifest.json".into()),
    };
    if names.is_empty() {
        return Err("no image in it has a name; save it by name and tag, not by id".into());
    }
    Ok(names)
}

/// Returns the `RepoTags` of docker-save's manifest.json.
fn tagged(text: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "RepoTags", default)]
        tags: Option<Vec<String>>,
    }
    let images: Vec<Image> =
        serde_json::from_slice(text).map_err(|e| format!("manifest.json: {e}"))?;
    Ok(unique(
        images
            .into_iter()
            .flat_map(|i| i.tags.unwrap_or_default())
            .map(|n| full(&n)),
    ))
}

/// Returns the names in an OCI image layout's index.json.
fn indexed(text: &[u8]) -> Result<Vec<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        #[serde(default)]
        manifests: Vec<Manifest>,
    }
    #[derive(Deserialize)]
    struct Manifest {
        #[serde(default)]
        annotations: std::collections::BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(text).map_err(|e| format!("index.json: {e}"))?;
    let name = |manifest: Manifest| {
        let containerd = manifest.annotations.get("io.containerd.image.name");
        // The OCI annotation may be a bare tag, which names nothing by itself.
        let oci = manifest
            .annotations
            .get("org.opencontainers.image.ref.name")
            .filter(|n| n.contains('/'));
        containerd.or(oci).map(|n| full(n))
    };
    Ok(unique(index.manifests.into_iter().filter_map(name)))
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = names.collect();
    all.sort();
    all.dedup();
    all
}

/// Returns whether a text has only what the names of images consist of (the OCI Distribution Specification, "Pulling
/// manifests").
pub fn is_image(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(plain)
}

/// Returns a name as containerd lists it: with its registry and a tag (distribution/reference: the first part is a registry if
/// it has a dot or a colon or is `localhost`; docker.io and its `library` stand for none).
pub(super) fn full(name: &str) -> String {
    let registry = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let mut name = match name.split_once('/') {
        Some((first, _)) if registry(first) => name.to_string(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    };
    if !name.contains('@')
        && !name
            .rsplit('/')
            .next()
            .is_some_and(|last| last.contains(':'))
    {
        name.push_str(":latest");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn full_names() {
        for (name, expected) in [
            ("haproxy:3", "docker.io/library/haproxy:3"),
            ("osixia/keepalived:1", "docker.io/osixia/keepalived:1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
            ("localhost/a", "localhost/a:latest"),
            ("reg:5000/a/b", "reg:5000/a/b:latest"),
        ] {
            assert_eq!(full(name), expected);
        }
    }

    #[test]
    fn names_of_archives() {
        let docker = tar(&[(
            "manifest.json",
            r#"[{"Config":"x","RepoTags":["b:1","a.io/c:2"]},{"RepoTags":null}]"#,
        )]);
        assert_eq!(
            read(docker.as_slice()).unwrap(),
            ["a.io/c:2", "docker.io/library/b:1"]
        );
        let oci = tar(&[
            ("oci-layout", "{}"),
            (
                "./index.json",
                r#"{"manifests":[{"annotations":{"io.containerd.image.name":"a.io/c:2","org.opencontainers.image.ref.name":"2"}}]}"#,
            ),
        ]);
        assert_eq!(read(oci.as_slice()).unwrap(), ["a.io/c:2"]);
        let bare = tar(&[(
            "index.json",
            r#"{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}"#,
        )]);
        assert!(read(bare.as_slice()).is_err());
        assert!(read(tar(&[("x", "")]).as_slice()).is_err());
        assert!(read(b"garbage".as_slice()).is_err());
        assert!(read(b"".as_slice()).is_err());
    }

    #[test]
    fn compressed_archives() {
        let plain = tar(&[("manifest.json", r#"[{"RepoTags":["a.io/b:1"]}]"#)]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, &plain).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for (name, bytes) in [("x.tar", plain), ("x.tar.gz", gzip), ("x.tar.zst", zstd)] {
            let open = || Ok(Box::new(io::Cursor::new(bytes.clone())) as Box<dyn Read>);
            assert_eq!(
                names(Utf8Path::new(name), &open).unwrap(),
                ["a.io/b:1"],
                "{name}"
            );
        }
    }
}
