"""Where the programs are, and building them where they are not."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "benches" / "configs"
TOOLS = ["floor", "origin", "load", "idle", "stream"]


def binary(name):
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "release" / name


def peer(path):
    """Where `benches/peers/run.py --install` puts what is only there to be compared with."""
    return binary("").parent / "peers" / path


def ensure(names):
    """Builds the workspace if one of the programs is missing. What is there is taken as it is: after a
    change, build again."""
    missing = [name for name in names if not binary(name).exists()]
    if missing:
        print(f"building what is missing: {', '.join(missing)}", file=sys.stderr)
        subprocess.run(["cargo", "build", "--release", "--workspace"], cwd=ROOT, check=True)
