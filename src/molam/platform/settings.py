"""Everything a deployment may vary, read once and passed down as values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit


class SettingsRefused(Exception):
    """The environment cannot be right; the message is one line that says why."""


class Secret:
    """A value that never shows itself in a log, an error or a debugger."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "•••"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


_UNSET = Secret("")


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The names are the environment's, in lower case; those without MOLAM_ are the specification's.

    Every setting also comes from a file named by the same variable with _FILE.
    """

    molam_env: str = "development"
    """``production`` refuses the development issuer and default secrets."""
    molam_home: Path = Path(".molam")
    """Where the embedded database, keys and files live."""
    molam_port_offset: int = 0
    """Added to every port, so that several copies run side by side."""
    molam_bind: str = "127.0.0.1"
    """The address servers listen on."""
    molam_public_url: str = ""
    """The merchant app's address as browsers see it; empty: http://localhost:3001."""

    molam_ops_public_url: str = ""
    """The ops console's address as browsers see it; empty: http://localhost:3136."""

    database_url: Secret = _UNSET
    """Empty: the embedded PostgreSQL under MOLAM_HOME."""
    molam_refresh_database_url: Secret = _UNSET
    """Log-in as molam_refresh; empty: DATABASE_URL, and refreshes hold back events."""
    molam_db_connections_max: int = 10
    """Connections of each process."""

    redis_url: Secret = _UNSET
    """Accepted for the specification's sake; nothing needs it yet."""

    kafka_brokers: str = ""
    """Empty: events go through the events table alone."""
    kafka_client_id: str = "merchant-dashboard"
    kafka_group_id: str = ""
    """Overrides the consumer group; only with ``molam worker --only``."""
    kafka_ssl: bool = False
    kafka_sasl_username: str = ""
    kafka_sasl_password: Secret = _UNSET

    jwt_public_key_url: str = ""
    """The issuer's JWKS; empty: the development issuer's."""
    jwt_issuer: str = ""
    jwt_audience: str = "molam-connect"
    molam_oidc_client_id: str = "molam-merchant"
    molam_ops_client_id: str = "molam-ops"
    molam_secret_key: Secret = _UNSET
    """Signs cursors and links, the same in every process; empty: made under MOLAM_HOME."""
    molam_audit_key: Secret = _UNSET
    """Ed25519, PEM or its seed in base64: signs the audit record; empty: made under MOLAM_HOME."""

    risk_aware_approvals_url: str = ""
    """Who approves merchants' larger refunds; empty: the engine in this process."""
    approvals_service_token: Secret = _UNSET
    """Our bearer token there, of a service."""
    approval_token_secret: Secret = _UNSET
    """Keys the links by which an approval is decided; empty: derived from MOLAM_SECRET_KEY."""
    token_secret: Secret = _UNSET
    """Another name of APPROVAL_TOKEN_SECRET."""
    token_ttl_seconds: int = 600

    sira_api_url: str = ""
    sira_url: str = ""
    """Whom risk-aware approvals ask for a score; empty: the scorer in this process."""
    sira_api_key: Secret = _UNSET
    """X-API-Key of SIRA; empty: made of SIRA_SIGNING_KEY."""
    sira_signing_key: Secret = _UNSET
    """SIRA signs with it and others verify; empty: derived from MOLAM_SECRET_KEY."""
    sira_timeout_ms: int = 5000
    sira_model_version: str = "fallback-heuristic-v1"
    """The model asked for, in X-Model-Version."""
    sira_fallback_enabled: bool = True
    """False: without SIRA_URL there is no score, and the strictest band applies."""

    mesh_region: str = "CEDEAO"
    """The region whose routes this installation's controller decides: its name or id."""
    enable_controller: bool = True
    """False: the mesh API answers, and nothing is decided or moved by itself."""
    default_policy_mode: str = "approval_required"
    """auto or approval_required: where a region has no policy of its own."""
    default_auto_confidence_threshold: str = "0.85"
    molam_mesh_public_url: str = ""
    """The control room's address as browsers see it; empty: http://localhost:3138."""
    molam_mesh_client_id: str = "molam-mesh"
    mesh_peers: Secret = _UNSET
    """Other regions as JSON: {"region_eu": {"key": "...", "url": "https://..."}}; unset: none."""

    smtp_url: Secret = _UNSET
    """smtp:// or smtps://user:password@host:port; empty: no mail, and the inbox is all there is."""
    molam_notice_from: str = ""
    """The address that mail comes from."""
    molam_notice_webhook_url: str = ""
    """Gets every notice as signed JSON; empty: nobody does."""
    molam_notice_webhook_secret: Secret = _UNSET
    molam_slack_webhook_url: Secret = _UNSET
    """A Slack-compatible incoming webhook; who knows it may write there, hence a secret."""

    s3_bucket: str = ""
    """Empty: files go under MOLAM_HOME."""
    s3_region: str = "eu-west-1"
    aws_access_key_id: str = ""
    aws_secret_access_key: Secret = _UNSET
    aws_endpoint_url: str = ""

    fx_provider: str = "none"
    """Who is asked for exchange rates: none, ecb, fixer, openexchangerates or csv."""
    fx_api_key: Secret = _UNSET
    """Fixer's access key, or the app id of Open Exchange Rates."""
    fx_url: str = ""
    """Another address of that provider; with csv, where the file is."""

    bank_secrets: Secret = _UNSET
    """JSON: what we show each bank and what it signs with; unset in development: derived."""

    refund_approval_threshold: int = 100_000
    """Minor units of the merchant's currency from which a refund needs approval."""

    molam_metrics_allow: str = "127.0.0.1,::1"
    """Comma-separated addresses that may read /metrics."""
    log_level: str = "info"

    @property
    def is_production(self) -> bool:
        return self.molam_env == "production"

    def port(self, specified: int) -> int:
        """Shift one of the specification's ports by MOLAM_PORT_OFFSET."""
        return specified + self.molam_port_offset

    @property
    def merchant_url(self) -> str:
        return self.molam_public_url or f"http://localhost:{self.port(3001)}"

    @property
    def ops_url(self) -> str:
        return self.molam_ops_public_url or f"http://localhost:{self.port(3136)}"

    @property
    def mesh_url(self) -> str:
        return self.molam_mesh_public_url or f"http://localhost:{self.port(3138)}"

    @property
    def issuer(self) -> str:
        return self.jwt_issuer or f"http://localhost:{self.port(3100)}"

    @property
    def jwks_url(self) -> str:
        return self.jwt_public_key_url or f"{self.issuer}/.well-known/jwks.json"

    @property
    def metrics_allowed(self) -> frozenset[str]:
        return frozenset(each.strip() for each in self.molam_metrics_allow.split(","))

    @property
    def database_dsn(self) -> str:
        assert self.database_url, "the embedded database fills this in before anybody asks"
        return self.database_url.reveal()


