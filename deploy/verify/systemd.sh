#!/usr/bin/env bash
# Checks deploy/systemd and deploy/sysctl.d: with systemd-analyze(1), and by running the unit under a systemd of
# its own, in namespaces, where every system call that the unit's filter refuses kills the program.
#
#     deploy/verify/systemd.sh target/debug/millpond
#
# Needs root, and the Debian packages systemd, procps, curl and python3. Changes nothing outside the namespaces but
# a cgroup, which it takes away again.
set -euo pipefail

# The least exposed that the service can be and do its work: systemd-analyze security, from 0 to 10.
EXPOSURE_MAX=1.6

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DEPLOY=$(dirname "$HERE")
MILLPOND=$(realpath "${1:?the program: target/debug/millpond}")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# The unit as the package installs it, where its program and manual page are.
analyze() {
    local root=$WORK/root units
    units=$root/usr/lib/systemd/system
    mkdir -p "$units" "$root/usr/bin" "$root/bin"
    cp /usr/lib/systemd/system/*.{target,slice,socket,service,mount} "$units" 2>/dev/null || true
    cp "$DEPLOY/systemd/millpond.service" "$DEPLOY/systemd/millpond.socket" "$units"
    for program in usr/bin/millpond bin/kill; do
        printf '#!/bin/sh\n' >"$root/$program"
        chmod 755 "$root/$program"
    done
    local unit=$units/millpond.service
    for examples in "" token long-drain; do
        rm -rf "$unit.d"
        if [ -n "$examples" ]; then
            mkdir "$unit.d"
            cp "$DEPLOY/systemd/examples/$examples.conf" "$unit.d"
        fi
        # It warns and exits with 0 where a key is misspelled.
        local said
        said=$(systemd-analyze verify --man=no --recursive-errors=one --root="$root" millpond.service millpond.socket 2>&1) || true
        if [ -n "$said" ]; then
            printf 'systemd-analyze verify (%s):\n%s\n' "${examples:-no drop-in}" "$said"
            return 1
        fi
    done
    rm -rf "$unit.d"
    local exposure
    exposure=$(systemd-analyze security --offline=true --no-pager --root="$root" millpond.service |
        sed -n 's/.*Overall exposure level for millpond.service: \([0-9.]*\).*/\1/p')
    echo "systemd-analyze: nothing to complain of, exposure $exposure of at most $EXPOSURE_MAX"
    awk -v found="$exposure" -v most="$EXPOSURE_MAX" 'BEGIN { exit !(found != "" && found <= most) }'
}

# A cgroup for the systemd within, which has all others out of sight.
run_in_namespaces() {
    export DEPLOY HERE MILLPOND WORK
    unshare --mount --propagation private bash -euo pipefail -c '
        mkdir "$WORK/cgroup" "$WORK/mount" "$WORK/logs"
        touch "$WORK/logs/"{probe,service,systemd}.log
        mount -t cgroup2 cgroup2 "$WORK/cgroup"
        group=$WORK/cgroup/millpond-verify-$$
        mkdir "$group"
        ( echo "$BASHPID" >"$group/cgroup.procs"
          exec timeout --signal=KILL 180 unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net \
              bash "$HERE/systemd-boot.sh" </dev/null ) || true
        for try in $(seq 50); do
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
        umount "$WORK/cgroup"'
}

analyze
if [ "$(id -u)" -ne 0 ] || ! unshare --mount --pid --fork --cgroup --uts --ipc --net mount -t cgroup2 cgroup2 /mnt; then
    echo "skipped: the unit was not run, as no namespace for it may be made here"
    exit 0
fi
run_in_namespaces >"$WORK/boot.log" 2>&1
cat "$WORK/logs/probe.log"
if ! grep -qx "passed" "$WORK/logs/probe.log"; then
    cat "$WORK/boot.log" "$WORK/logs/"{service,systemd}.log
    exit 1
fi
