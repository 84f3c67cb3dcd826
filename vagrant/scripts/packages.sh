#!/usr/bin/env bash
# Makes pk1 the host that kubernetes_source: packages needs where nothing can be downloaded: a signed repository laid out as the
# community's is (http://ADDRESS/deb), one with containerd.io (http://ADDRESS/docker), and a registry with the lab's images
# (http://ADDRESS:5000). The binaries and images are those
# of `vagrant/lab files`.
#   kubeadm kubelet kubectl   this version; an older patch of the same programs, to upgrade from; and a later one that holds
#                             nothing and whose installation would be a failure of the pin
#   kubernetes-cni containerd.io
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

host=$(container pk1)
address=$(node_ip pk1)
files=$LAB_DIR/files
[ -d "$files/bin" ] || die "no files yet: vagrant/lab files"
containerd=$(module_version containerd github.com/containerd/containerd/v2)

docker exec "$host" sh -c '
    command -v skopeo >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends \
        apt-utils gnupg nginx-light docker-registry skopeo zstd; }' >&2
docker exec "$host" mkdir -p /srv/files
tar -C "$files/" -chf - bin cni images | docker exec -i "$host" tar -xf - -C /srv/files

docker exec -i -e "VERSION=$KUBERNETES_VERSION" -e "CONTAINERD=${containerd#v}" -e "ADDRESS=$address" "$host" bash -euo pipefail -s >&2 <<'HOST'
cd /srv
rm -rf root deb docker && mkdir -p deb docker
repository=deb
minor=${VERSION%.*}
# package NAME VERSION [FIELD...]: what lies in /srv/root
package() {
    local name=$1 version=$2
    mkdir -p root/DEBIAN
    {
        printf 'Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: the lab <lab@lab.quorate>\n' "$name" "$version" "$(dpkg --print-architecture)"
        printf '%s\n' "${@:3}" "Description: $name, as the lab has it"
    } >root/DEBIAN/control
    dpkg-deb --root-owner-group -Zzstd -z1 -b root "$repository/${name}_$version.deb" >/dev/null
    rm -rf root
}
service() { # NAME PROGRAM: as the packages of the community and of Docker bring it
    mkdir -p root/usr/lib/systemd/system
    printf '[Unit]\nAfter=network-online.target\n\n[Service]\nExecStart=%s\nRestart=always\nRestartSec=10\n%s\n[Install]\nWantedBy=multi-user.target\n' \
        "$2" "${3:-}" >"root/usr/lib/systemd/system/$1.service"
}
for version in "$minor.$((${VERSION##*.} - 1))" "$VERSION"; do
    for name in kubeadm kubectl kubelet; do
        install -D -m 755 "files/bin/$name" "root/usr/bin/$name"
        case $name in
        kubelet)
            service kubelet /usr/bin/kubelet
            package kubelet "$version-1.1" 'Depends: kubernetes-cni, iptables, conntrack'
            ;;
        kubeadm)
            mkdir -p root/usr/lib/systemd/system/kubelet.service.d
            cat >root/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf <<'UNIT'
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
UNIT
            package kubeadm "$version-1.1" 'Depends: kubelet, kubectl'
            ;;
        kubectl) package kubectl "$version-1.1" ;;
        esac
    done
done
for name in kubeadm kubectl kubelet; do package "$name" "$minor.$((${VERSION##*.} + 1))-1.1"; done
mkdir -p root/opt/cni/bin && cp files/cni/* root/opt/cni/bin/
package kubernetes-cni 1.7.1-1.1
mkdir -p root/usr/bin && cp files/bin/{containerd,containerd-shim-runc-v2,ctr,runc} root/usr/bin/
service containerd /usr/bin/containerd "$(printf 'Type=notify\nDelegate=yes\nKillMode=process\nLimitNOFILE=infinity\nTasksMax=infinity\n ')"
repository=docker
package containerd.io "$CONTAINERD-1"

# A key of this host's own, made once.
export GNUPGHOME=/srv/gnupg
if [ ! -d "$GNUPGHOME" ]; then
    mkdir -m 700 "$GNUPGHOME"
    gpg --batch --quiet --passphrase '' --quick-gen-key 'the lab <lab@lab.quorate>' ed25519 sign never
fi
for repository in deb docker; do
    cd "/srv/$repository"
    apt-ftparchive packages . >Packages
    apt-ftparchive release . >Release.new && mv Release.new Release
    gpg --batch --yes --clearsign -o InRelease Release
    gpg --batch --yes --armor --export >Release.key
done
cat >/etc/nginx/sites-available/default <<'NGINX'
server {
    listen 80 default_server;
    root /srv;
    location /deb/ {}
    location /docker/ {}
    location / { return 404; }
}
NGINX
# Debian's file asks for a password; nobody but the lab's hosts comes here.
sed -i '/^auth:/,/^[a-z]*:$/{/^auth:/d; /^  /d}' /etc/docker/registry/config.yml
systemctl restart nginx docker-registry
for _ in $(seq 100); do
    curl -fsS -o /dev/null http://127.0.0.1:5000/v2/ 2>/dev/null && break
    sleep 0.1
done
cd /srv
for archive in files/images/*.tar.zst; do
    zstd -q -d -f "$archive" -o image.tar
    name=$(tar -xOf image.tar index.json | jq -r '.manifests[0].annotations["io.containerd.image.name"]')
    skopeo copy -q --dest-tls-verify=false oci-archive:image.tar "docker://127.0.0.1:5000/${name#*/}"
done
rm -f image.tar
HOST
echo "http://$address/deb  http://$address/docker  http://$address:5000"
