//! The controller's disk: digests and image names, remembered while a file stays the same, and roles' folders.

use std::fs;
use std::io::Write as _;

use camino::Utf8PathBuf;
use quorate::model::Sha256;
use quorate::role::{ControllerFiles, Disk, FileError, Library};

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_path_buf()).unwrap();
    (dir, path)
}

fn archive(names: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let text = format!(r#"[{{"RepoTags":[{names}]}}]"#);
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    builder
        .append_data(&mut header, "manifest.json", text.as_bytes())
        .unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn digests_are_remembered_while_a_file_stays_the_same() {
    let (_dir, base) = folder();
    let cache = base.join("cache/files.json");
    fs::write(base.join("a"), "one").unwrap();
    let disk = || Disk::with_cache(&base, Some(cache.clone()));
    assert_eq!(disk().file("a".into()).unwrap().sha256, Sha256::of("one"));
    // The memory is believed: a digest that is not the file's comes from there.
    let text = fs::read_to_string(&cache).unwrap();
    fs::write(
        &cache,
        text.replace(&Sha256::of("one").to_string(), &Sha256::of("x").to_string()),
    )
    .unwrap();
    assert_eq!(disk().file("a".into()).unwrap().sha256, Sha256::of("x"));
    fs::write(base.join("a"), "two").unwrap();
    let seen = disk().file("a".into()).unwrap();
    assert_eq!(
        (seen.sha256, seen.length, seen.path),
        (Sha256::of("two"), 3, base.join("a"))
    );
    fs::write(&cache, "garbage").unwrap();
    assert_eq!(disk().file("a".into()).unwrap().sha256, Sha256::of("two"));
    assert_eq!(disk().file("none".into()), Err(FileError::Missing));
    assert!(disk().file(".".into()).is_err());
}

#[test]
fn archives_are_read_by_name_whatever_packs_them() {
    let (_dir, base) = folder();
    let images = base.join("images");
    fs::create_dir(&images).unwrap();
    let plain = archive(r#""a.io/b:1","c:2""#);
    fs::write(images.join("1.tar"), &plain).unwrap();
    fs::write(
        images.join("2.tar.zst"),
        zstd::encode_all(plain.as_slice(), 1).unwrap(),
    )
    .unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    fs::write(images.join("3.tar.gz"), gzip.finish().unwrap()).unwrap();
    fs::write(images.join("README"), "no archive").unwrap();
    let cache = base.join("files.json");
    for _ in 0..2 {
        let found = Disk::with_cache(&base, Some(cache.clone()))
            .images("images".into())
            .unwrap();
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|a| a.names == ["a.io/b:1", "docker.io/library/c:2"]),
            "{found:?}"
        );
    }
    fs::write(images.join("4.tar"), "garbage").unwrap();
    let error = Disk::with_cache(&base, None)
        .images("images".into())
        .unwrap_err();
    assert!(
        matches!(&error, FileError::NoArchive { path, .. } if path.ends_with("4.tar")),
        "{error}"
    );
    assert_eq!(
        Disk::with_cache(&base, None).images("none".into()),
        Err(FileError::Missing)
    );
}

#[test]
fn roles_beside_the_inventory_win() {
    let (_dir, base) = folder();
    let write = |path: &str, text: &str| {
        let path = base.join("roles").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "haproxy/tasks/main.yml",
        "- command: mine {{ haproxy_word }}\n",
    );
    write(
        "mine/tasks/main.yaml",
        "- copy: {src: deep/file, dest: /etc/x}\n",
    );
    write("mine/files/deep/file", "text");
    write(
        "mine/meta/main.yml",
        "description: My own\ndisturbs: true\n",
    );
    let (library, found) = Library::load(&base);
    assert_eq!(found.0.len(), 1, "{found:?}");
    assert!(
        found.0[0].to_string().contains("`disturbs` is unknown"),
        "{found:?}"
    );
    assert!(
        !library.get("haproxy").unwrap().is_builtin()
            && library.get("keepalived").unwrap().is_builtin()
    );
    assert_eq!(library.get("mine").unwrap().meta.description, "My own");
    assert!(library.used_names().contains("haproxy_word"));
    assert!(
        library
            .get("haprox")
            .unwrap_err()
            .to_string()
            .contains("did you mean `haproxy`?")
    );
}
