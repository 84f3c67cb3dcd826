//! The scripts of a drill, for real: under dash and busybox, with the real curl against a server that goes away, and with
//! stand-ins for what would cut this machine off.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate::cluster::drill::record::heard;
use quorate::cluster::drill::{By, Heard, Holding, Probe, Site, measure, script};
use quorate::host::record::{Lines, framed};
use quorate::host::{Request, Segment};
use quorate::model::{Endpoint, HostName};

use super::sandbox::{NONCE, SHELLS, Sandbox, Shell};

const VIP: &str = "10.77.0.100";
const DEADLINE: Duration = Duration::from_secs(40);

fn host(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

fn site(endpoint: Endpoint) -> Site {
    Site {
        endpoint,
        vip: Some(VIP.parse().unwrap()),
        holding: Holding::One,
        control_planes: vec![host("cp1"), host("cp2")],
        workers: Vec::new(),
        load_balancers: vec![host("cp1"), host("cp2")],
        units: vec!["keepalived".into(), "haproxy".into()],
        parts: Default::default(),
        frontend: Some(8443),
        addresses: [(host("cp1"), "10.77.0.11".parse().unwrap())]
            .into_iter()
            .collect(),
    }
}

fn sandbox(kind: Shell) -> Sandbox {
    let sandbox = Sandbox::new(kind);
    std::os::unix::fs::symlink("/proc/uptime", sandbox.path("/proc/uptime")).unwrap();
    fs::create_dir(sandbox.path("/tmp")).unwrap();
    sandbox.tool(
        "mktemp",
        "dir=@/tmp/script; mkdir \"$dir\" && echo \"$dir\"",
    );
    sandbox.write("/etc/kubernetes/pki/ca.crt", "");
    sandbox.write(
        "/proc/1/stat",
        "1 (systemd) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 77 1",
    );
    sandbox.write("/proc/sys/kernel/random/boot_id", "a-boot\n");
    sandbox
}

/// A script whose standard input stays open.
struct Live {
    child: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
    heard: Vec<Heard>,
}

impl Live {
    fn start(sandbox: &Sandbox, request: &Request) -> Self {
        let (mut child, stdin) = sandbox.start(request);
        let mut input = child.stdin.take().unwrap();
        input.write_all(&stdin).unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input: Some(input),
            lines,
            heard: Vec::new(),
        }
    }

    /// Reads on until `enough`.
    #[track_caller]
    fn until(&mut self, enough: impl Fn(&[Heard]) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !enough(&self.heard) {
            assert!(Instant::now() < end, "not heard: {:?}", self.heard);
            let mut line = Vec::new();
            let n = self.lines.read_until(b'\n', &mut line).unwrap();
            let mut noise = String::new();
            if n == 0 {
                let mut stderr = self.child.stderr.take().unwrap();
                stderr.read_to_string(&mut noise).unwrap();
            }
            assert!(n > 0, "it ended after {:?}\n{noise}", self.heard);
            line.pop();
            self.heard
                .extend(framed(NONCE, &line).and_then(|line| heard(&line)));
        }
    }

    /// Closes standard input, as a controller's death does, and waits for the end.
    fn close(mut self) -> Vec<Heard> {
        drop(self.input.take());
        let begun = Instant::now();
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "it goes on");
        self.child.wait().unwrap();
        let lines = Lines::new(NONCE, &rest);
        self.heard.extend(lines.filter_map(|line| heard(&line)));
        self.heard
    }
}

fn probes(heard: &[Heard]) -> Vec<Probe> {
    let probe = |heard: &Heard| match heard {
        Heard::Probe(probe) => Some(*probe),
        _ => None,
    };
    heard.iter().filter_map(probe).collect()
}

/// The request with `https` as `http`: what TLS is to the scripts is a matter of curl alone.
fn without_tls(request: &Request) -> Request {
    let [Segment::Bytes(bytes)] = request.stdin() else {
        panic!("one script");
    };
    let text = std::str::from_utf8(bytes)
        .unwrap()
        .replace("https://", "http://");
    let command = request.command().replace(
        &format!("bs={} ", bytes.len()),
        &format!("bs={} ", text.len()),
    );
    Request::new(
        request.kind(),
        command,
        vec![Segment::Bytes(text.into_bytes().into())],
    )
}

/// A server that says `ok`, and nothing at all while it is away.
fn server(away: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let away = away.clone();
            std::thread::spawn(move || {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request);
                if away.load(Ordering::Relaxed) {
                    // Until the client gives up.
                    let _ = stream.read(&mut request);
                    return;
                }
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
                );
            });
        }
    });
    port
}

