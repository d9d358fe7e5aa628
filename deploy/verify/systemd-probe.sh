#!/usr/bin/env bash
# Runs as a unit of the systemd that systemd-boot.sh starts. Its last line is "passed", or it has failed.
set -euo pipefail
trap 'echo "FAILED in line $LINENO: $BASH_COMMAND"' ERR

CONFIG=/etc/millpond/millpond.toml
ADMIN=(--admin unix:/run/millpond/admin.sock)
admin() { curl --silent --show-error --fail --max-time 5 --unix-socket /run/millpond/admin.sock "http://localhost$1"; }
property() { systemctl show --property="$1" --value millpond.service; }
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(property MainPID)/status"; }
# Fails with what was found where it is not what is expected.
is() { if [ "$2" != "$3" ]; then echo "$1: $2, not $3"; return 1; fi; }
# Waits until the condition holds.
eventually() {
    for _ in $(seq 200); do if "$@" >/dev/null 2>&1; then return; fi; sleep 0.05; done
    echo "not within 10 s: $*"
    return 1
}
is_another_process() { [ "$(property MainPID)" -gt 0 ] && [ "$(property MainPID)" != "$1" ]; }

# The origin: a long file for the flows that pass through pipes, and a short one.
mkdir /origin
cd /origin
echo hello >short
head -c 64M /dev/zero >long
/usr/bin/python3 -m http.server --bind 127.0.0.1 3000 >/dev/null 2>&1 &
for _ in $(seq 100); do if curl -so /dev/null http://127.0.0.1:3000/short; then break; fi; sleep 0.05; done

# What the file in sysctl.d sets of a network namespace, as the doctor of the service sees it.
millpond doctor --json -c "$CONFIG" >/doctor.json || true
/usr/bin/python3 - <<'PYTHON'
import json, re
names = [re.split(r"\s*=", line.lstrip("-"))[0] for line in open("/sysctl.conf") if line.strip()]
checks = {check["name"]: check for check in json.load(open("/doctor.json"))["checks"]}
bad = [checks[name] for name in names if checks[name]["verdict"] != "ok"]
assert len(names) >= 9 and not bad, (names, bad)
print(f"doctor: content with {len(names)} settings of sysctl.d in this kernel")
PYTHON

# The start is over when it serves: READY=1.
systemctl start millpond.service
millpond health "${ADMIN[@]}" >/dev/null
is "the kind of service" "$(property Type) $(property ActiveState) $(property SubState)" "notify active running"
eventually eval 'property StatusText | grep -q sessions'
echo "status: $(property StatusText)"
is "seccomp" "$(status Seccomp)" 2
is "no_new_privs" "$(status NoNewPrivs)" 1
is "capabilities" "$(status CapEff) $(status CapBnd)" "0000000000000400 0000000000000400"
if [ "$(status Uid | cut -f1)" -lt 61184 ]; then echo "not a dynamic user: $(status Uid)"; exit 1; fi
pid=$(property MainPID)

for port in 80 81; do
    is "short, port $port" "$(curl -sf --max-time 10 http://127.0.0.1:$port/short)" hello
    is "long, port $port" "$(curl -sf --max-time 30 http://127.0.0.1:$port/long | wc -c)" $((64 << 20))
done
for path in / /stats /metrics /config /history /livez /readyz; do admin "$path" >/dev/null; done
admin /events --max-time 3 2>/dev/null | grep -q -m1 snapshot || true
millpond stats "${ADMIN[@]}" >/dev/null
# Counted by sock_diag (netlink), once a second; null where it is refused.
for _ in $(seq 40); do
    admin /stats >/stats.json
    if grep -q '"count": 0' /stats.json; then break; fi
    sleep 0.1
done
/usr/bin/python3 - <<'PYTHON'
import json
stats = json.load(open("/stats.json"))
assert stats["close_wait"]["count"] == 0, stats["close_wait"]
assert stats["kernel"]["somaxconn"] == 4096, stats["kernel"]
print(f"the unit serves: {stats['listeners'][0]['requests_total']} requests, notes {stats.get('notes')}")
PYTHON
grep -q 'GET' /var/log/millpond/access.log

# A reload with a mistake fails, and nothing happens.
cp "$CONFIG" /good.toml
echo 'nonsense = 1' >"$CONFIG"
if systemctl reload millpond.service 2>/dev/null; then echo "a broken configuration was taken"; exit 1; fi
is "the process after it" "$(property MainPID)" "$pid"
cp /good.toml "$CONFIG"
if millpond help reload >/dev/null 2>&1; then
    systemctl reload millpond.service
    millpond health "${ADMIN[@]}" >/dev/null
    is "the process after a reload" "$(property MainPID)" "$pid"
    echo "reload: the same process serves"
