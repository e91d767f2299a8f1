"""The dependency arrow of ARCHITECTURE.md points one way."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_imports_point_downwards_only():
    linter = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert linter is not None

    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
