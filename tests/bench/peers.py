#!/usr/bin/env python3
"""quorate beside other programs that configure hosts over SSH: the same hosts, the same twelve tasks, one run.

Hosts are sshd processes on 127.0.0.1, each with a folder, a HOME, a log and a /run/quorate of its own (a mount namespace: this
needs root). All connections go through a proxy that delays them and counts bytes. Ansible, mitogen and pyinfra come from
requirements.txt into a virtual environment in the user's cache. `make bench-peers` builds what is needed and calls this.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE / "quorate"
VALUES = {
    "role": "app",
    "port": 8080,
    "workers": 8,
    "files": 1024,
    "users": [f"user{n}" for n in range(1, 7)],
    "peers": [f"10.0.0.{n}" for n in range(1, 9)],
    "site": str(SITE),
}
# The one change of the phase `change`: a line in one template of each host.
CHANGE = ("files", 4096)
FILES = ["etc", "data", "etc/role.conf", "etc/rules.txt", "etc/server.conf", "etc/limits.conf", "etc/environment",
         "etc/profile", "etc/modules", "data/key", "current.conf", "data/initialised"]


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def until(what, seconds, holds):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def answers(port):
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


class Host:
    def __init__(self, home, number, port, listen):
        self.name = f"h{number:02}"
        self.home = home / "hosts" / self.name
        self.dir = self.home / "app"
        self.port, self.listen = port, listen
        for part in ("home", "run", "lib"):
            (self.home / part).mkdir(parents=True)
        keys = home / "keys"
        (self.home / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/user.pub\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nMaxStartups 100:30:200\nMaxSessions 100\nLogLevel VERBOSE\nPrintMotd no\n"
            f"Subsystem sftp internal-sftp\n"
            f"SetEnv HOME={self.home}/home PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
        self.log = self.home / "log"
        own = (f"mount --bind {self.home}/run /run/quorate && mount --bind {self.home}/lib /var/lib/quorate && "
               f"exec /usr/sbin/sshd -D -E {self.log} -f {self.home}/sshd_config")
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", own],
                                        stdin=subprocess.DEVNULL)
        self.read = 0

    def wipe(self):
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir()

    def logged(self):
        """Returns how many logins and execs the log tells of since the last look."""
        with self.log.open() as log:
            log.seek(self.read)
            text = log.read()
            self.read = log.tell()
        return text.count("Accepted publickey"), len(re.findall(r"Starting session: (command|subsystem)", text))

    def state(self):
        """Returns what lies in its folder, a digest for each file, and a digest of when they were made."""
        said, made = {}, hashlib.sha256()
        for name in FILES:
            path = self.dir / name
            status = path.lstat()
            body = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            body = body.replace(str(self.dir), "DIR") if isinstance(body, str) else body.replace(bytes(self.dir), b"DIR")
            said[name] = hashlib.sha256(repr((status.st_mode & 0o7777, body)).encode()).hexdigest()
            # A link that is made again as it was is no change to anybody; folders change with what is in them.
            if path.is_file() and not path.is_symlink():
                made.update(repr((name, status.st_mtime_ns, status.st_ino)).encode())
        return said, made.hexdigest()


class Group:
    """A control group of its own for the program that is measured: CPU of all its processes, those that it left behind too."""

    def __init__(self):
        self.version, self.path = None, None
        for version, parent in ((1, Path("/sys/fs/cgroup/cpuacct")), (2, Path("/sys/fs/cgroup"))):
            path = parent / f"quorate-bench-{os.getpid()}"
            if (parent / "cgroup.procs").exists() and (version == 1 or (parent / "cgroup.controllers").exists()):
                try:
                    path.mkdir()
                except OSError:
                    continue
                self.version, self.path = version, path
                return

    def enter(self):
        if self.path:
            (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def cpu(self):
        if not self.path:
            return None
        if self.version == 1:
            return int((self.path / "cpuacct.usage").read_text()) / 1e9
        return int(re.search(r"usage_usec (\d+)", (self.path / "cpu.stat").read_text())[1]) / 1e6

    def processes(self):
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()] if self.path else []

    def memory(self):
        """Returns the memory of all its processes in MiB; what several share counts once."""
        total = 0
        for pid in self.processes():
            try:
                total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
            except (OSError, TypeError):
                pass
        return total / 1024

    def end(self):
        """Ends what was left behind, such as masters of connections."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

    def remove(self):
        if self.path:
            self.end()
            self.path.rmdir()