#[test]
fn requests_start_at_fixed_times_and_an_outage_is_measured() {
    // A curl of before 7.84 knows no --rate: then each request has a process of its own.
    let variants = [
        (Shell::Dash, true),
        (Shell::Dash, false),
        (Shell::Busybox, true),
    ];
    let runs = variants.map(|(kind, rate)| std::thread::spawn(move || measured(kind, rate)));
    runs.into_iter().for_each(|run| run.join().unwrap());
}

fn measured(kind: Shell, rate: bool) {
    let away = Arc::new(AtomicBool::new(false));
    let endpoint = Endpoint::new("127.0.0.1", server(away.clone())).unwrap();
    let sandbox = sandbox(kind);
    if !rate {
        sandbox.tool(
            "curl",
            "case $1 in --help) exit 0 ;; esac\nexec /usr/bin/curl \"$@\"",
        );
    }
    let request = without_tls(&script::prober(&site(endpoint), 60, NONCE));
    let mut live = Live::start(&sandbox, &request);
    live.until(|heard| probes(heard).len() >= 40);
    let off = probes(&live.heard).iter().map(|p| p.at).max().unwrap();
    away.store(true, Ordering::Relaxed);
    live.until(|heard| {
        let hung = |p: &&Probe| !p.is_good() && p.at > off;
        probes(heard).iter().filter(hung).count() >= 20
    });
    away.store(false, Ordering::Relaxed);
    let back = probes(&live.heard).iter().map(|p| p.at).max().unwrap();
    live.until(|heard| probes(heard).iter().any(|p| p.at > back + 6000));
    let all = live.close();
    assert!(matches!(all[0], Heard::Clock(_)), "{:?}", all[0]);
    assert_eq!(all.last(), Some(&Heard::End));
    let probes = probes(&all);
    let failed: Vec<&Probe> = probes.iter().filter(|p| !p.is_good()).collect();
    assert!(failed.iter().all(|probe| probe.code == 0));
    // A curl that a loaded machine cannot start fails at once.
    let quick = failed.iter().filter(|probe| probe.took < 490).count();
    assert!(quick * 10 <= failed.len(), "{quick} of {failed:#?}");
    // A loaded machine has failures of its own; what counts is that the server's are among them, as one outage.
    let gaps = measure::gaps(&probes);
    let covered = |at: i64| {
        let within = |gap: &&measure::Gap| gap.from <= at && gap.until.is_none_or(|end| end > at);
        gaps.iter().any(|gap| within(&gap))
    };
    let hung: Vec<i64> = probes
        .iter()
        .filter(|p| !p.is_good() && p.at > off)
        .map(|p| p.at)
        .collect();
    assert!(
        hung.len() >= 20 && hung.iter().all(|at| covered(*at)),
        "{gaps:?}"
    );
    // Requests that hang delay no others: one after the other they would start half a second apart.
    let mut starts = hung.clone();
    starts.sort_unstable();
    let close = starts.windows(2).filter(|pair| pair[1] - pair[0] < 400);
    assert!(close.count() >= 12, "{kind:?} {rate}: {starts:?}");
    assert!(names(&sandbox).is_empty(), "the folder is removed");
}

/// Returns what a script left in its own temporary folder.
fn names(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path("/tmp")).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_prober_without_its_means_says_so() {
    for kind in SHELLS {
        let sandbox = Sandbox::new(kind);
        let endpoint = Endpoint::new("127.0.0.1", 1).unwrap();
        let request = script::prober(&site(endpoint), 10, NONCE);
        let (stdout, _) = sandbox.exec(&request, usize::MAX);
        let said: Vec<_> = Lines::new(NONCE, &stdout)
            .filter_map(|l| heard(&l))
            .collect();
        assert_eq!(
            said,
            [Heard::Cannot(
                "/etc/kubernetes/pki/ca.crt is not there".into()
            )]
        );
    }
}

