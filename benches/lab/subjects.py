"""What is measured: each subject as it is started, with the configuration from benches/configs."""

import os
import shutil
import subprocess

from . import build, templates
from .processes import Process, free_port

NAMES = ["floor", "millpond", "nginx", "haproxy"]
# Those that can carry TCP; haproxy-splice is HAProxy that may move bytes with splice(2).
TCP_NAMES = ["floor", "millpond", "nginx-stream", "haproxy", "haproxy-splice"]
# Those that benches/peers measures beside them; envoy carries TCP as well.
PEERS = ["envoy", "pingora", "caddy"]
# Where distributions install servers, which is not always in a user's PATH.
_SYSTEM_DIRECTORIES = ["/usr/local/sbin", "/usr/sbin", "/sbin"]
# Of those that benches/peers/run.py --install installs, below the directory for them.
_INSTALLED = {
    "envoy": "venv/lib/python3*/site-packages/envoy/_bin/envoy",
    "caddy": "venv/bin/caddy",
    "pingora": "cargo/release/millpond-bench-pingora",
}


class Subject(Process):
    """A proxy in front of an origin's port. `more` is the end of millpond's configuration, `runtime`
    that of its first table; `under` is the
    command that runs it, if any. `endpoints` are the addresses that it balances over, each with the origin's
    port; it listens on as many ports as `listeners` says, of which `port` is the first. One that is
    `reloadable` can be told to read its configuration again, where that takes an option. Without `wait` it
    may not listen yet."""

    def __init__(
        self,
        name,
        directory,
        origin,
        cpu=None,
        protocol="http",
        workers=1,
        census="2s",
        runtime="",
        more="",
        under=(),
        endpoints=("127.0.0.1",),
        listeners=1,
        reloadable=False,
        wait=True,
    ):
        self.ports = [free_port() for _ in range(listeners)]
        self.port = self.ports[0]
        self.admin = free_port()
        self._directory = directory
        self._template = _template(name, protocol)
        self._words = {
            "ADMIN": self.admin,
            "DIRECTORY": directory,
            "PROTOCOL": protocol,
            "WORKERS": workers,
            "CENSUS": census,
            "RUNTIME": runtime,
            "MORE": more,
            "SPLICE": "option splice-auto" if name == "haproxy-splice" else "",
            "LOAD_MODULE": _nginx_stream(executable(name)) if name == "nginx-stream" else "",
        }
        path = self.write(origin, endpoints, self.ports)
        # The directory belongs to this user alone, and a worker may be another one.
        os.chmod(directory, 0o711)
        command = [*under, *self._command(name, path, origin, workers, reloadable)]
        super().__init__(name, command, directory, cpu, self.port if wait else None)

    def write(self, origin, endpoints, ports):
        """Writes its configuration, for these ports and endpoints; the path of the file, `None` for those
        that have none."""
        if self._template is None:
            return None
        text = (build.CONFIGS / self._template).read_text(encoding="utf-8")
        lists = {
            "LISTENER": [{"PORT": port} for port in ports],
            "ENDPOINT": [{"ADDRESS": address, "ORIGIN": origin} for address in endpoints],
        }
        path = f"{self._directory}/{self._template}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(templates.fill(text, self._words, lists))
        return path

    def _command(self, name, path, origin, workers, reloadable):
        program = executable(name)
        listening = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        match name:
            case "floor":
                return [program, "--listen", listening, "--upstream", f"127.0.0.1:{origin}"]
            case "millpond":
                return [program, "run", "-c", path]
            case "nginx" | "nginx-stream":
                return [program, "-p", self._directory, "-e", "stderr", "-c", path]
            case "envoy":
                quiet = ["--log-level", "error", "--disable-hot-restart"]
                return [program, "--concurrency", workers, *quiet, "--config-path", path]
            case "caddy":
                run = [program, "run", "--config", path, "--adapter", "caddyfile"]
                return ["env", f"GOMAXPROCS={workers}", f"HOME={self._directory}", *run]
            case "pingora":
                return [program, listening, workers, path]
        return [program, *(["-W"] if reloadable else []), "-db", "-q", "-f", path]


def executable(name):
    """The path of a subject's program; `None` if it is not installed."""
    if name in ("floor", "millpond"):
        return str(build.binary(name))
    if name in _INSTALLED:
        found = sorted(build.peer("").glob(_INSTALLED[name]))
        if found or name == "pingora":
            return str(found[0]) if found else None
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_DIRECTORIES])
    program = shutil.which(name.removesuffix("-stream").removesuffix("-splice"), path=path)
    if name == "nginx-stream" and program and _nginx_stream(program) is None:
        return None
    return program


def version(name):
    """What a subject's program says of itself, in a few words."""
    if name == "floor":
        return ""
    if name == "pingora":
        return _pingora_version()
    flag = {"millpond": "--version", "envoy": "--version", "caddy": "version"}.get(name, "-v")
    try:
        run = subprocess.run(
            [executable(name), flag], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({error})"
    text = run.stdout + run.stderr
    if name == "envoy":
        # version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
        return next((word for word in text.split("/") if word[:1].isdigit() and "." in word), "unknown")
    first_line = text.strip().splitlines() or [""]
    words = first_line[0].replace("nginx/", "").split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "unknown")


def _template(name, protocol):
    """The file in benches/configs that a subject's configuration is made of."""
    match name:
        case "floor":
            return None
        case "pingora":
            return "pingora.txt"
        case "millpond":
            return "millpond.toml"
        case "caddy":
            return "Caddyfile"
        case "envoy":
            return "envoy-tcp.yaml" if protocol == "tcp" else "envoy.yaml"
        case "nginx" | "nginx-stream":
            return f"{name}.conf"
    return "haproxy-tcp.cfg" if protocol == "tcp" else "haproxy.cfg"


def _pingora_version():
    """That in its Cargo.lock; the program is ours and does not say."""
    lock = (build.ROOT / "benches/peers/pingora/Cargo.lock").read_text(encoding="utf-8")
    _, _, rest = lock.partition('name = "pingora"\nversion = "')
    return rest.partition('"')[0] or "unknown"


def _nginx_stream(program):
    """The line that gives nginx its stream module: empty where it is built in, `None` where it is not
    installed."""
    run = subprocess.run([program, "-V"], capture_output=True, text=True, timeout=10, check=False)
    options = (run.stdout + run.stderr).split()
    if "--with-stream" in options:
        return ""
    for option in options:
        if option.startswith("--modules-path="):
            module = f"{option.partition('=')[2]}/ngx_stream_module.so"
            return f"load_module {module};" if os.path.exists(module) else None
    return None