class Bed:
    """Hosts, the proxy before them, and what each program needs to know of them."""

    def __init__(self, home, most, peers):
        self.home, self.peers, self.proxy = home, peers, None
        self.made = [path for path in (Path("/run/quorate"), Path("/var/lib/quorate"), Path("/run/sshd")) if not path.exists()]
        for path in self.made:
            path.mkdir(mode=0o700 if "quorate" in path.name else 0o755)
        (home / "keys").mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", home / "keys" / name], check=True)
        ports = free_ports(2 * most + 1)
        self.control = ports.pop()
        self.hosts = [Host(home, n + 1, ports[2 * n], ports[2 * n + 1]) for n in range(most)]
        key = " ".join((home / "keys/host.pub").read_text().split()[:2])
        (home / "known_hosts").write_text("".join(f"[127.0.0.1]:{host.listen} {key}\n" for host in self.hosts))
        (home / "ssh_config").write_text(
            "".join(f"Host {host.name}\n  Port {host.listen}\n" for host in self.hosts) +
            f"Host *\n  HostName 127.0.0.1\n  User root\n  IdentityFile {home}/keys/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {home}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  BatchMode yes\n  LogLevel ERROR\n")
        until("sshd", 60, lambda: all(answers(host.port) for host in self.hosts))

    def delay(self, rtt):
        """Begins a network with such a round trip (ms)."""
        self.undelay()
        pairs = [f"{host.listen}:{host.port}" for host in self.hosts]
        self.proxy = subprocess.Popen([self.peers, "proxy", str(self.control), str(rtt), *pairs], stdout=subprocess.PIPE)
        if self.proxy.stdout.readline() != b"ready\n":
            raise SystemExit("the proxy does not start")

    def undelay(self):
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
            self.proxy = None

    def counted(self):
        with socket.create_connection(("127.0.0.1", self.control), timeout=10) as one:
            return json.loads(one.makefile().readline())

    def close(self):
        self.undelay()
        for host in self.hosts:
            host.process.terminate()
        for host in self.hosts:
            host.process.wait(timeout=10)
        for path in self.made:
            shutil.rmtree(path, ignore_errors=True)

    def inventory(self, count):
        """Writes the inventories of the first `count` hosts; returns their folder."""
        folder = self.home / f"inventory-{count}"
        if folder.exists():
            return folder
        folder.mkdir()
        hosts = self.hosts[:count]
        # quorate and Ansible read the same file.
        entry = lambda host: {"ansible_host": "127.0.0.1", "ansible_port": host.listen, "dir": str(host.dir)}
        common = {"ansible_user": "root", "ansible_ssh_private_key_file": f"{self.home}/keys/user", **VALUES}
        tree = {"all": {"hosts": {host.name: entry(host) for host in hosts}, "vars": common}}
        (folder / "hosts.yml").write_text(json.dumps(tree, indent=1))
        shutil.copytree(SITE / "roles", folder / "roles")
        shutil.copy(SITE / "site.yml", folder)
        # pyinfra's is Python.
        data = {"ssh_user": "root", "ssh_key": f"{self.home}/keys/user", "ssh_known_hosts_file": f"{self.home}/known_hosts",
                "ssh_strict_host_key_checking": "yes", "ssh_allow_agent": False, "ssh_look_for_keys": False, **VALUES}
        pairs = [(host.name, {"ssh_hostname": "127.0.0.1", "ssh_port": host.listen, "dir": str(host.dir)}) for host in hosts]
        (folder / "inventory.py").write_text(f"bench = ({pairs!r}, {data!r})\n")
        return folder


class Tool:
    """One program: how it is called on so many hosts, with or without the change."""

    def __init__(self, name, call, before=None, after=None, does=True):
        self.name, self.call, self.before, self.after, self.does = name, call, before, after, does


