//! ssh's own configuration, and hosts behind jump hosts: real sshds, counted by their logs.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use quorate::inventory::ssh_args::SshArgs;
use quorate::model::HostName;
use quorate::transport::ssh::{Ask, SshConfig, SshConnector, SshOptions, place, ways};
use quorate::transport::{Connect, Target, Transport, TransportError};
use tempfile::TempDir;

use crate::help::{exec, request, with_stdin, within};
use crate::sshd::{Sshd, free_port};

/// A home for ssh's files of one test.
struct Home {
    folder: TempDir,
    config: String,
    known: String,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            config: String::new(),
            known: String::new(),
        }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.folder.path().join(name)).unwrap()
    }

    /// Says in the configuration how a server is reached, and writes its host key down.
    fn host(&mut self, patterns: &str, sshd: &Sshd, further: &str) {
        let key = sshd.user_key("ed25519");
        let port = sshd.port;
        writeln!(
            self.config,
            "Host {patterns}\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {key}\n  {further}"
        )
        .unwrap();
        let key = sshd.host_key("ed25519");
        writeln!(self.known, "[127.0.0.1]:{port} {key}").unwrap();
    }

    fn options(&self) -> SshOptions {
        fs::write(self.path("known_hosts"), &self.known).unwrap();
        SshOptions {
            known_hosts: vec![self.path("known_hosts")],
            ..SshOptions::default()
        }
    }

    fn write(&self) -> SshConfig {
        fs::write(self.path("config"), &self.config).unwrap();
        SshConfig::File(self.path("config"))
    }

    /// Returns how hosts are reached by this configuration and by options in the inventory.
    async fn targets(&self, hosts: &[String], args: &str) -> Result<Vec<Target>, String> {
        let (args, errors) = SshArgs::parse(args);
        assert_eq!(errors, []);
        let ask = |host: &String| Ask {
            name: HostName::new(host).unwrap(),
            host: host.clone(),
            args: args.clone(),
        };
        let asks: Vec<Ask> = hosts.iter().map(ask).collect();
        let (mut ways, found) = within(ways(&self.write(), &asks)).await;
        if !found.0.is_empty() {
            let all: Vec<String> = found.0.iter().map(ToString::to_string).collect();
            return Err(all.join("\n"));
        }
        let target = |ask: &Ask| {
            let way = ways.swap_remove(&ask.name).unwrap();
            let mut target = place(ask.name.clone(), &ask.host, &way.args);
            target.jumps = way.jumps;
            target
        };
        Ok(asks.iter().map(target).collect())
    }

    async fn target(&self, host: &str, args: &str) -> Target {
        let mut targets = self.targets(&[host.to_owned()], args).await.unwrap();
        targets.pop().unwrap()
    }
}

fn logins(sshd: &Sshd) -> usize {
    sshd.log().matches("Accepted publickey").count()
}

