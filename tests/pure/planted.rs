//! What users of a host plant where they may write, before a wave and while it runs: nothing of root's is read, written, given
//! away or made readable by it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use quorate::host::local::Fetch;
use quorate::host::record::End;
use quorate::host::{Content, Effect, Expect, Fact, Facts, WriteFile, probe};
use quorate::model::{Mode, Sha256};

use super::sandbox::{NONCE, Sandbox, Shell, account};

const SHELLS: [Shell; 3] = [Shell::Dash, Shell::Busybox, Shell::Bash];
/// A folder that anybody may write.
const HOME: &str = "/etc/home";
const PRECIOUS: &str = "precious";
const CURL: &str = "while [ \"$1\" != -o ]; do shift; done\nprintf fetched >\"$2\"";

fn write(path: &str, text: &str) -> WriteFile {
    WriteFile {
        backup: true,
        ..super::shell::file(path, text, Expect::Any)
    }
}

fn attributes(path: &str) -> Effect {
    Effect::Attributes {
        path: path.into(),
        mode: Some(Mode::PUBLIC),
        owner: Some(account("-un")),
        group: None,
    }
}

fn fetch(path: &str) -> Effect {
    Effect::Fetch(Fetch {
        url: "https://a.example/a".into(),
        path: path.into(),
        sha256: Sha256::of("fetched"),
        mode: Mode::PUBLIC,
        owner: account("-un"),
        group: account("-gn"),
    })
}

/// A sandbox with a folder of root's alone, /etc/secrets, and one that anybody may write, with a file `x`.
fn sandbox(shell: Shell) -> Sandbox {
    let sandbox = Sandbox::new(shell);
    furnish(&sandbox);
    sandbox
}

fn furnish(sandbox: &Sandbox) {
    for folder in ["/etc/secrets", HOME] {
        let _ = fs::remove_dir_all(sandbox.path(folder));
    }
    for name in ["x", ".x.quorate-new", "quorate-new", "quorate-old"] {
        let path = format!("/etc/secrets/{name}");
        sandbox.write(&path, PRECIOUS);
        mode(sandbox, &path, 0o640);
    }
    mode(sandbox, "/etc/secrets", 0o700);
    sandbox.write(&format!("{HOME}/sub/x"), "old");
    mode(sandbox, &format!("{HOME}/sub/x"), 0o600);
    for folder in [HOME.to_string(), format!("{HOME}/sub")] {
        mode(sandbox, &folder, 0o777);
    }
}

fn mode(sandbox: &Sandbox, path: &str, mode: u32) {
    fs::set_permissions(sandbox.path(path), fs::Permissions::from_mode(mode)).unwrap();
}

type Listing = BTreeMap<String, (u32, u32, u64, String)>;

/// Modes, owners, numbers of names and contents of what is root's.
fn secrets(sandbox: &Sandbox) -> Listing {
    let folder = sandbox.path("/etc/secrets");
    let about = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        let text = fs::read_to_string(path).unwrap_or_default();
        (meta.mode(), meta.uid(), meta.nlink(), text)
    };
    let mut all = BTreeMap::from([(".".to_string(), about(&folder))]);
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        all.insert(
            entry.file_name().into_string().unwrap(),
            about(&entry.path()),
        );
    }
    all
}

/// Whether a file below the user's folder holds what was root's.
fn leaked(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        meta.is_dir() && leaked(&path)
            || meta.is_file() && fs::read_to_string(&path).is_ok_and(|text| text.contains(PRECIOUS))
    })
}