#[test]
fn a_holder_is_told_at_once() {
    for kind in SHELLS {
        let sandbox = sandbox(kind);
        sandbox.tool(
            "ip",
            "case \"$*\" in\n*monitor*) while [ -d @ ]; do [ -e @/event ] && { rm @/event; echo changed; }; sleep 0.02; done ;;\n\
             *'show to 10.77.0.100') [ -e @/vip ] && echo '2: eth0 inet 10.77.0.100/32' ;;\nesac",
        );
        let request = script::holder(VIP.parse().unwrap(), 30, NONCE);
        let mut live = Live::start(&sandbox, &request);
        let count = |heard: &[Heard], wanted: bool| {
            let is = |h: &&Heard| matches!(h, Heard::Holder(_, has) if *has == wanted);
            heard.iter().filter(is).count()
        };
        live.until(|heard| count(heard, false) > 0);
        let begun = Instant::now();
        fs::write(sandbox.path("/vip"), "").unwrap();
        fs::write(sandbox.path("/event"), "").unwrap();
        live.until(|heard| count(heard, true) > 0);
        assert!(begun.elapsed() < Duration::from_millis(900), "{kind:?}");
        // Without an event it is seen within a second or two.
        fs::remove_file(sandbox.path("/vip")).unwrap();
        live.until(|heard| matches!(heard.last(), Some(Heard::Holder(_, false))));
        assert_eq!(live.close().last(), Some(&Heard::End));
    }
}

#[test]
fn a_watch_that_breaks_is_opened_again() {
    for kind in SHELLS {
        let sandbox = sandbox(kind);
        sandbox.write("/etc/kubernetes/admin.conf", "");
        sandbox.tool("curl", "[ ! -e @/down ]");
        sandbox.tool(
            "kubectl",
            "echo \"$HTTP2_READ_IDLE_TIMEOUT_SECONDS $*\" >>@/kubectl.log\nn=$(wc -l <@/kubectl.log)\necho node/cp1\nwhile [ -d @ ] && [ ! -e @/broken$n ]; do sleep 0.02; done",
        );
        let endpoint = Endpoint::new("vip.example", 8443).unwrap();
        let request = script::watcher(&site(endpoint), 30, NONCE);
        let mut live = Live::start(&sandbox, &request);
        let states = |heard: &[Heard]| -> Vec<bool> {
            let state = |h: &Heard| match h {
                Heard::Watch(_, open) => Some(*open),
                _ => None,
            };
            heard.iter().filter_map(state).collect()
        };
        live.until(|heard| states(heard) == [true]);
        fs::write(sandbox.path("/down"), "").unwrap();
        fs::write(sandbox.path("/broken1"), "").unwrap();
        live.until(|heard| states(heard) == [true, false]);
        fs::remove_file(sandbox.path("/down")).unwrap();
        live.until(|heard| states(heard) == [true, false, true]);
        let all = live.close();
        // That it is ended is no break.
        assert_eq!(states(&all), [true, false, true]);
        let log = sandbox.read("/kubectl.log").unwrap();
        assert_eq!(
            log.lines()
                .next()
                .unwrap()
                .replace(&sandbox.root().to_string_lossy().into_owned(), ""),
            "1 --kubeconfig /etc/kubernetes/admin.conf --server https://vip.example:8443 get nodes --watch -o name"
        );
    }
}

/// A host to be taken away: nft and systemd write down what they are told.
fn target(kind: Shell) -> Sandbox {
    let sandbox = sandbox(kind);
    sandbox.tool(
        "ip",
        "case \"$*\" in *default*) echo 'default via 10.77.0.1 dev eth0'; echo 'default via 10.1.0.1 dev mgmt metric 9' ;; esac",
    );
    sandbox.tool(
        "nft",
        "[ ! -e @/old-kernel ] || { echo 'Operation not supported' >&2; exit 1; }\n{ echo \"nft $*\"; case \"$*\" in *-*) cat ;; esac; } >>@/log",
    );
    sandbox.tool(
        "systemd-run",
        "for word do case $word in --unit=*) unit=${word#--unit=} ;; --on-active=*) timer=${word#*=} ;; esac; done\n[ ! -e @/no-$unit ] || { echo no manager >&2; exit 1; }\n\
         echo \"unit $unit ${timer-now}\" >>@/log\n[ -z \"${timer-}\" ] || : >@/units/$unit.timer.is-active",
    );
    sandbox.tool(
        "systemctl",
        "for last do :; done\ncase $1 in\nis-active) [ -e \"@/units/$last.is-active\" ] ;;\nis-enabled) [ -e \"@/units/$last.is-enabled\" ] ;;\n\
         reset-failed) ;;\n*) echo \"systemctl $*\" >>@/log\n\
         case \"$*\" in 'start quorate-drill-restore.service') sed 's#PATH=#PATH=@/bin:#' @/run/quorate/drill-restore.sh | dash ;; stop*timer) rm -f \"@/units/$last.is-active\" ;; esac ;;\nesac",
    );
    for unit in ["keepalived", "haproxy", "kubelet"] {
        fs::write(sandbox.path(&format!("/units/{unit}.is-enabled")), "").unwrap();
    }
    sandbox
}