else
    echo "reload: skipped, this millpond has none"
fi

# Another process of the same program takes over, and is the main one.
pid=$(property MainPID)
curl -sf --max-time 10 http://127.0.0.1:80/short >/dev/null
millpond upgrade "${ADMIN[@]}"
eventually is_another_process "$pid"
new=$(property MainPID)
is "the process that answers" "$(admin /stats | grep -o '"pid": [0-9]*' | head -1)" "\"pid\": $new"
eventually eval "! kill -0 $pid"
is "the service after an upgrade" "$(property ActiveState) $(property NRestarts)" "active 0"
is "short, after an upgrade" "$(curl -sf --max-time 10 http://127.0.0.1:80/short)" hello
eventually eval 'property StatusText | grep -q sessions'
millpond upgrade "${ADMIN[@]}" >/dev/null
eventually is_another_process "$new"
echo "upgrade: process $pid, then $new, then $(property MainPID)"

# Alive for longer than WatchdogSec; stopped, it is not, and is started again.
sleep 4
is "the service after WatchdogSec" "$(property ActiveState) $(property NRestarts)" "active 0"
pid=$(property MainPID)
kill -STOP "$pid"
eventually is_another_process "$pid"
eventually millpond health "${ADMIN[@]}"
is "restarts after a hang" "$(property NRestarts)" 1
echo "watchdog: a process that hangs is started again"

systemctl stop millpond.service
is "the stop" "$(property Result) $(property ExecMainStatus)" "success 0"
is "what is left in /run" "$(ls -A /run/millpond 2>/dev/null)" ""

# With the examples: the token in a credential, and an address instead of a socket.
sed -i 's|^listen = .*|listen = "127.0.0.1:9900"|' "$CONFIG"
cp /examples/*.conf /etc/systemd/verify/millpond.service.d/
(umask 077; head -c 32 /dev/urandom | base64 >/etc/millpond/admin.token)
systemctl daemon-reload
systemctl start millpond.service
millpond health >/dev/null
if millpond stats >/dev/null 2>&1; then echo "answers without its token"; exit 1; fi
millpond stats --token-file /etc/millpond/admin.token >/dev/null
is "the time for a stop" "$(property TimeoutStopUSec)" 11min
echo "drop-ins: the token is asked for"

# A crash is followed by a start, a drain is not.
pid=$(property MainPID)
kill -KILL "$pid"
eventually is_another_process "$pid"
eventually millpond health
is "restarts" "$(property NRestarts)" 1
millpond drain --wait --token-file /etc/millpond/admin.token
for _ in $(seq 100); do if [ "$(property ActiveState)" = inactive ]; then break; fi; sleep 0.05; done
is "after a drain" "$(property ActiveState) $(property Result)" "inactive success"
rm /etc/systemd/verify/millpond.service.d/{token,long-drain}.conf
sed -i 's/^ListenStream=.*/ListenStream=127.0.0.1:80/' /etc/systemd/verify/millpond.socket
systemctl daemon-reload

# Socket activation: the port is there before the service, and while it is restarted. 81 it binds itself.
systemctl start millpond.socket
is "before the first client" "$(property ActiveState)" inactive
is "the first client" "$(curl -sf --max-time 20 http://127.0.0.1:80/short)" hello
is "the other port" "$(curl -sf --max-time 10 http://127.0.0.1:81/short)" hello
systemctl restart millpond.service &
for _ in $(seq 20); do is "a client during a restart" "$(curl -sf --max-time 20 http://127.0.0.1:80/short)" hello; done
wait $!
pid=$(property MainPID)
millpond upgrade >/dev/null
eventually is_another_process "$pid"
is "after an upgrade" "$(curl -sf --max-time 10 http://127.0.0.1:80/short)" hello
systemctl stop millpond.service millpond.socket
# A socket that nobody wants is an error that says what to write.
sed -i 's/^ListenStream=.*/ListenStream=0.0.0.0:82/' /etc/systemd/verify/millpond.socket
systemctl daemon-reload
systemctl start millpond.socket
if systemctl start millpond.service 2>/dev/null; then echo "a socket that nobody wants was taken"; exit 1; fi
grep -q 'write `bind = "0.0.0.0:82"` in a' /service.log
systemctl stop millpond.socket
echo "socket activation: served before, during and after a restart"
trap - ERR
echo passed