/// What a user does in a folder of theirs at one moment: to whatever has `quorate` in its name, to the file, or to the folder.
const LINKS: &[(&str, &str)] = &[
    (
        "a link in the place of what is made ready",
        "for e in .*quorate* *quorate*; do
           [ -e \"$e\" ] || [ -L \"$e\" ] || continue
           to=@/etc/secrets/x
           [ ! -d \"$e\" ] || to=@/etc/secrets
           mv -T -- \"$e\" \"taken.$n\"
           ln -s \"$to\" \"$e\"
         done
         [ -L .x.quorate-new ] || ln -s @/etc/secrets/x .x.quorate-new",
    ),
    (
        "a link to a file in the place of the file",
        "ln -sfT @/etc/secrets/x x",
    ),
    (
        "a link to a folder in the place of the file",
        "ln -sfT @/etc/secrets x",
    ),
    (
        "a folder in the place of the file",
        "rm -f x
         mkdir -p x",
    ),
    (
        "a link in the place of the folder",
        "mv -T @/etc/home/sub \"@/etc/home/sub.$n\"
         ln -s @/etc/secrets @/etc/home/sub",
    ),
];

/// The same with FIFOs, and with somebody at their other end, who does not stay for long.
const FIFOS: &[(&str, &str)] = &[
    (
        "a FIFO in the place of what is made ready, and a reader that puts back what it has read",
        "rm -f .x.quorate-new
         mkfifo .x.quorate-new
         ( { timeout 2 cat .x.quorate-new >@/stolen; timeout 2 sh -c 'cat @/stolen >.x.quorate-new'; } >/dev/null 2>&1 3<&- 4>&- 5>&- & )",
    ),
    (
        "a FIFO in the place of the file, and somebody who opens it at last",
        "rm -f x
         mkfifo x
         ( { timeout 2 sh -c ': >x'; timeout 2 cat x; } >/dev/null 2>&1 3<&- 4>&- 5>&- & )",
    ),
];

/// Programs that a wave runs: before each call of one the user may act.
const MOMENTS: &[&str] = &[
    "chgrp",
    "chmod",
    "chown",
    "cp",
    "dd",
    "ln",
    "mktemp",
    "mv",
    "restorecon",
    "rm",
    "rmdir",
    "sha256sum",
    "stat",
];

/// Counts a call of a program for something in the user's folder, and lets the user act where it is that one's turn.
const ACT: &str = "act() {
  case \"$PWD $*\" in *@/etc/home*) ;; *) return ;; esac
  read n <@/calls; n=$((n + 1)); echo $n >@/calls
  read m <@/moment; [ $n -ne $m ] || @/bin/attack $n
}";

/// Runs an effect again and again, and lets the user act before the first call of a program in their folder, then before the
/// second, and so on.
fn every_moment(shell: Shell, effect: &Effect, attacks: &[(&str, &str)]) {
    for (attack, commands) in attacks {
        let sandbox = sandbox(shell);
        sandbox.tool("curl", CURL);
        sandbox.tool(
            "attack",
            &format!("PATH=/usr/bin:/bin\nn=$1\ncd @/etc/home/sub || exit 0\n{commands}\nexit 0"),
        );
        for program in MOMENTS {
            let real = match *program {
                "restorecon" => "true".to_string(),
                _ => format!("{} {program} \"$@\"", shell.real()),
            };
            // Behind these two nothing may be run before the next step.
            let after = ["mktemp", "rm"].contains(program);
            let after = if after { "act \"$@\"" } else { "" };
            sandbox.tool(
                program,
                &format!("{ACT}\nact \"$@\"\n{real}\ns=$?\n{after}\nexit $s"),
            );
        }
        let mut calls = 0;
        for moment in 1.. {
            furnish(&sandbox);
            fs::write(sandbox.path("/calls"), "0\n").unwrap();
            fs::write(sandbox.path("/moment"), format!("{moment}\n")).unwrap();
            let before = secrets(&sandbox);
            let outcome = sandbox.one(effect.clone());
            let what = format!("{shell:?}, {attack}, moment {moment}: {outcome:?}");
            assert_eq!(secrets(&sandbox), before, "{what}");
            assert!(!leaked(&sandbox.path(HOME)), "{what}");
            assert_eq!(sandbox.read("/stolen").unwrap_or_default(), "", "{what}");
            calls = sandbox.read("/calls").unwrap().trim().parse().unwrap();
            if moment > calls {
                // The user has done nothing.
                assert_eq!(outcome.0, End::Changed, "{what}");
                break;
            }
        }
        assert!(calls > 1, "{attack}: {calls}");
    }
}

fn checked() -> Effect {
    let mut file = write(&format!("{HOME}/sub/x"), "new");
    file.validate = Some("stat %s".into());
    Effect::WriteFile(file)
}

#[test]
fn no_moment_of_a_write_gives_a_user_what_is_roots() {
    every_moment(SHELLS[0], &checked(), LINKS);
    every_moment(SHELLS[1], &checked(), LINKS);
    every_moment(SHELLS[2], &checked(), &LINKS[..1]);
}

#[test]
fn no_moment_of_a_write_opens_a_fifo() {
    every_moment(SHELLS[0], &checked(), FIFOS);
    every_moment(SHELLS[1], &checked(), FIFOS);
    every_moment(SHELLS[2], &checked(), &FIFOS[..1]);
}

#[test]
fn no_moment_of_attributes_changes_what_is_roots() {
    let effect = attributes(&format!("{HOME}/sub/x"));
    every_moment(SHELLS[0], &effect, &LINKS[1..]);
    every_moment(SHELLS[1], &effect, &LINKS[1..2]);
}

#[test]
fn no_moment_of_a_download_gives_a_user_what_is_roots() {
    every_moment(SHELLS[0], &fetch(&format!("{HOME}/sub/x")), LINKS);
}

/// The same by chance, with a user who acts as fast as they can.
#[test]
fn a_race_is_not_won() {
    let sandbox = sandbox(Shell::Dash);
    let before = secrets(&sandbox);
    let (folder, secret) = (
        sandbox.path(HOME).join("sub"),
        sandbox.path("/etc/secrets/x"),
    );
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !ended.load(Ordering::Relaxed) {
                for entry in fs::read_dir(&folder).unwrap().flatten() {
                    let name = entry.file_name().into_string().unwrap();
                    let path = entry.path();
                    if !name.contains("quorate") || path.is_symlink() {
                        continue;
                    }
                    n += 1;
                    if fs::rename(&path, folder.join(format!("taken.{n}"))).is_ok() {
                        let _ = symlink(&secret, &path);
                    }
                }
                std::thread::yield_now();
            }
        });
        for round in 0..20 {
            let text = format!("new {round}");
            sandbox.one(Effect::WriteFile(write(&format!("{HOME}/sub/x"), &text)));
        }
        ended.store(true, Ordering::Relaxed);
    });
    assert_eq!(secrets(&sandbox), before);
    assert!(!leaked(&folder));
}

