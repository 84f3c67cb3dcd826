//! A folder with an inventory in it, and ports where its hosts would be: whoever connects there is counted.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// A cluster in which nothing is wrong. `{port}` is the port that is watched.
pub(crate) const HOSTS: &str = "\
kube_control_plane:
  hosts:
    cp1: { ansible_host: 127.0.0.1, ip: 10.0.0.11 }
    cp2: { ansible_host: 127.0.0.2, ip: 10.0.0.12 }
    cp3: { ansible_host: 127.0.0.3, ip: 10.0.0.13 }
kube_node:
  hosts:
    w1: { ansible_host: 127.0.0.4, ip: 10.0.0.21 }
";

/// What all of its hosts know.
pub(crate) const VARS: &str = "\
ansible_port: {port}
ansible_user: root
kubernetes_version: \"1.36.3\"
kubernetes_source: present
apiserver_vip: 10.0.0.10
";

pub(crate) const HOSTS_FILE: &str = "inventory/hosts.yml";
pub(crate) const VARS_FILE: &str = "inventory/group_vars/all.yml";

/// Listens where the four hosts would be.
fn listeners() -> std::io::Result<Vec<TcpListener>> {
    let first = TcpListener::bind("127.0.0.1:0")?;
    let port = first.local_addr()?.port();
    let mut hosts = vec![first];
    for last in 2..=4 {
        hosts.push(TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port))?);
    }
    for host in &hosts {
        host.set_nonblocking(true)?;
    }
    Ok(hosts)
}

/// What a call gave.
pub(crate) struct Outcome {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The folder and the port.
pub(crate) struct Bed {
    directory: TempDir,
    hosts: Vec<TcpListener>,
}

impl Bed {
    /// Returns a folder with nothing in it.
    pub(crate) fn empty() -> Self {
        // One port on four addresses may be taken on one of them: then another one is free.
        let hosts = (0..20).find_map(|_| listeners().ok()).unwrap();
        Self {
            directory: TempDir::new().unwrap(),
            hosts,
        }
    }

    /// Returns a folder with a sound inventory.
    pub(crate) fn sound() -> Self {
        Self::empty().file(HOSTS_FILE, HOSTS).file(VARS_FILE, VARS)
    }

    pub(crate) fn port(&self) -> u16 {
        self.hosts[0].local_addr().unwrap().port()
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.directory.path()).unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> Utf8PathBuf {
        self.root().join(path)
    }

    /// Writes a file; `{port}` in it is the watched port.
    pub(crate) fn file(self, path: &str, text: &str) -> Self {
        let text = text.replace("{port}", &self.port().to_string());
        self.bytes(path, text.as_bytes())
    }

    /// Writes a file of bytes that may be no text.
    pub(crate) fn bytes(self, path: &str, bytes: &[u8]) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Adds lines to what all hosts know.
    pub(crate) fn vars(self, lines: &str) -> Self {
        let text = fs::read_to_string(self.path(VARS_FILE)).unwrap() + lines;
        self.file(VARS_FILE, &text)
    }

    /// Puts other words into a file of the inventory.
    pub(crate) fn replace(self, path: &str, from: &str, to: &str) -> Self {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "no {from:?} in {path}");
        self.file(path, &text.replace(from, to))
    }

    /// Returns the program in this folder, with nobody's settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("quorate").unwrap();
        command
            .current_dir(self.root())
            .env_clear()
            .env("HOME", self.root())
            .env("USER", "root")
            .env("PATH", "/usr/bin:/bin")
            .args(arguments);
        command
    }

    /// Calls the program. Folder and port have names in what it gives.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.outcome(&mut self.command(arguments))
    }

    pub(crate) fn outcome(&self, command: &mut Command) -> Outcome {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(self.root().as_str(), "DIR")
                .replace(&self.port().to_string(), "PORT")
        };
        Outcome {
            exit: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Fails if somebody came to the watched port. A connection stands in its queue although nobody accepts it.
    pub(crate) fn nobody_came(&self) {
        let came = self.hosts.iter().filter(|host| host.accept().is_ok());
        assert_eq!(came.count(), 0, "a host was contacted");
    }

    /// Returns what `apply` says of wrong input, after it has been held to its promises: exit code 4, nothing on standard
    /// output, no journal, nobody contacted, and `validate` says the same.
    pub(crate) fn refused(&self) -> String {
        self.refused_with(&[])
    }

    /// As [`Bed::refused`], with further arguments.
    pub(crate) fn refused_with(&self, arguments: &[&str]) -> String {
        let validate = self.run(&[&["validate"], arguments].concat());
        assert_eq!(
            (validate.exit, validate.out.as_str()),
            (4, ""),
            "{}",
            validate.err
        );
        let apply = self.run(&[&["apply"], arguments].concat());
        assert_eq!((apply.exit, apply.out.as_str()), (4, ""), "{}", apply.err);
        assert_eq!(validate.err, apply.err);
        let plan = self.run(&[&["plan"], arguments].concat());
        assert_eq!((plan.exit, &plan.err), (4, &apply.err));
        assert!(!self.path(".quorate").exists(), "a journal of nothing");
        self.nobody_came();
        apply.err
    }

    /// Returns what `validate` warns of in sound input.
    pub(crate) fn warned(&self) -> String {
        let outcome = self.run(&["validate"]);
        assert_eq!(outcome.exit, 0, "{}", outcome.err);
        self.nobody_came();
        outcome.err
    }
}

#[test]
fn the_bed_is_sound_and_whoever_comes_is_counted() {
    let bed = Bed::sound();
    assert_eq!(bed.warned(), "");
    drop(std::net::TcpStream::connect(("127.0.0.3", bed.port())).unwrap());
    assert!(bed.hosts[2].accept().is_ok());
}
