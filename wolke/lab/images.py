"""Guest images of this project's own, as ``images/build`` makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BUILDER = Path(__file__).resolve().parents[2] / "images" / "build"


def built(kind: str = "tiny") -> Path:
    """The file of a guest image, ``tiny`` or ``debian``; it is built once, then kept."""
    done = subprocess.run([sys.executable, str(BUILDER), kind], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.split()[-1])