/// Somebody else's link in the place of a file, of its temporary file or of a backup is replaced, and not followed; also
/// where the folder is root's.
#[test]
fn planted_links_are_not_followed() {
    for shell in SHELLS {
        for loose in [true, false] {
            let sandbox = sandbox(shell);
            let before = secrets(&sandbox);
            sandbox.write("/etc/a/other", "");
            for name in ["x", ".x.quorate-new", "x.quorate-backup"] {
                symlink(
                    sandbox.path("/etc/secrets/x"),
                    sandbox.path("/etc/a").join(name),
                )
                .unwrap();
            }
            mode(&sandbox, "/etc/a", if loose { 0o777 } else { 0o755 });
            let outcome = sandbox.one(Effect::WriteFile(write("/etc/a/x", "new")));
            assert_eq!(outcome.0, End::Changed, "{outcome:?}");
            assert!(!sandbox.path("/etc/a/x").is_symlink());
            assert_eq!(sandbox.read("/etc/a/x").as_deref(), Some("new"));
            assert_eq!(secrets(&sandbox), before);
        }
    }
}

/// Every effect that names a path, behind a link of somebody else's.
#[test]
fn a_link_in_the_place_of_a_folder_is_refused_by_name() {
    let behind = |path: &str| -> Vec<Effect> {
        let at = |name: &str| format!("{path}/{name}");
        let directory = |path: String| Effect::Directory {
            path,
            mode: Some(Mode::EXECUTABLE),
            owner: None,
            group: None,
        };
        vec![
            Effect::WriteFile(write(&at("x"), "new")),
            Effect::WriteFile(write(&at("deep/new"), "new")),
            attributes(&at("x")),
            fetch(&at("x")),
            directory(at("new")),
            directory(at("new/er")),
            Effect::Link {
                path: at("x"),
                target: "/x".into(),
            },
            Effect::Remove { path: at("x") },
            Effect::Unpack {
                archive: Content::inline("an archive"),
                into: at("new"),
            },
            Effect::Unpack {
                archive: Content::inline("another"),
                into: path.into(),
            },
        ]
    };
    for shell in SHELLS {
        let sandbox = sandbox(shell);
        sandbox.tool("curl", CURL);
        sandbox.tool("tar", "pwd -P >>@/unpacked");
        let before = secrets(&sandbox);
        // Anybody's, by the folder that it stands in; and one that is not root's, in a folder of root's.
        let mut links = vec![format!("{HOME}/sub/link")];
        symlink(sandbox.path("/etc/secrets"), sandbox.path(&links[0])).unwrap();
        let given = sandbox.path("/etc/given");
        symlink(sandbox.path("/etc/secrets"), &given).unwrap();
        if lchown(&given, Some(65534), None).is_ok() {
            links.push("/etc/given".into());
        }
        for link in &links {
            for effect in behind(link) {
                let outcome = sandbox.one(effect.clone());
                assert_eq!(outcome.0, End::Failed, "{shell:?} {effect:?}: {outcome:?}");
                let why = format!("{link} is a symbolic link that others than root may change");
                assert!(outcome.2.contains(&why), "{effect:?}: {outcome:?}");
            }
        }
        assert_eq!(secrets(&sandbox), before);
        assert_eq!(sandbox.read("/unpacked"), None);
        // Root's own are followed, relative ones and one behind another as well.
        sandbox.write("/etc/real/x", "old");
        symlink("real", sandbox.path("/etc/one")).unwrap();
        symlink(sandbox.path("/etc/../etc/one"), sandbox.path("/etc/two")).unwrap();
        for effect in behind("/etc/two") {
            let outcome = sandbox.one(effect.clone());
            assert_ne!(outcome.0, End::Failed, "{shell:?} {effect:?}: {outcome:?}");
        }
        assert_eq!(
            sandbox.read("/etc/real/deep/new").as_deref(),
            Some("new"),
            "{shell:?}"
        );
        let real = format!("{}\n", sandbox.path("/etc/real").display());
        assert!(sandbox.read("/unpacked").unwrap().ends_with(&real));
        // One that leads nowhere makes nothing there.
        symlink("none", sandbox.path("/etc/dangling")).unwrap();
        let outcome = sandbox.one(Effect::WriteFile(write("/etc/dangling/x", "new")));
        assert!(outcome.2.contains("leads nowhere"), "{outcome:?}");
    }
}

