"""Make requirements/lock.txt anew from pyproject.toml: ``make lock``, or ``make lock UPGRADE=1`` for newer versions.

uv resolves all extras at once for every Python and platform that pyproject.toml allows, and keeps the versions that
the file has where they still fit. Two things are then decided here.

* torch stays at the version that the project is tested with.
* The GPU libraries that torch's PyPI build for Linux asks for are left out: that build pins them itself, and the CPU
  build must not bring them (several GB).
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lock.txt"
TORCH = "torch==2.13.0"
GPU = re.compile(r"(nvidia|cuda)-|triton==")

HEADER = """\
# Every package that `make` installs, at one version. Made by `make lock` (requirements/lock.py); not edited by hand.
# torch's GPU libraries are not here: its GPU build pins them itself, its CPU build has none.

"""


def main() -> int:
    """Resolve, filter, write."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--all-extras", "--universal", "--python-version", "3.11"]
    command += ["--constraint", "-", "--no-header", "--annotation-style", "line", "--quiet"]
    command += ["--output-file", str(LOCK), *sys.argv[1:]]
    done = subprocess.run(command, cwd=ROOT, input=TORCH, text=True, check=False)
    if done.returncode:
        return done.returncode
    lines = [line for line in LOCK.read_text().splitlines() if not GPU.match(line)]
    LOCK.write_text(HEADER + "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