def tools(bed, options):
    cache = options.cache / "venv"
    name, value = CHANGE

    def quorate(count, changed):
        words = [bed.peers, "apply", "-i", bed.inventory(count) / "hosts.yml", "--known-hosts", bed.home / "known_hosts"]
        return words + (["-e", f"{name}={value}"] if changed else []), {"HOME": bed.home}

    def ansible(more):
        def call(count, changed):
            args = f"-C -o ControlMaster=auto -o ControlPersist=60s -F {bed.home}/ssh_config"
            environment = {"ANSIBLE_CONFIG": HERE / "ansible/ansible.cfg", "ANSIBLE_HOME": bed.home / "ansible", "ANSIBLE_SSH_ARGS": args,
                           "ANSIBLE_SSH_CONTROL_PATH_DIR": bed.home / "cp", "HOME": bed.home, **more}
            words = [cache / "bin/ansible-playbook", "-i", bed.inventory(count) / "hosts.yml", HERE / "ansible/play.yml"]
            return words + (["-e", f"{name}={value}"] if changed else []), environment
        return call

    def pyinfra(count, changed):
        words = [cache / "bin/pyinfra", "-y", "--parallel", "50"] + (["--data", f"{name}={value}"] if changed else [])
        return words + [bed.inventory(count) / "inventory.py", HERE / "pyinfra/deploy.py"], {"HOME": bed.home}

    def parallel(command, count, master=False):
        names = " ".join(host.name for host in bed.hosts[:count])
        more = f"-o ControlPath={bed.home}/cm-%n" if master else "-o ControlPath=none"
        return ["sh", "-c", f"printf '%s\\n' {names} | xargs -P 50 -I@ sh -c 'ssh -F {bed.home}/ssh_config {more} {command}'"], {}

    def scripts(master):
        def call(count, changed):
            rules = (SITE / "roles/app/files/rules.txt").read_text()
            for host in bed.hosts[:count]:
                values = {**VALUES, "dir": host.dir, **({name: value} if changed else {})}
                text = "".join(f"{key}='{' '.join(value) if isinstance(value, list) else value}'\n" for key, value in values.items())
                (bed.home / f"{host.name}.sh").write_text(
                    text + f"rules() {{ cat <<'END'\n{rules}END\n}}\n" + (HERE / "openssh/tasks.sh").read_text())
            return parallel(f"@ sh -s <{bed.home}/@.sh", count, master)
        return call

    def masters(word):
        def act(count):
            for host in bed.hosts[:count]:
                words = ["-M", "-N", "-f"] if word == "open" else ["-O", "exit"]
                subprocess.run(["ssh", "-F", bed.home / "ssh_config", "-o", f"ControlPath={bed.home}/cm-{host.name}", *words, host.name],
                               check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        return act

    mitogen = {"ANSIBLE_STRATEGY": "mitogen_linear"}
    strategies = list(cache.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
    if strategies:
        mitogen["ANSIBLE_STRATEGY_PLUGINS"] = strategies[0]
    return [
        Tool("quorate", quorate),
        Tool("ansible", ansible({})),
        Tool("mitogen", ansible(mitogen)),
        Tool("pyinfra", pyinfra),
        Tool("ssh script", scripts(False)),
        Tool("ssh script (open master)", scripts(True), masters("open"), masters("exit")),
        Tool("ssh true", lambda count, _: parallel("@ true", count), does=False),
        Tool("ssh true (open master)", lambda count, _: parallel("@ true", count, True), masters("open"), masters("exit"), does=False),
    ]


class Bench:
    def __init__(self, bed, options):
        self.bed, self.options, self.group = bed, options, Group()
        self.began = time.monotonic()

    def left(self):
        return self.options.budget - (time.monotonic() - self.began)

    def run(self, tool, count, changed, sample):
        """Runs it once; returns its figures, or why there are none."""
        words, environment = tool.call(count, changed)
        hosts = self.bed.hosts[:count]
        for host in hosts:
            host.logged()
        self.bed.counted()
        cpu = self.group.cpu()
        peak, ended = [0.0], threading.Event()

        def watch():
            while not ended.wait(0.25):
                peak[0] = max(peak[0], self.group.memory())

        log = self.bed.home / "output"
        watcher = threading.Thread(target=watch)
        timer = None
        with log.open("w") as output:
            start = time.monotonic()
            process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                       env={**os.environ, **{k: str(v) for k, v in environment.items()}}, cwd=self.bed.home,
                                       preexec_fn=self.group.enter, start_new_session=True)
            timer = threading.Timer(self.options.timeout, lambda: os.killpg(process.pid, signal.SIGKILL))
            timer.start()
            if sample:
                watcher.start()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - start
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if sample:
            watcher.join()
        self.group.end()
        if process.returncode:
            tail = " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            return {"failed": f"exit {process.returncode} after {seconds:.1f} s: {tail[-400:]}"}
        # A connection that closes may still be under way.
        until("the connections' end", 20, lambda: not self.busy(hosts))
        counted = self.bed.counted()
        logged = [host.logged() for host in hosts]
        after = self.group.cpu()
        return {
            "seconds": seconds,
            "cpu": usage.ru_utime + usage.ru_stime if after is None else after - cpu,
            "largest": usage.ru_maxrss / 1024,
            "memory": max(peak[0], usage.ru_maxrss / 1024) if sample else None,
            "logins": sum(n for n, _ in logged) / count,
            "execs": sum(n for _, n in logged) / count,
            "to_hosts": counted["to_hosts"] / count,
            "from_hosts": counted["from_hosts"] / count,
            "turns": counted["turns"] / count,
        }

    def busy(self, hosts):
        for host in hosts:
            children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
            # A master that was opened before stays; it is no work.
            if children and not (self.bed.home / f"cm-{host.name}").exists():
                return True
        return False

    def phases(self, tool, count):
        """Runs a program through its phases; returns the figures of each."""
        hosts = self.bed.hosts[:count]
        found = {}
        if tool.before:
            tool.before(count)
        try:
            if not tool.does:
                found["no-change"] = self.median(tool, count, self.options.repeat)
                return found
            for host in hosts:
                host.wipe()
            found["first"] = self.run(tool, count, False, True)
            if "failed" in found["first"]:
                return found
            first = [host.state() for host in hosts]
            found["no-change"] = self.median(tool, count, self.options.repeat if found["first"]["seconds"] < 5 else 1)
            if [host.state() for host in hosts] != first:
                raise SystemExit(f"{tool.name}: the second run changed something")
            found["change"] = self.run(tool, count, True, False)
            if "failed" not in found["change"]:
                for host in hosts:
                    if f"nofile {CHANGE[1]}" not in (host.dir / "etc/limits.conf").read_text():
                        raise SystemExit(f"{tool.name}: the change did not come to {host.name}")
            found["said"] = [said for said, _ in first]
            return found
        finally:
            if tool.after:
                tool.after(count)

    def median(self, tool, count, times):
        runs = []
        for _ in range(times):
            runs.append(self.run(tool, count, False, False))
            if "failed" in runs[-1]:
                return runs[-1]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0] if runs[0][key] is not None}
        return {**middle, "runs": [run["seconds"] for run in runs]}


