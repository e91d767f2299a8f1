"""Which ways out this installation has, read from its settings."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from molam.notices.model import FOR_MERCHANTS, Kind
from molam.platform.settings import Secret, Settings

_SMTP_PORTS = {"smtp": 587, "smtps": 465}
_UNSET = Secret("")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Smtp:
    """A relay that takes our mail; the operator chose it, so it may be a private address."""

    host: str
    port: int
    username: str
    password: Secret
    use_tls: bool
    must_encrypt: bool
    """A password crosses no network in clear, whatever a server, or someone between, offers."""
    timeout_s: float = 20.0

    @classmethod
    def of(cls, url: Secret) -> Smtp:
        parts = urlsplit(url.reveal())
        host = parts.hostname or ""
        return cls(
            host=host,
            port=parts.port or _SMTP_PORTS[parts.scheme],
            username=unquote(parts.username or ""),
            password=Secret(unquote(parts.password or "")),
            use_tls=parts.scheme == "smtps",
            must_encrypt=bool(parts.username) and host not in _LOOPBACK,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """What is set up. An empty URL means that the channel is not."""

    public_url: str
    """The operations console as browsers see it; links in notices begin with it."""
    merchant_url: str = ""
    """The merchant app, which notices to merchants' people lead to."""
    smtp: Smtp | None = None
    sender: str = ""
    webhook_url: str = ""
    webhook_secret: Secret = _UNSET
    slack_url: Secret = _UNSET

    @classmethod
    def of(cls, settings: Settings, *, public_url: str) -> Channels:
        return cls(
            public_url=public_url,
            merchant_url=settings.merchant_url,
            smtp=Smtp.of(settings.smtp_url) if settings.smtp_url else None,
            sender=settings.molam_notice_from,
            webhook_url=settings.molam_notice_webhook_url,
            webhook_secret=settings.molam_notice_webhook_secret,
            slack_url=settings.molam_slack_webhook_url,
        )

    def app_for(self, kind: Kind, *, for_merchants: bool = False) -> str:
        """Say where the pages are that notices of *kind* lead to."""
        is_theirs = for_merchants or kind in FOR_MERCHANTS
        return self.merchant_url if is_theirs else self.public_url

    @property
    def enabled(self) -> tuple[str, ...]:
        given = {"email": self.smtp, "webhook": self.webhook_url, "slack": self.slack_url}
        return tuple(channel for channel, value in given.items() if value)