/// Nor is what a planted link points to read, or given another mode.
#[test]
fn planted_links_are_not_read_through() {
    for shell in SHELLS {
        let sandbox = sandbox(shell);
        let before = secrets(&sandbox);
        let ask = |path: &str| {
            let question = Facts::from([Fact::Content(path.into())]);
            let (answer, _) = sandbox.exec(&probe::request(&question, NONCE), usize::MAX);
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let line = answer
                .lines()
                .find(|line| line.contains(" content "))
                .map(str::to_string);
            line.map(|line| line.rsplit(' ').next().unwrap().to_string())
        };
        let place = |path: &str| sandbox.path(HOME).join(path);
        symlink(sandbox.path("/etc/secrets/x"), place("file")).unwrap();
        symlink(sandbox.path("/etc/secrets"), place("folder")).unwrap();
        assert_eq!(ask(&format!("{HOME}/file")), None);
        assert_eq!(ask(&format!("{HOME}/folder/x")), None);
        assert_eq!(ask(&format!("{HOME}/sub/x")).as_deref(), Some("b2xk"));
        fs::write(place("sub/empty"), "").unwrap();
        assert_eq!(ask(&format!("{HOME}/sub/empty")).as_deref(), Some(""));
        symlink("home/sub", sandbox.path("/etc/one")).unwrap();
        assert_eq!(ask("/etc/one/x").as_deref(), Some("b2xk"));
        let outcome = sandbox.one(Effect::Directory {
            path: format!("{HOME}/folder"),
            mode: Some(Mode::PUBLIC),
            owner: None,
            group: None,
        });
        assert_eq!(outcome.0, End::Failed, "{outcome:?}");
        // A link that comes between the look at the file and its reading; `stat` stands for the moment.
        for target in ["/etc/secrets/x", "/etc/secrets"] {
            let path = place("sub/x");
            sandbox.tool(
                "stat",
                &format!(
                    "{0} stat \"$@\"\nstatus=$?\n/bin/ln -sfT @{target} {1}\nexit $status",
                    shell.real(),
                    path.display()
                ),
            );
            assert_eq!(ask(&format!("{HOME}/sub/x")), None, "{shell:?}");
            fs::remove_file(&path).unwrap();
            fs::write(&path, "old").unwrap();
        }
        assert_eq!(secrets(&sandbox), before);
    }
}