def report(results, rtts, counts, names, skipped):
    """Prints the figures as tables of Markdown."""
    def figure(rtt, count, name, phase):
        return results.get((rtt, count, name), {}).get(phase, {})

    for count in counts:
        for rtt in rtts:
            if not any((rtt, count, name) in results for name in names):
                continue
            print(f"\n{count} host{'s' * (count > 1)}, {rtt} ms\n")
            print("| | first | no change | one change | × of no change | execs, logins | CPU | memory | kB to, from a host |")
            print("|---|---|---|---|---|---|---|---|---|")
            own = figure(rtt, count, "quorate", "no-change").get("seconds")
            for name in names:
                if (rtt, count, name) not in results:
                    continue
                one = figure(rtt, count, name, "no-change")
                seconds = [figure(rtt, count, name, phase).get("seconds") for phase in ("first", "no-change", "change")]
                memory = figure(rtt, count, name, "first").get("memory")
                cells = [f"{value:.2f} s" if value is not None else "" for value in seconds]
                if one.get("seconds") is None:
                    failed = one.get("failed") or figure(rtt, count, name, "first").get("failed", "")
                    print(f"| {name} | {' | '.join(cells)} | | failed: {failed[:80]} | | | |")
                    continue
                ratio = f"{one['seconds'] / own:.1f}" if own else ""
                print(f"| {name} | {' | '.join(cells)} | {ratio} | {one['execs']:.4g}, {one['logins']:.4g} | {one['cpu']:.2f} s | "
                      f"{f'{memory:.0f} MiB' if memory else ''} | {one['to_hosts'] / 1000:.1f}, {one['from_hosts'] / 1000:.1f} |")
    slow = max(rtts)
    if 0 in rtts and slow and 1 in counts:
        print(f"\nOne host, no change: round trips by time ((seconds at {slow} ms - seconds at 0 ms) / {slow} ms), and how often the direction turned\n")
        for name in names:
            fast, late = (figure(rtt, 1, name, "no-change") for rtt in (0, slow))
            if "seconds" in fast and "seconds" in late:
                print(f"- {name}: {(late['seconds'] - fast['seconds']) / slow * 1000:.1f}, {late['turns']:.0f}")
    if skipped:
        print(f"\nNot measured, for want of time: {'; '.join(skipped)}")


