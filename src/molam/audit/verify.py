"""Checks an export of the audit record, and needs nothing of the system that wrote it."""

# This file is meant to be copied: it imports the standard library and `cryptography`,
# which verifies Ed25519, and nothing else. Every rule it checks is written out here a
# second time, so that a mistake in the product's own code does not hide itself.

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ORIGIN = "molam-connect/audit"
OK, FAILED, UNREADABLE = 0, 1, 2

_LINE_BYTES_MAX = 1024 * 1024
_PUBLIC_KEY_BYTES = 1 + 32
_SIGNED_LINES = 3
_HASH = re.compile(r"[0-9a-f]{64}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_FIELDS = ["body", "hash", "position", "prev"]
_BODY = {"v", "chain", "seq", "ts", "event", "action_id", "actor", "intent_hash", "data"}


class Unreadable(Exception):
    """What was given is not an export, a checkpoint or a key."""


class Failed(Exception):
    """It can be read, and it is not the record that was signed."""


@dataclass(frozen=True)
class Entry:
    position: int
    text: str
    body: dict[str, Any]
    prev: bytes
    hash: bytes

    @property
    def name(self) -> str:
        return f"seq={self.body['seq']} chain={self.body['chain']}"


@dataclass(frozen=True)
class Checkpoint:
    size: int
    root: bytes


@dataclass(frozen=True)
class Summary:
    entries: int
    chains: int
    checkpoint: Checkpoint

    def __str__(self) -> str:
        later = self.entries - self.checkpoint.size
        return (
            f"OK {self.entries} entries, {self.chains} chains, tree {self.checkpoint.size},"
            f" root {self.checkpoint.root.hex()}" + (f", {later} not signed yet" if later else "")
        )


@dataclass
class Tree:
    """The Merkle tree of RFC 9162, of which only the right edge is kept."""

    size: int = 0
    _edge: list[bytes] = field(default_factory=list)

    def add(self, entry_hash: bytes) -> None:
        made = leaf_of(entry_hash)
        size = self.size
        while size & 1:
            made = node_of(self._edge.pop(), made)
            size >>= 1
        self._edge.append(made)
        self.size += 1

    def root(self) -> bytes:
        if not self._edge:
            return hashlib.sha256(b"").digest()
        made = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            made = node_of(left, made)
        return made


def leaf_of(entry_hash: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry_hash).digest()


def hash_of(prev: bytes, body: str) -> bytes:
    return hashlib.sha256(b"molam.audit/1\x00" + prev + body.encode()).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


# --- Reading ---


def read_entries(file: Iterable[bytes]) -> Iterator[Entry]:
    """
    Read an export line by line, checking each entry's own hash.

    Raises:
        Unreadable, Failed: the message names the line.
    """
    for position, line in enumerate(file):
        where = f"line={position + 1}"
        said = _object(line, where)
        if sorted(said) != _FIELDS or not _is_written_as_ours(line, said):
            raise Unreadable(f"{where} is not written as an export is")
        body, prev, hash_ = said["body"], said["prev"], said["hash"]
        if not (isinstance(body, str) and _is_hash(prev) and _is_hash(hash_)):
            raise Unreadable(f"{where} is not written as an export is")
        if type(said["position"]) is not int or said["position"] != position:
            raise Failed(f"{where} position {said['position']!r}, expected {position}")
        before = bytes.fromhex(prev)
        made = hash_of(before, body)
        if made.hex() != hash_:
            raise Failed(f"{named(body)} {where} hash mismatch")
        yield Entry(position, body, _body(body, where), before, made)


def _object(line: bytes, where: str) -> dict[str, Any]:
    if not line.endswith(b"\n") or len(line) > _LINE_BYTES_MAX:
        raise Unreadable(f"{where} is cut off, or too long")
    try:
        return strictly(line.decode("utf-8"))
    except ValueError:
        raise Unreadable(f"{where} is not an object of JSON") from None


def strictly(text: str) -> dict[str, Any]:
    """Parse an object in which no key is given twice; raises ValueError."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError("a key is given twice")
        return made

    try:
        parsed = json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(parsed, dict):
        return parsed
    raise ValueError("not an object")


def _is_written_as_ours(line: bytes, said: Mapping[str, object]) -> bool:
    try:
        text = json.dumps(said, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
        return text.encode() == line
    except UnicodeEncodeError:
        return False


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _body(text: str, where: str) -> dict[str, Any]:
    try:
        body = strictly(text)
    except ValueError:
        raise Unreadable(f"{where} has a body that is not an object of JSON") from None
    known = body.keys() == _BODY and body["v"] == 1 and isinstance(body["chain"], str)
    if not known or type(body["seq"]) is not int:
        raise Unreadable(f"{where} has a body of another version")
    return body


def named(text: str) -> str:
    try:
        body = strictly(text)
    except ValueError:
        return "seq=? chain=?"
    return f"seq={body.get('seq', '?')} chain={body.get('chain', '?')}"


def read_keys(text: str) -> dict[bytes, Ed25519PublicKey]:
    """
    Read public keys, one ``name+hash+key`` a line; a rotated log has several.

    Raises:
        Unreadable: a line is none, or there is no line.
    """
    keys = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition("+")
        digits, _, encoded = rest.partition("+")
        public = _base64(encoded)
        made = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        if (
            name != ORIGIN
            or public[:1] != b"\x01"
            or len(public) != _PUBLIC_KEY_BYTES
            or made.hex() != digits
        ):
            raise Unreadable("this is no public key of the audit record")
        keys[made] = Ed25519PublicKey.from_public_bytes(public[1:])
    if not keys:
        raise Unreadable("there is no public key")
    return keys


def read_checkpoint(text: str, keys: Mapping[bytes, Ed25519PublicKey]) -> Checkpoint:
    """
    Read a checkpoint and check that one of *keys* signed it.

    Raises:
        Unreadable: it is none.
        Failed: none of the keys signed it.
    """
    signed, blank, signatures = text.rpartition("\n\n")
    lines = signed.split("\n")
    if not blank or len(lines) != _SIGNED_LINES or not _NUMBER.fullmatch(lines[1]):
        raise Unreadable("this is no checkpoint")
    if lines[0] != ORIGIN:
        raise Failed(f"the checkpoint is of {lines[0]!r}, not of {ORIGIN}")
    root = _base64(lines[2])
    if len(root) != hashlib.sha256().digest_size or not signatures.endswith("\n"):
        raise Unreadable("this is no checkpoint")
    for line in signatures[:-1].split("\n"):
        dash, name, encoded = [*line.split(" "), "", ""][:3]
        signature = _base64(encoded)
        if dash != "\N{EM DASH}":
            raise Unreadable("the checkpoint has a line that is no signature")
        key = keys.get(signature[:4])
        if key is None or name != ORIGIN:
            continue
        try:
            key.verify(signature[4:], f"{signed}\n".encode())
        except InvalidSignature:
            raise Failed("the signature of the checkpoint is wrong") from None
        return Checkpoint(int(lines[1]), root)
    raise Failed("none of the keys signed the checkpoint")


def _base64(text: str) -> bytes:
    try:
        made = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("there is something that is not base64") from None
    if base64.b64encode(made).decode() != text:
        raise Unreadable("there is base64 with stray bits")
    return made


# --- Checking ---


def verify(
    file: Iterable[bytes],
    checkpoint: Checkpoint,
    *others: Checkpoint,
    watch: Callable[[Entry], None] = lambda _entry: None,
) -> Summary:
    """
    Check every entry, every chain, and the tree against each checkpoint.

    *watch* is shown each entry once its place in its chain is checked.

    Raises:
        Unreadable, Failed: the message names the first entry that is wrong.
    """
    ends: dict[str, tuple[int, bytes]] = {}
    tree = Tree()
    roots = {0: tree.root()}
    asked = {each.size for each in (checkpoint, *others)}
    for entry in read_entries(file):
        seq, last = ends.get(entry.body["chain"], (-1, bytes(32)))
        if entry.body["seq"] != seq + 1:
            raise Failed(f"{entry.name} line={entry.position + 1} expected seq={seq + 1}")
        if entry.prev != last:
            raise Failed(f"{entry.name} line={entry.position + 1} does not follow seq={seq}")
        ends[entry.body["chain"]] = (entry.body["seq"], entry.hash)
        tree.add(entry.hash)
        watch(entry)
        if tree.size in asked:
            roots[tree.size] = tree.root()
    for each in (checkpoint, *others):
        if each.size not in roots:
            raise Failed(f"the export ends after {tree.size} entries, signed were {each.size}")
        if roots[each.size] != each.root:
            raise Failed(f"the tree of {each.size} entries has another root than was signed")
    return Summary(tree.size, len(ends), checkpoint)


def verify_consistent(file: Iterable[bytes], old: Checkpoint, new: Checkpoint) -> Summary:
    """
    Check that *new* only added to *old*: one export has both as trees over its beginning.

    Raises:
        Unreadable, Failed: it did more than that.
    """
    if old.size > new.size:
        raise Failed(f"the newer checkpoint has {new.size} entries, the older {old.size}")
    return verify(file, new, old)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify what the command line names: 0 is right, 1 is wrong, 2 cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--export", required=True, type=Path)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--pubkey", required=True, type=Path)
    given = parser.parse_args(arguments)
    code, said = judged(lambda: str(_verify_files(given.export, given.checkpoint, given.pubkey)))
    sys.stdout.write(said + "\n")
    return code


def judged(check: Callable[[], str]) -> tuple[int, str]:
    """Run *check*, and return the exit code and the line that it comes to."""
    try:
        return OK, check()
    except Failed as error:
        return FAILED, f"FAIL {error}"
    except Unreadable as error:
        return UNREADABLE, f"UNREADABLE {error}"
    except OSError as error:
        return UNREADABLE, f"UNREADABLE {error.filename}: {error.strerror}"


def _verify_files(export: Path, checkpoint: Path, pubkey: Path) -> Summary:
    signed = checkpoint_in(checkpoint, pubkey)
    with export.open("rb") as file:
        return verify(file, signed)


def checkpoint_in(checkpoint: Path, pubkey: Path) -> Checkpoint:
    """
    Read a checkpoint from a file, and verify it by the keys of another.

    Raises:
        Unreadable, Failed: see `read_keys` and `read_checkpoint`.
    """
    return read_checkpoint(text_in(checkpoint), read_keys(text_in(pubkey)))


def text_in(path: Path) -> str:
    """
    Read a file of text as it is.

    Raises:
        Unreadable: it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable(f"{path} is not text") from None


if __name__ == "__main__":
    sys.exit(main())
