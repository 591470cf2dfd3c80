#!/bin/bash
# The service under a real systemd, without touching the machine's own: as root, on a Linux with systemd
# installed. systemd runs as process 1 of namespaces of its own, on a copy-on-write view of this
# machine's files, without a network, and is killed at the end.
#   scripts/try-service.sh <folder>    a folder with Cinnabar in it: npm install -g --prefix <folder> ./cinnabar-*.tgz
set -euo pipefail

if [ "${1:-}" = --inside ]; then
  mount --make-rprivate /
  ip link set lo up
  view=/run/cinnabar-try
  mkdir -p $view && mount -t tmpfs tmpfs $view && mkdir $view/upper $view/work $view/root
  mount -t overlay overlay -o lowerdir=/,upperdir=$view/upper,workdir=$view/work $view/root
  cd $view/root
  mkdir -p opt/cinnabar && mount --bind "$2" opt/cinnabar
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  mount -t tmpfs tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t tmpfs -o mode=755 tmpfs dev
  for name in null zero full random urandom tty; do touch dev/$name && mount --bind /dev/$name dev/$name; done
  mkdir dev/pts dev/shm && mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=1777 tmpfs tmp
  rm -rf etc/systemd/system/*.wants && : > etc/fstab
  ln -sf /lib/systemd/system/multi-user.target etc/systemd/system/default.target
  for name in systemd-udevd.service getty.target systemd-logind.service tmp.mount; do
    ln -sf /dev/null etc/systemd/system/$name
  done
  exec env -i container=lxc PATH="$PATH" chroot . /lib/systemd/systemd --system
fi

enter() { nsenter --target "$init" --mount --pid --uts --ipc --net --cgroup --root "$@"; }
prefix=$(realpath "${1:?usage: scripts/try-service.sh <folder with Cinnabar installed>}")
unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup "$0" --inside "$prefix" >/dev/null 2>&1 &
trap 'kill -KILL $!' EXIT
until init=$(pgrep -P $! -f systemd/systemd) && enter systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
  sleep 0.2
done

enter env -i HOME=/root PATH=/opt/cinnabar/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -euo pipefail <<'INSIDE'
cd /
as() { runuser -u cinnabar -- "$@" --home /var/lib/cinnabar/data; }
say() { echo "ok: $*"; }
useradd --system --home-dir /var/lib/cinnabar --create-home --shell /usr/sbin/nologin cinnabar
mkdir -p /var/lib/cinnabar/.cache/cinnabar
cp -r /root/.cache/cinnabar/engines /var/lib/cinnabar/.cache/cinnabar/
chown -R cinnabar: /var/lib/cinnabar
cinnabar service install --system --account cinnabar --home /var/lib/cinnabar/data
systemctl daemon-reload
systemctl enable --now cinnabar
as cinnabar create shop --sku Balanced_B0 >/dev/null
as cinnabar connect shop SET greeting hello | grep -qx OK
say 'started when systemctl came back; a cache answers'

kill -9 "$(systemctl show -p MainPID --value cinnabar)"
as cinnabar connect shop GET greeting | grep -qx hello || true # the API may be on its way back
until systemctl is-active -q cinnabar && as cinnabar connect shop GET greeting 2>/dev/null | grep -qx hello; do sleep 0.3; done
say 'killed: systemd started it again, the cache went on'

systemctl restart cinnabar
until as cinnabar connect shop GET greeting 2>/dev/null | grep -qx hello; do sleep 0.3; done
say 'restarted: the data is there'

key=$(as cinnabar keys list shop --json | sed -n 's/.*"primaryKey": "\(.*\)".*/\1/p')
test ${#key} -gt 40
! journalctl --no-pager | grep -qF -e "$key" -e rediss://
say 'the journal has no key'
systemd-analyze security cinnabar --no-pager | tail -1

systemctl disable --now cinnabar
! pgrep -u cinnabar
cinnabar service remove
as cinnabar uninstall --yes
test "$(find /var/lib/cinnabar -type f -not -name '.*')" = ''
say 'stopped and removed: nothing runs, nothing is left'
INSIDE