def prepare(options):
    """Installs the other programs, once for each state of requirements.txt."""
    wanted = (HERE / "requirements.txt").read_text()
    stamp, venv = options.cache / "venv/requirements.txt", options.cache / "venv"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(venv, ignore_errors=True)
    options.cache.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=120)
    subprocess.run([venv / "bin/pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True, timeout=600)
    stamp.write_text(wanted)


def main():
    numbers = lambda text: [int(word) for word in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="the built example `peers`")
    parser.add_argument("--hosts", type=numbers, default=[1, 10, 50])
    parser.add_argument("--rtt", type=numbers, default=[0, 10, 50], help="round trips in ms")
    parser.add_argument("--only", help="names of programs, split at commas")
    parser.add_argument("--repeat", type=int, default=3, help="runs of `no change`, of which the median is shown; one, where the first run took five seconds")
    parser.add_argument("--timeout", type=int, default=240, help="seconds for one run")
    parser.add_argument("--budget", type=int, default=3600, help="seconds after which nothing more is begun")
    parser.add_argument("--json", type=Path, help="where all figures go too")
    options = parser.parse_args()
    options.cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quorate-bench"
    options.peers = options.peers.resolve()
    if os.geteuid() != 0:
        raise SystemExit("bench-peers needs root: each host is an sshd in a mount namespace of its own")
    # Ended from outside it cleans up all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prepare(options)
    home = Path(tempfile.mkdtemp(prefix="quorate-bench-"))
    bed = bench = None
    results, skipped = {}, []
    try:
        bed = Bed(home, max(options.hosts), options.peers)
        bench = Bench(bed, options)
        load = Path("/proc/loadavg").read_text().split()[0]
        chosen = [tool for tool in tools(bed, options) if not options.only or tool.name in options.only.split(",")]
        for count in options.hosts:
            for rtt in options.rtt:
                bed.delay(rtt)
                for tool in chosen:
                    if bench.left() <= 0:
                        skipped.append(f"{tool.name}, {count} hosts, {rtt} ms")
                        continue
                    print(f"{time.monotonic() - bench.began:6.0f} s  {count} hosts, {rtt} ms: {tool.name}", file=sys.stderr, flush=True)
                    results[rtt, count, tool.name] = bench.phases(tool, count)
        reference = next((found["said"] for found in results.values() if "said" in found), [])
        for (_, _, name), found in results.items():
            for own, others in zip(found.get("said", []), reference):
                differs = [file for file in FILES if own[file] != others[file]]
                if differs:
                    raise SystemExit(f"{name} did not make the same of {', '.join(differs)}")
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
        print(f"{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} cores, load {load} at the beginning")
        report(results, options.rtt, options.hosts, [tool.name for tool in chosen], skipped)
        if options.json:
            options.json.write_text(json.dumps({f"{rtt} ms, {count} hosts, {name}": found for (rtt, count, name), found in results.items()}, indent=1))
    finally:
        if bench:
            bench.group.remove()
        if bed:
            bed.close()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