/// A file that is made where none is leaves what is there, and makes nothing through a link that leads nowhere.
#[test]
fn a_file_that_is_touched_is_made_through_no_link() {
    for shell in SHELLS {
        let sandbox = sandbox(shell);
        let before = secrets(&sandbox);
        let touch = |name: &str| {
            let mut file = write(&format!("{HOME}/sub/{name}"), "");
            file.expect = Expect::AbsentOrKept;
            sandbox.one(Effect::WriteFile(file))
        };
        let link = sandbox.path(HOME).join("sub/link");
        symlink(sandbox.path("/etc/secrets/made"), &link).unwrap();
        assert_eq!(touch("link").0, End::Ok);
        assert!(link.is_symlink());
        assert_eq!(touch("x").0, End::Ok);
        assert_eq!(
            sandbox.read(&format!("{HOME}/sub/x")).as_deref(),
            Some("old")
        );
        assert_eq!(sandbox.mode(&format!("{HOME}/sub/x")), 0o600);
        assert_eq!(touch("new").0, End::Changed);
        assert_eq!(
            sandbox.read(&format!("{HOME}/sub/new")).as_deref(),
            Some("")
        );
        assert_eq!(secrets(&sandbox), before);
    }
}

/// A file of root's under another name, where the kernel lets users make one (proc_sys_fs(5), protected_hardlinks).
#[test]
fn a_file_with_another_name_is_given_to_nobody() {
    for shell in SHELLS {
        let sandbox = sandbox(shell);
        fs::hard_link(
            sandbox.path("/etc/secrets/x"),
            sandbox.path(HOME).join("sub/linked"),
        )
        .unwrap();
        let before = secrets(&sandbox);
        let path = format!("{HOME}/sub/linked");
        let outcome = sandbox.one(attributes(&path));
        assert!(outcome.2.contains("has another name"), "{outcome:?}");
        let mut same = write(&path, PRECIOUS);
        same.backup = false;
        let outcome = sandbox.one(Effect::WriteFile(same));
        assert!(outcome.2.contains("has another name"), "{outcome:?}");
        assert_eq!(secrets(&sandbox), before);
        // In a folder of root's it is root's doing.
        fs::hard_link(
            sandbox.path("/etc/secrets/x"),
            sandbox.path("/etc/secrets/again"),
        )
        .unwrap();
        let outcome = sandbox.one(attributes("/etc/secrets/again"));
        assert_eq!(outcome.0, End::Changed, "{outcome:?}");
    }
}

