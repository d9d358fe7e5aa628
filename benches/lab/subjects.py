"""What is measured: each subject as it is started, with the configuration from benches/configs."""

import os
import shutil
import subprocess

from . import build
from .processes import Process, free_port

NAMES = ["floor", "millpond", "nginx", "haproxy"]
# Those that can carry TCP; haproxy-splice is HAProxy that may move bytes with splice(2).
TCP_NAMES = ["floor", "millpond", "nginx-stream", "haproxy", "haproxy-splice"]
# Where distributions install servers, which is not always in a user's PATH.
_SYSTEM_DIRECTORIES = ["/usr/local/sbin", "/usr/sbin", "/sbin"]


class Subject(Process):
    """A proxy in front of an origin's port. `more` is the end of millpond's configuration; `under` is the
    command that runs it, if any."""

    def __init__(
        self,
        name,
        directory,
        origin,
        cpu=None,
        protocol="http",
        workers=1,
        census="2s",
        more="",
        under=(),
    ):
        self.port = free_port()
        self.admin = free_port()
        words = {
            "PORT": self.port,
            "ADMIN": self.admin,
            "ORIGIN": origin,
            "DIRECTORY": directory,
            "PROTOCOL": protocol,
            "WORKERS": workers,
            "CENSUS": census,
            "MORE": more,
            "SPLICE": "option splice-auto" if name == "haproxy-splice" else "",
        }
        program = [*under, *_command(name, directory, protocol, words)]
        super().__init__(name, program, directory, cpu, self.port)


def executable(name):
    """The path of a subject's program; `None` if it is not installed."""
    if name in ("floor", "millpond"):
        return str(build.binary(name))
    path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM_DIRECTORIES])
    program = shutil.which(name.removesuffix("-stream").removesuffix("-splice"), path=path)
    if name == "nginx-stream" and program and _nginx_stream(program) is None:
        return None
    return program


def version(name):
    """What a subject's program says of itself, in a few words."""
    if name == "floor":
        return ""
    flag = "--version" if name == "millpond" else "-v"
    try:
        run = subprocess.run(
            [executable(name), flag], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown ({error})"
    first_line = (run.stdout + run.stderr).strip().splitlines() or [""]
    words = first_line[0].replace("nginx/", "").split()
    return next((word for word in words if word[:1].isdigit()), "unknown")


def _command(name, directory, protocol, words):
    program = executable(name)
    if name == "floor":
        return [
            program,
            "--listen",
            f"127.0.0.1:{words['PORT']}",
            "--upstream",
            f"127.0.0.1:{words['ORIGIN']}",
        ]
    if name == "millpond":
        return [program, "run", "-c", _configuration("millpond.toml", directory, words)]
    if name in ("nginx", "nginx-stream"):
        # The directory belongs to this user alone, and the worker may be another one.
        os.chmod(directory, 0o711)
        words["LOAD_MODULE"] = _nginx_stream(program)
        return [
            program,
            "-p",
            directory,
            "-e",
            "stderr",
            "-c",
            _configuration(f"{name}.conf", directory, words),
        ]
    template = "haproxy-tcp.cfg" if protocol == "tcp" else "haproxy.cfg"
    return [program, "-db", "-q", "-f", _configuration(template, directory, words)]


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


def _configuration(template, directory, words):
    text = (build.CONFIGS / template).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    path = f"{directory}/{template}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
