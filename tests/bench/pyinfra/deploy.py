"""The same twelve tasks as quorate/roles/app/tasks/main.yml."""

from io import StringIO

from pyinfra import host
from pyinfra.facts.files import File
from pyinfra.operations import files, server

d = host.data
app = f"{d.site}/roles/app"
values = dict(role=d.role, port=d.port, workers=d.workers, dir=d.dir, peers=d.peers, users=d.users, files=d.files)

files.directory(name="folder for configuration", path=f"{d.dir}/etc", mode="755")
files.directory(name="folder for data", path=f"{d.dir}/data", mode="750")
files.put(name="a file of a few lines", src=StringIO(f"role = {d.role}\n"), dest=f"{d.dir}/etc/role.conf", mode="644")
files.put(name="a file of four kilobytes", src=f"{app}/files/rules.txt", dest=f"{d.dir}/etc/rules.txt", mode="644")
for name, file, mode in [("server", "server.conf", "644"), ("limits", "limits.conf", "644"), ("environment", "environment", "600")]:
    files.template(name=name, src=f"{app}/templates/{file}.j2", dest=f"{d.dir}/etc/{file}", mode=mode, **values)
files.line(name="one line of a file", path=f"{d.dir}/etc/profile", line="^export APP_PORT=.*", replace=f"export APP_PORT={d.port}")
files.line(name="another line of a file", path=f"{d.dir}/etc/modules", line="br_netfilter")
files.put(name="what is readable for its owner alone", src=StringIO(f"key {d.role}\n"), dest=f"{d.dir}/data/key", mode="600")
files.link(name="a link", path=f"{d.dir}/current.conf", target=f"{d.dir}/etc/server.conf")
# What has no `creates` asks for itself.
if host.get_fact(File, path=f"{d.dir}/data/initialised") is None:
    server.shell(name="made once", commands=[f"touch {d.dir}/data/initialised"])