/// What a run that was killed leaves in somebody's folder goes with the next one; what only looks like it stays.
#[test]
fn leftovers_are_removed_and_nothing_else() {
    for shell in SHELLS {
        let sandbox = sandbox(shell);
        let left = |name: &str, files: &[&str], bits: u32| {
            for file in files {
                sandbox.write(&format!("{HOME}/sub/{name}/{file}"), "left");
            }
            mode(&sandbox, &format!("{HOME}/sub/{name}"), bits);
        };
        left(".quorate.aaaaaa", &["quorate-new", "quorate-old"], 0o700);
        left(".quorate.bbbbbb", &["quorate-new", "other"], 0o700);
        left(".quorate.cccccc", &["quorate-new"], 0o777);
        symlink(
            sandbox.path("/etc/secrets"),
            sandbox.path(HOME).join("sub/.quorate.dddddd"),
        )
        .unwrap();
        let before = secrets(&sandbox);
        let outcome = sandbox.one(Effect::WriteFile(write(&format!("{HOME}/sub/x"), "new")));
        assert_eq!(outcome.0, End::Changed, "{outcome:?}");
        let there =
            |path: &str| fs::symlink_metadata(sandbox.path(HOME).join("sub").join(path)).is_ok();
        assert!(!there(".quorate.aaaaaa"), "{shell:?}");
        assert!(there(".quorate.bbbbbb/other") && !there(".quorate.bbbbbb/quorate-new"));
        assert!(there(".quorate.cccccc/quorate-new") && there(".quorate.dddddd"));
        assert_eq!(secrets(&sandbox), before);
        // Of this run nothing is left.
        let folder = fs::read_dir(sandbox.path(HOME).join("sub")).unwrap();
        assert_eq!(folder.count(), 2 + 3, "{shell:?}");
    }
}

/// A user's own file is looked at by a validator under a name that leads to it, is kept as it was, and has its attributes; as
/// one in a folder of root's.
#[test]
fn files_of_users_are_written_as_others_are() {
    for shell in SHELLS {
        for bits in [0o777, 0o755] {
            let sandbox = sandbox(shell);
            let path = "/etc/place/it's x";
            sandbox.write(path, "old");
            mode(&sandbox, path, 0o604);
            mode(&sandbox, "/etc/place", bits);
            let mut file = write(path, "new");
            file.mode = Mode::PRIVATE;
            file.validate = Some("[ \"$(cat %s)\" = new ] && [ -f %s ]".into());
            let outcome = sandbox.one(Effect::WriteFile(file.clone()));
            assert_eq!(outcome.0, End::Changed, "{shell:?}: {outcome:?}");
            assert_eq!(sandbox.read(path).as_deref(), Some("new"));
            assert_eq!(sandbox.mode(path), 0o600);
            let kept: Vec<_> = fs::read_dir(sandbox.path("/etc/place"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != "it's x")
                .collect();
            assert_eq!(kept.len(), 1, "{kept:?}");
            let kept = format!("/etc/place/{}", kept[0]);
            assert!(kept.ends_with(".bak"), "{kept}");
            assert_eq!(sandbox.read(&kept).as_deref(), Some("old"));
            assert_eq!(sandbox.mode(&kept), 0o604);
            assert_eq!(sandbox.one(Effect::WriteFile(file.clone())).0, End::Ok);
            file.content = Content::inline("newer");
            let outcome = sandbox.one(Effect::WriteFile(file));
            let why = "refused by its validator";
            assert!(outcome.2.contains(why), "{outcome:?}");
            assert_eq!(sandbox.read(path).as_deref(), Some("new"));
        }
    }
}