fn run(sandbox: &Sandbox, request: &Request) -> Vec<Heard> {
    let (stdout, _) = sandbox.exec(request, usize::MAX);
    Lines::new(NONCE, &stdout)
        .filter_map(|l| heard(&l))
        .collect()
}

fn take(sandbox: &Sandbox, by: &By) -> Vec<Heard> {
    let endpoint = Endpoint::new("vip.example", 8443).unwrap();
    let interfaces = ["eth0".to_string()];
    let request = script::take_away(&site(endpoint), by, 10, &host("cp1"), &interfaces, NONCE);
    run(sandbox, &request.unwrap())
}

fn log(sandbox: &Sandbox) -> Vec<String> {
    let text = sandbox.read("/log").unwrap_or_default();
    text.lines().map(str::to_string).collect()
}

/// Runs a script that the host would run later, with the sandbox's tools; returns nothing of it.
fn later(sandbox: &Sandbox, file: &str) {
    let text = sandbox.read(file).unwrap();
    let text = text.replace(
        "PATH=/usr/local/sbin:",
        &format!("PATH={}/bin:/usr/local/sbin:", sandbox.root().display()),
    );
    let path = format!("{}/bin:/usr/bin:/bin", sandbox.root().display());
    let status = Command::new("dash")
        .args(["-c", &text.replace("sleep 1", ":")])
        .env("PATH", path)
        .stdin(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn the_timer_that_gives_the_network_back_comes_first() {
    for kind in SHELLS {
        let sandbox = target(kind);
        assert_eq!(take(&sandbox, &By::Isolate), [Heard::Armed]);
        let before = log(&sandbox);
        let at = |sign: &str| {
            let found = before.iter().position(|l| l.contains(sign));
            found.unwrap_or_else(|| panic!("{sign} in {before:#?}"))
        };
        // The kernel's word, then the timer, then the cut, which is a unit and not this exec.
        assert!(at("hook egress device \"eth0\"") < at("unit quorate-drill-restore 11"));
        assert!(at("hook ingress device \"mgmt\"") < at("unit quorate-drill-restore 11"));
        assert!(at("unit quorate-drill-restore 11") < at("unit quorate-drill-away now"));
        assert_eq!(
            before.iter().filter(|l| l.contains("\"eth0\"")).count(),
            2,
            "once each way"
        );
        assert!(!before.iter().any(|l| l.contains("drop")), "{before:#?}");
        later(&sandbox, "/run/quorate/drill-away.sh");
        let drops = log(&sandbox)[before.len()..].join("\n");
        assert_eq!(drops.matches("nft").count(), 1, "one transaction: {drops}");
        for rule in ["in_0 drop", "out_0 drop", "in_1 drop", "out_1 drop"] {
            assert!(drops.contains(rule), "{drops}");
        }
        assert!(run(&sandbox, &script::report(NONCE)).contains(&Heard::Pending));
        // A second drill finds the first.
        let again = take(&sandbox, &By::Isolate);
        assert!(
            matches!(&again[..], [Heard::Cannot(why)] if why.contains("under way")),
            "{again:?}"
        );
        later(&sandbox, "/run/quorate/drill-restore.sh");
        fs::remove_file(sandbox.path("/units/quorate-drill-restore.timer.is-active")).unwrap();
        assert_eq!(
            log(&sandbox).last().map(String::as_str),
            Some("nft delete table netdev quorate_drill")
        );
        let said = run(&sandbox, &script::report(NONCE));
        let away = said.iter().find(|h| matches!(h, Heard::Away(_)));
        let back = said.iter().find(|h| matches!(h, Heard::Back(_)));
        assert!(away.is_some() && back.is_some(), "{said:?}");
        assert!(
            said.contains(&Heard::Identity("a-boot-77".into())),
            "{said:?}"
        );
    }
}

#[test]
fn nothing_is_cut_without_a_way_back() {
    for kind in SHELLS {
        for (trouble, wanted) in [
            ("/old-kernel", "cannot hook into a device's egress"),
            ("/no-quorate-drill-restore", "was not started: no manager"),
        ] {
            let sandbox = target(kind);
            fs::write(sandbox.path(trouble), "").unwrap();
            let said = take(&sandbox, &By::Isolate);
            assert!(
                matches!(&said[..], [Heard::Cannot(why)] if why.contains(wanted)),
                "{said:?}"
            );
            let log = log(&sandbox).join("\n");
            assert!(
                !log.contains("drill-away") && !log.contains("drop"),
                "{log}"
            );
        }
        // The cut itself fails: what was armed is undone.
        let sandbox = target(kind);
        fs::write(sandbox.path("/no-quorate-drill-away"), "").unwrap();
        let said = take(&sandbox, &By::Isolate);
        assert!(
            matches!(&said[..], [Heard::Cannot(why)] if why.contains("was not cut")),
            "{said:?}"
        );
        let log = log(&sandbox);
        assert_eq!(
            log[log.len() - 3..].join(" / "),
            "systemctl stop quorate-drill-away.service / nft delete table netdev quorate_drill / systemctl stop quorate-drill-restore.timer"
        );
    }
}

#[test]
fn services_are_stopped_only_if_a_boot_starts_them() {
    for kind in SHELLS {
        let sandbox = target(kind);
        assert_eq!(take(&sandbox, &By::StopService), [Heard::Armed]);
        assert_eq!(
            log(&sandbox),
            [
                "unit quorate-drill-restore 10",
                "systemctl stop keepalived haproxy"
            ]
        );
        // The user is in a hurry.
        let said = run(&sandbox, &script::release(NONCE));
        assert!(said.iter().any(|h| matches!(h, Heard::Back(_))), "{said:?}");
        assert!(!said.contains(&Heard::Pending));
        assert_eq!(
            log(&sandbox)[3..],
            [
                "systemctl start keepalived haproxy",
                "systemctl stop quorate-drill-restore.timer"
            ]
        );
        for by in [By::StopService, By::Reboot] {
            let sandbox = target(kind);
            fs::remove_file(sandbox.path("/units/haproxy.is-enabled")).unwrap();
            let said = take(&sandbox, &by);
            assert!(
                matches!(&said[..], [Heard::Cannot(why)] if why.starts_with("haproxy does not start at boot")),
                "{said:?}"
            );
            assert_eq!(log(&sandbox), Vec::<String>::new());
        }
    }
}

#[test]
fn an_api_server_is_killed_by_its_name_alone() {
    for kind in SHELLS {
        let sandbox = target(kind);
        let said = take(&sandbox, &By::KillApi);
        assert!(
            matches!(&said[..], [Heard::Cannot(why)] if why.contains("no process")),
            "{said:?}"
        );
        let mut processes = [(); 2].map(|()| Command::new("sleep").arg("60").spawn().unwrap());
        for (process, name) in processes.iter().zip(["kube-apiserver", "kube-controller"]) {
            sandbox.write(
                &format!("/proc/{}/comm", process.id()),
                &format!("{name}\n"),
            );
        }
        // Of another cluster, in a pod on this host: its flags differ from this host's manifest.
        let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml";
        let flags = "    - --advertise-address=10.0.0.1\n    - --secure-port=6443\n";
        sandbox.write(manifest, flags);
        let cmdline = |flags: &str| {
            let line = format!("kube-apiserver\0{flags}\0--x\0");
            sandbox.write(&format!("/proc/{}/cmdline", processes[0].id()), &line);
        };
        cmdline("--advertise-address=10.0.0.11\0--secure-port=6443");
        assert!(matches!(
            &take(&sandbox, &By::KillApi)[..],
            [Heard::Cannot(_)]
        ));
        cmdline("--advertise-address=10.0.0.1\0--secure-port=6443");
        assert_eq!(take(&sandbox, &By::KillApi), [Heard::Armed]);
        let killed = processes[0].wait().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&killed),
            Some(9)
        );
        assert!(
            processes[1].try_wait().unwrap().is_none(),
            "the other one lives"
        );
        processes[1].kill().unwrap();
        processes[1].wait().unwrap();
        assert!(
            run(&sandbox, &script::report(NONCE))
                .iter()
                .any(|h| matches!(h, Heard::Away(_)))
        );
    }
}

#[test]
fn a_reboot_is_a_unit_of_its_own() {
    for kind in SHELLS {
        let sandbox = target(kind);
        let said = take(&sandbox, &By::Reboot);
        assert_eq!(said, [Heard::Identity("a-boot-77".into()), Heard::Armed]);
        assert_eq!(log(&sandbox), ["unit quorate-drill-away 1"]);
        assert_eq!(
            sandbox.read("/run/quorate/drill-away.sh").as_deref(),
            Some("systemctl reboot\n")
        );
    }
}