# Variables that belong to the tooling around the product, not to Settings.
_NOT_SETTINGS = frozenset({"MOLAM_REQUIRE_BROWSER", "MOLAM_TEST_DATABASE_URL"})

SECRET_LENGTH_MIN = 16
SIGNING_KEY_LENGTH_MIN = 32

_LOG_LEVELS = ("debug", "info", "warning", "error")


def load(environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """
    Read the settings from *environ*, and from a ``.env`` file below it.

    Raises:
        SettingsRefused: an unknown MOLAM_ name, a malformed value, or a
            combination that cannot work.
    """
    given = {**_read_dotenv(dotenv), **environ} if dotenv else dict(environ)
    known = {field.name.upper(): field for field in fields(Settings)}
    _refuse_unknown(given, known.keys())

    values: dict[str, object] = {}
    for name, field in known.items():
        text = _from_file(given, name) if f"{name}_FILE" in given else given.get(name)
        if text is not None and text != "":
            values[field.name] = _PARSERS[str(field.type)](name, text)
    settings = Settings(**values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def _refuse_unknown(given: Mapping[str, str], known: object) -> None:
    assert isinstance(known, type({}.keys()))
    for name in given:
        bare = name.removesuffix("_FILE")
        if name.startswith("MOLAM_") and bare not in known and name not in _NOT_SETTINGS:
            near = difflib.get_close_matches(bare, list(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise SettingsRefused(f"{name} is not a setting{hint}")


def _check(settings: Settings) -> None:
    if settings.molam_env not in {"development", "production"}:
        raise SettingsRefused("MOLAM_ENV is development or production")
    if not -3000 <= settings.molam_port_offset <= 50_000:  # noqa: PLR2004 - keeps ports in 1..65535.
        raise SettingsRefused("MOLAM_PORT_OFFSET must leave every port between 1 and 65535")
    if not 1 <= settings.molam_db_connections_max <= 200:  # noqa: PLR2004
        raise SettingsRefused("MOLAM_DB_CONNECTIONS_MAX is between 1 and 200")
    if settings.log_level not in _LOG_LEVELS:
        raise SettingsRefused(f"LOG_LEVEL is one of {', '.join(_LOG_LEVELS)}")
    if settings.molam_secret_key and len(settings.molam_secret_key.reveal()) < SECRET_LENGTH_MIN:
        raise SettingsRefused(f"MOLAM_SECRET_KEY needs at least {SECRET_LENGTH_MIN} characters")
    _check_approvals(settings)
    for name in ("database_url", "molam_refresh_database_url"):
        _check_url(name.upper(), getattr(settings, name).reveal())
    if settings.refund_approval_threshold < 0:
        raise SettingsRefused("REFUND_APPROVAL_THRESHOLD cannot be negative")
    _check_notices(settings)
    _check_rates(settings)
    _check_mesh(settings)
    if settings.is_production:
        _check_production(settings)


def _check_approvals(settings: Settings) -> None:
    for name in ("sira_signing_key", "approval_token_secret", "token_secret"):
        given = getattr(settings, name)
        if given and len(given.reveal()) < SIGNING_KEY_LENGTH_MIN:
            raise SettingsRefused(
                f"{name.upper()} needs at least {SIGNING_KEY_LENGTH_MIN} characters"
            )
    url = settings.risk_aware_approvals_url
    if url and not url.startswith(("https://", "http://")):
        raise SettingsRefused("RISK_AWARE_APPROVALS_URL begins with http:// or https://")
    if url and not settings.approvals_service_token:
        raise SettingsRefused("RISK_AWARE_APPROVALS_URL needs APPROVALS_SERVICE_TOKEN")
    if not 1 <= settings.token_ttl_seconds <= 86_400:  # noqa: PLR2004 - links live a day at most.
        raise SettingsRefused("TOKEN_TTL_SECONDS is between 1 and 86400")
    if not 1 <= settings.sira_timeout_ms <= 60_000:  # noqa: PLR2004 - a minute at most.
        raise SettingsRefused("SIRA_TIMEOUT_MS is between 1 and 60000")


def _check_notices(settings: Settings) -> None:
    """Refuse a channel that cannot work, without repeating its address: it may be a secret."""
    schemes = {
        "smtp_url": {"smtp", "smtps"},
        "molam_notice_webhook_url": {"http", "https"},
        "molam_slack_webhook_url": {"http", "https"},
    }
    for name, accepted in schemes.items():
        value = getattr(settings, name)
        url = value.reveal() if isinstance(value, Secret) else value
        try:
            parts = urlsplit(url)
            is_one = parts.scheme in accepted and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_one = False
        if url and not is_one:
            raise SettingsRefused(f"{name.upper()} begins with {' or '.join(sorted(accepted))}://")
    if settings.smtp_url and "@" not in settings.molam_notice_from:
        raise SettingsRefused("SMTP_URL needs MOLAM_NOTICE_FROM, the address that mail comes from")
    secret = settings.molam_notice_webhook_secret.reveal()
    if settings.molam_notice_webhook_url and len(secret) < SECRET_LENGTH_MIN:
        raise SettingsRefused(
            "MOLAM_NOTICE_WEBHOOK_URL needs MOLAM_NOTICE_WEBHOOK_SECRET of at least "
            f"{SECRET_LENGTH_MIN} characters"
        )


def _check_rates(settings: Settings) -> None:
    providers = ("none", "ecb", "fixer", "openexchangerates", "csv")
    if settings.fx_provider not in providers:
        raise SettingsRefused(f"FX_PROVIDER is one of {', '.join(providers)}")
    if settings.fx_provider in {"fixer", "openexchangerates"} and not settings.fx_api_key:
        raise SettingsRefused(f"FX_PROVIDER={settings.fx_provider} needs FX_API_KEY")
    if settings.fx_provider == "csv" and not settings.fx_url:
        raise SettingsRefused("FX_PROVIDER=csv needs FX_URL, where the file is")
    if settings.fx_url and not settings.fx_url.startswith(("https://", "http://")):
        raise SettingsRefused("FX_URL begins with http:// or https://")


def _check_mesh(settings: Settings) -> None:
    if settings.default_policy_mode not in {"auto", "approval_required"}:
        raise SettingsRefused("DEFAULT_POLICY_MODE is auto or approval_required")
    threshold = settings.default_auto_confidence_threshold
    if not re.fullmatch(r"0\.[5-9][0-9]{0,3}|1(\.0{1,4})?", threshold):
        raise SettingsRefused("DEFAULT_AUTO_CONFIDENCE_THRESHOLD is between 0.5 and 1")


def _check_url(name: str, url: str) -> None:
    """Refuse what is no address of a PostgreSQL, without repeating it: it holds a password."""
    if not url:
        return
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in {"postgresql", "postgres"}
        # Several hosts are allowed, each with a port of its own.
        is_one = is_one and ("," in parts.netloc or parts.port != 0)
    except ValueError:
        is_one = False
    if not is_one:
        raise SettingsRefused(f"{name} is not like postgresql://user:password@host:5432/database")


def _check_production(settings: Settings) -> None:
    for name in ("database_url", "jwt_public_key_url", "jwt_issuer", "molam_secret_key"):
        if not getattr(settings, name):
            raise SettingsRefused(f"{name.upper()} is required when MOLAM_ENV=production")
    if settings.jwt_issuer.startswith(("http://localhost", "http://127.")):
        raise SettingsRefused("JWT_ISSUER is the development issuer; production needs its own")


def _from_file(given: Mapping[str, str], name: str) -> str:
    path = Path(given[f"{name}_FILE"])
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsRefused(f"{name}_FILE: {path}: {error.strerror}") from None


def _read_dotenv(path: Path | None) -> dict[str, str]:
    if path is None or not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.removeprefix("export ").partition("=")
        if not equals:
            raise SettingsRefused(f"{path}:{number} is not NAME=value")
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsRefused(f"{name} must be a whole number, not {text[:32]!r}") from None


def _boolean(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise SettingsRefused(f"{name} is true or false, not {text[:32]!r}")
    return text.lower() == "true"


_PARSERS: dict[str, Callable[[str, str], object]] = {
    "str": lambda _, text: text,
    "int": _integer,
    "bool": _boolean,
    "Path": lambda _, text: Path(text),
    "Secret": lambda _, text: Secret(text),
}
