#!/usr/bin/env bash
# The first process in the namespaces that systemd.sh makes: lays a copy of the host's files over a tmpfs, with the
# unit, a configuration and systemd-probe.sh in it, and becomes systemd.
set -euo pipefail

ip link set lo up
LOGS=$WORK/logs
MOUNT=$WORK/mount
mount -t tmpfs tmpfs "$MOUNT"
mkdir "$MOUNT/upper" "$MOUNT/work" "$MOUNT/new"
NEW=$MOUNT/new
mount -t overlay -o "lowerdir=/,upperdir=$MOUNT/upper,workdir=$MOUNT/work" overlay "$NEW"

# Of the namespaces' own; the settings of the kernel that belong to the host stay as they are.
mount -t proc proc "$NEW/proc"
grep -E '^-?net\.' "$DEPLOY/sysctl.d/90-millpond.conf" | grep -v '^-net.netfilter' >"$NEW/sysctl.conf"
sysctl --quiet --load "$NEW/sysctl.conf"
mount --bind "$NEW/proc/sys" "$NEW/proc/sys"
mount -o remount,bind,ro "$NEW/proc/sys"
mount -t sysfs -o ro sysfs "$NEW/sys"
mount -t cgroup2 cgroup2 "$NEW/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$NEW/run"
mount -t tmpfs -o mode=755 tmpfs "$NEW/dev"
mkdir "$NEW/dev/pts" "$NEW/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$NEW/dev/pts"
ln -s pts/ptmx "$NEW/dev/ptmx"
for device in null zero full random urandom tty; do
    touch "$NEW/dev/$device"
    mount --bind "/dev/$device" "$NEW/dev/$device"
done

# What is written here is read outside. systemd takes the second for the log of the kernel.
for log in probe.log:probe.log dev/kmsg:systemd.log service.log:service.log; do
    touch "$NEW/${log%%:*}"
    mount --bind "$LOGS/${log##*:}" "$NEW/${log%%:*}"
done

touch "$NEW/usr/bin/millpond"
mount --bind "$MILLPOND" "$NEW/usr/bin/millpond"
UNITS=$NEW/etc/systemd/verify
mkdir -p "$UNITS/millpond.service.d" "$NEW/etc/millpond"
cp "$DEPLOY/systemd/millpond.service" "$DEPLOY/systemd/millpond.socket" "$UNITS"
cp -r "$DEPLOY/systemd/examples" "$HERE/systemd-probe.sh" "$NEW/"
cp "$HERE/systemd.toml" "$NEW/etc/millpond/millpond.toml"
# Stricter than the unit: what the filter refuses kills, where it would fail with EPERM; and less patient.
cat >"$UNITS/millpond.service.d/verify.conf" <<'UNIT'
[Service]
SystemCallErrorNumber=
WatchdogSec=3s
StandardOutput=append:/service.log
StandardError=append:/service.log
UNIT
for target in sysinit sockets basic shutdown multi-user network-online; do
    printf '[Unit]\nDescription=%s\n' "$target" >"$UNITS/$target.target"
done
cat >"$UNITS/probe.service" <<'UNIT'
[Unit]
Description=systemd-probe.sh
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
StandardOutput=append:/probe.log
StandardError=append:/probe.log
ExecStart=/bin/bash /systemd-probe.sh
UNIT
printf '[Unit]\nDefaultDependencies=no\nWants=probe.service\n' >"$UNITS/verify.target"

mkdir "$NEW/old"
cd "$NEW"
pivot_root . old
umount --lazy /old
# As a container manager does: systemd hands credentials to services by mounts that spread.
mount --make-rshared /
# Those units and no other: nothing of the host's is started.
export container=millpond-verify SYSTEMD_UNIT_PATH=/etc/systemd/verify
exec /lib/systemd/systemd --system --unit=verify.target --log-target=kmsg --show-status=no