async fn refusal(connector: &SshConnector, target: &Target) -> TransportError {
    match within(connector.connect(target)).await {
        Ok(_) => panic!("the connection should have been refused"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn thirty_targets_share_one_jump_connection() {
    let (jump, end) = (Sshd::start(), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("t*", &end, "ProxyJump bastion");
    let hosts: Vec<String> = (0..30).map(|n| format!("t{n}")).collect();
    let targets = home.targets(&hosts, "").await.unwrap();
    let connector = SshConnector::new(home.options());
    let all = targets.iter().map(|target| async {
        let transport = within(connector.connect(target)).await.unwrap();
        let output = exec(&*transport, with_stdin("cat", target.name.as_str()))
            .await
            .unwrap();
        assert_eq!(output.stdout(), target.name.as_str());
        transport
    });
    let transports = futures::future::join_all(all).await;
    assert_eq!((logins(&jump), logins(&end)), (1, 30));
    // Closing the targets leaves the jump host's connection to the next one.
    for transport in &transports {
        within(transport.close()).await;
    }
    assert!(within(connector.connect(&targets[0])).await.is_ok());
    assert_eq!((logins(&jump), logins(&end)), (1, 31));
}

#[tokio::test]
async fn a_chain_of_two_and_the_bastion_of_an_ansible_inventory() {
    let (outer, inner, end) = (Sshd::start(), Sshd::start(), Sshd::start());
    let mut home = Home::new();
    home.host("outer", &outer, "");
    home.host("inner", &inner, "ProxyJump outer");
    home.host("end", &end, "ProxyJump inner");
    home.host("plain", &end, "");
    let connector = SshConnector::new(home.options());
    let command = "-o ProxyCommand='ssh -W %h:%p -q inner'";
    for (host, args) in [
        ("end", ""),
        ("plain", "-J outer,inner"),
        ("plain", command),
        ("plain", "-o ProxyJump=inner"),
    ] {
        let target = home.target(host, args).await;
        let names: Vec<&str> = target.jumps.iter().map(|jump| jump.name.as_str()).collect();
        assert_eq!(names, ["outer", "inner"], "{host} {args}");
        let transport = within(connector.connect(&target)).await.unwrap();
        let output = exec(&*transport, request("echo $SSH_CONNECTION"))
            .await
            .unwrap();
        let port = end.port.to_string();
        assert!(
            output.stdout().trim().ends_with(&port),
            "{}",
            output.stdout()
        );
    }
    assert_eq!((logins(&outer), logins(&inner), logins(&end)), (1, 1, 4));
    // What the inventory says wins over the configuration.
    let target = home.target("end", "-J none -l somebody -p 7 -i key").await;
    assert!(target.jumps.is_empty());
    assert_eq!((target.user.as_str(), target.port), ("somebody", 7));
    assert_eq!(
        target.keys,
        [Utf8PathBuf::from("key"), end.user_key("ed25519")]
    );
}

#[tokio::test]
async fn each_host_on_the_way_is_checked_under_its_own_name() {
    let (jump, end) = (Sshd::start(), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("end", &end, "ProxyJump bastion");
    let whole = home.known.clone();
    let of = |sshd: &Sshd| format!("[127.0.0.1]:{} ", sshd.port);
    let without = |port: &str| {
        let lines = whole.lines().filter(|line| !line.starts_with(port));
        lines.fold(String::new(), |all, line| all + line + "\n")
    };
    home.known = without(&of(&jump));
    let target = home.target("end", "").await;
    let error = refusal(&SshConnector::new(home.options()), &target).await;
    assert!(
        error
            .to_string()
            .starts_with("jump host bastion: host key of 127.0.0.1:"),
        "{error}"
    );
    assert_eq!((logins(&jump), logins(&end)), (0, 0));
    home.known = without(&of(&end));
    let error = refusal(&SshConnector::new(home.options()), &target).await;
    assert!(
        error.to_string().starts_with("host key of 127.0.0.1:"),
        "{error}"
    );
    assert_eq!((logins(&jump), logins(&end)), (1, 0));
    // HostKeyAlias stands without a port; a file of the host's own; accept-new for one host alone.
    home.known.clear();
    let alias = home.path("known_hosts.alias");
    fs::write(&alias, format!("some-name {}\n", end.host_key("ed25519"))).unwrap();
    let args = format!("-J none -o HostKeyAlias=some-name -o UserKnownHostsFile={alias}");
    let target = home.target("end", &args).await;
    let connector = SshConnector::new(home.options());
    assert!(within(connector.connect(&target)).await.is_ok());
    let into = |file: &Utf8Path| {
        format!("-J none -o StrictHostKeyChecking=no -o UserKnownHostsFile={file}")
    };
    let fresh = home.path("known_hosts.fresh");
    fs::write(&fresh, "").unwrap();
    let target = home.target("end", &into(&fresh)).await;
    assert!(within(connector.connect(&target)).await.is_ok());
    assert!(fs::read_to_string(&fresh).unwrap().starts_with(&of(&end)));
    // A file of another kind gets no line.
    let other = home.path(".bashrc");
    let target = home.target("end", &into(&other)).await;
    let error = refusal(&connector, &target).await.to_string();
    assert!(error.contains("it is no file for host keys"), "{error}");
    assert!(!other.exists());
}

/// Who looks at keys writes none down, of a jump host neither.
#[tokio::test]
async fn a_look_at_keys_learns_none_on_the_way() {
    let (jump, end) = (Sshd::with("LogLevel VERBOSE\n"), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "StrictHostKeyChecking no");
    home.host("end", &end, "ProxyJump bastion");
    home.known.clear();
    let options = home.options();
    let target = home.target("end", "").await;
    let connector = SshConnector::new(options.clone());
    let error = within(connector.host_keys(&target)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("jump host bastion: host key of"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&options.known_hosts[0]).unwrap(), "");
    // To connect is another matter.
    let _ = within(connector.connect(&target)).await;
    assert!(
        fs::read_to_string(&options.known_hosts[0])
            .unwrap()
            .contains(&jump.host_key("ed25519"))
    );
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_names_the_jump_host() {
    let (jump, end) = (Sshd::with("LogLevel VERBOSE\n"), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("end", &end, "ProxyJump bastion");
    let closed = free_port();
    writeln!(
        home.config,
        "Host closed\n  HostName 127.0.0.1\n  Port {closed}"
    )
    .unwrap();
    let options = home.options();
    let connector = SshConnector::new(options.clone());
    let way = |host: &'static str, args: &str| {
        let (home, args) = (&home, args.to_owned());
        async move { home.target(host, &args).await }
    };
    let error = refusal(&connector, &way("end", "-J closed").await).await;
    let expected = format!(
        "jump host closed: cannot reach 127.0.0.1:{closed}: connection refused: a machine answers, but nothing listens on port {closed}"
    );
    assert_eq!(error.to_string(), expected);
    let error = refusal(&connector, &way("closed", "-J bastion").await).await;
    assert!(
        error
            .to_string()
            .contains("the jump host bastion gets no connection to it"),
        "{error}"
    );

    // Twenty that wait for one jump host try it once, and nobody tries a refused key again.
    let before = jump.log().matches("Connection from").count();
    let stranger = home.path("stranger");
    crate::sshd::keygen(&stranger, "ed25519", "");
    let through = format!(
        "-o ProxyCommand='ssh -F none -W %h:%p -p {} -i {stranger} 127.0.0.1'",
        jump.port
    );
    let target = way("end", &through).await;
    let all = (0..20).map(|_| refusal(&connector, &target));
    for error in futures::future::join_all(all).await {
        let text = error.to_string();
        assert!(
            text.starts_with("jump host 127.0.0.1: ") && text.contains("was refused; tried"),
            "{text}"
        );
    }
    refusal(&connector, &target).await;
    assert_eq!(jump.log().matches("Connection from").count(), before + 1);

    let shut = Sshd::with("AllowTcpForwarding no\n");
    let mut home = Home::new();
    home.host("bastion", &shut, "");
    home.host("end", &end, "ProxyJump bastion");
    let target = home.target("end", "").await;
    let error = refusal(&SshConnector::new(home.options()), &target).await;
    assert!(
        error
            .to_string()
            .contains("the jump host bastion may not connect to it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_jump_host_that_dies_is_named_and_reached_anew() {
    let (jump, end) = (Sshd::start(), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("end", &end, "ProxyJump bastion");
    let target = home.target("end", "").await;
    let connector = SshConnector::new(home.options());
    let transport = within(connector.connect(&target)).await.unwrap();
    assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
    let started = end.path("started");
    let waiting = {
        let (transport, command) = (transport.clone(), format!("touch {started}; exec sleep 60"));
        tokio::spawn(async move { exec(&*transport, request(&command)).await })
    };
    let seen = async {
        while !started.exists() {
            tokio::task::yield_now().await;
        }
    };
    within(seen).await;
    jump.end_sessions();
    let error = within(waiting).await.unwrap().unwrap_err();
    let expected = format!("its jump host bastion (127.0.0.1:{}) is gone", jump.port);
    assert!(error.to_string().contains(&expected), "{error}");
    let transport = within(connector.connect(&target)).await.unwrap();
    assert_eq!(exec(&*transport, request("true")).await.unwrap().status, 0);
    assert_eq!((logins(&jump), logins(&end)), (2, 2));
}

/// Of a chain the first that is gone: all behind it end with it.
#[tokio::test]
async fn of_two_jump_hosts_the_one_that_died_is_named() {
    for dies in ["outer", "inner"] {
        let (outer, inner, end) = (Sshd::start(), Sshd::start(), Sshd::start());
        let mut home = Home::new();
        home.host("outer", &outer, "");
        home.host("inner", &inner, "ProxyJump outer");
        home.host("end", &end, "ProxyJump inner");
        let target = home.target("end", "").await;
        let connector = SshConnector::new(home.options());
        let transport = within(connector.connect(&target)).await.unwrap();
        let started = end.path("started");
        let waiting = {
            let (transport, command) =
                (transport.clone(), format!("touch {started}; exec sleep 60"));
            tokio::spawn(async move { exec(&*transport, request(&command)).await })
        };
        let seen = async {
            while !started.exists() {
                tokio::task::yield_now().await;
            }
        };
        within(seen).await;
        let jump = if dies == "outer" { &outer } else { &inner };
        jump.end_sessions();
        let error = within(waiting).await.unwrap().unwrap_err();
        let expected = format!("its jump host {dies} (127.0.0.1:{}) is gone", jump.port);
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[tokio::test]
async fn much_goes_over_one_jump_host_in_both_directions() {
    // Keys are exchanged anew all the time, as they are after each GiB.
    let (jump, end) = (Sshd::with("RekeyLimit 4M\n"), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("t*", &end, "ProxyJump bastion");
    let hosts: Vec<String> = (0..6).map(|n| format!("t{n}")).collect();
    let targets = home.targets(&hosts, "").await.unwrap();
    let connector = SshConnector::new(home.options());
    let payload: Arc<Vec<u8>> = Arc::new((0..8 << 20).map(|n: u32| n.to_le_bytes()[1]).collect());
    let all = targets.iter().map(|target| async {
        let transport: Arc<dyn Transport> = within(connector.connect(target)).await.unwrap();
        let output = exec(&*transport, with_stdin("cat", payload.as_slice()))
            .await
            .unwrap();
        assert!(output.stdout == *payload);
    });
    futures::future::join_all(all).await;
    assert_eq!(logins(&jump), 1);
}

#[tokio::test]
async fn ssh_is_asked_as_it_is_and_its_errors_are_told() {
    let mut home = Home::new();
    home.config = "Host a\n  Nonsense yes\n".into();
    let error = home
        .targets(&["a".into(), "b".into()], "")
        .await
        .unwrap_err();
    assert!(
        error.contains("Bad configuration option: nonsense"),
        "{error}"
    );
    home.config = "Host *\n  ProxyCommand nc %h %p\n".into();
    let error = home
        .targets(&["a".into(), "b".into()], "")
        .await
        .unwrap_err();
    assert!(
        error.contains("`a`, in ssh's configuration: the ProxyCommand `nc %h %p` is not run"),
        "{error}"
    );
    home.config = "Host *\n  ProxyJump bastion\n".into();
    let error = home.targets(&["a".into()], "").await.unwrap_err();
    assert!(error.contains("jumphost loop via bastion"), "{error}");
    // Tokens, Match and first-wins are ssh's own.
    home.config =
        "Match user bob\n  Port 23\nHost a*\n  HostName %h.example.com\n  Port 24\n".into();
    let target = home.target("a1", "-l bob").await;
    assert_eq!(
        (target.address.as_str(), target.port),
        ("a1.example.com", 23)
    );
    let target = home.target("a1", "").await;
    assert_eq!(target.port, 24);
    // A file that the inventory names counts in place of the other.
    let other = home.path("other");
    fs::write(&other, "Host a1\n  User other\n").unwrap();
    let target = home.target("a1", &format!("-F {other}")).await;
    assert_eq!((target.user.as_str(), target.port), ("other", 22));
}

#[test]
fn ssh_takes_options_as_they_are_read_here() {
    // One table for both: what ssh makes of a command line, and what is read of it.
    for (args, name, value) in [
        ("-p 7 -p 8", "port", "7"),
        ("-oPort=7", "port", "7"),
        ("-o 'Port 7'", "port", "7"),
        ("-o User=a -l b", "user", "a"),
        ("-J me@h:5,i", "proxyjump", "me@h:5,i"),
        ("-o IdentitiesOnly=yes", "identitiesonly", "yes"),
        ("-o ConnectTimeout=9", "connecttimeout", "9"),
        ("-o HostKeyAlias=x", "hostkeyalias", "x"),
        (
            "-o IdentityFile=one -oIdentityFile=two",
            "identityfile",
            "one",
        ),
        (
            "-o StrictHostKeyChecking=accept-new",
            "stricthostkeychecking",
            "accept-new",
        ),
    ] {
        let output = Command::new("sh")
            .args(["-c", &format!("ssh -F none -G {args} host")])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = format!("{name} {value}");
        assert!(text.lines().any(|l| l == line), "{args}: {text}");
        let mut expected = SshArgs::default();
        assert_eq!(expected.set(name, value), Ok(true));
        let (mut read, errors) = SshArgs::parse(args);
        assert_eq!(errors, []);
        read.identity_files.truncate(1);
        assert_eq!(read, expected, "{args}");
    }
}

#[test]
fn the_program_reaches_two_hosts_behind_one_jump_host() {
    let (jump, one, two) = (Sshd::start(), Sshd::start(), Sshd::start());
    let mut home = Home::new();
    home.host("bastion", &jump, "");
    home.host("cp1", &one, "");
    home.host("w1", &two, "");
    home.options();
    home.write();
    fs::write(
        home.path("hosts.yml"),
        "all: { vars: { kubernetes_version: 1.36.3, apiserver_vip: 192.0.2.10, kubernetes_source: present } }\n\
         kube_control_plane: { hosts: { cp1: { ip: 192.0.2.11 } } }\n\
         kube_node: { hosts: { w1: { ip: 192.0.2.21 } } }\n",
    )
    .unwrap();
    let run = |args: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_quorate"))
            .args([
                "exec",
                "-i",
                "hosts.yml",
                "--known-hosts",
                "known_hosts",
                "--ssh-config",
                "config",
            ])
            .args(["-e", &format!("ansible_ssh_common_args='{args}'")])
            .args(["--", "echo", "$SSH_CONNECTION"])
            .current_dir(home.path(""))
            .env("HOME", home.path(""))
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = text(&output.stdout) + &text(&output.stderr);
        (output.status.code(), all)
    };
    let (code, said) = run("-o ProxyCommand=\"ssh -W %h:%p -q bastion\"");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cp1 | ") && said.contains("w1 | "), "{said}");
    assert_eq!((logins(&jump), logins(&one), logins(&two)), (1, 1, 1));
    // An option that is not there: nobody is contacted.
    let (code, said) = run("-J bastion -o ForwardAgent=yes");
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("--extra-vars:1:25"), "{said}");
    assert_eq!(logins(&jump), 1);
}
