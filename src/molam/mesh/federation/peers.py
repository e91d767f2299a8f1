"""Who the other regions are: where they answer, and the key that each shares with us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from molam.platform.settings import Secret, SettingsRefused
from molam.sira.signing import KEY_LENGTH_MIN


@dataclass(frozen=True, slots=True)
class Peer:
    """Another region. Without an address it may speak to us, and we do not speak to it."""

    region_id: str
    key: Secret
    url: str = ""


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Peers:
    """All peers, by the ids of their regions; *allow_private* lets development reach itself."""

    known: Mapping[str, Peer] = field(default_factory=dict)
    allow_private: bool = False


def read_peers(setting: Secret, *, allow_private: bool = False) -> Peers:
    """
    Read MESH_PEERS: ``{"region_eu": {"key": "...", "url": "https://..."}}``.

    Raises:
        SettingsRefused: it is malformed; never repeats a key.
    """
    if not setting:
        return Peers(allow_private=allow_private)
    try:
        written = msgspec.json.decode(setting.reveal(), type=dict[str, _Written])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise SettingsRefused(
            'MESH_PEERS is not like {"region_eu": {"key": "...", "url": "https://..."}}'
        ) from None
    known: dict[str, Peer] = {}
    for region, each in written.items():
        if len(each.key) < KEY_LENGTH_MIN:
            raise SettingsRefused(
                f"MESH_PEERS: the key of {region[:64]!r} has fewer than {KEY_LENGTH_MIN} characters"
            )
        if each.url and not each.url.startswith(("https://", "http://")):
            raise SettingsRefused(f"MESH_PEERS: the url of {region[:64]!r} is no http address")
        if "@" in each.url.partition("://")[2].partition("/")[0]:
            # The address is shown to whoever looks at peers.
            raise SettingsRefused(f"MESH_PEERS: the url of {region[:64]!r} holds a password")
        known[region] = Peer(region, Secret(each.key), each.url.rstrip("/"))
    return Peers(known, allow_private)
