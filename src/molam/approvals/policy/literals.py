"""The values a criterion compares with, read for the kind of their path and written back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from molam.approvals.policy import durations
from molam.approvals.policy.durations import Duration, DurationMalformed
from molam.approvals.policy.fields import RISKS, CriteriaMalformed, Field, Kind
from molam.approvals.policy.predicates import Literal, Money
from molam.kernel.currency import CURRENCIES
from molam.kernel.money import MINOR_MAX

TEXT_LENGTH_MAX = 255
_DIGITS_MAX = 32


def read_literal(value: object, field: Field, where: str) -> Literal:
    """
    Read what stands in a policy, for a path of *field*'s kind.

    Raises:
        CriteriaMalformed: not of that kind, or never the value of that path.
    """
    reader = _READERS.get(field.kind)
    if reader is None:
        raise CriteriaMalformed(f"{where}: only $exists can be asked of it.")
    read = reader(value, where)
    if field.choices is not None and read not in field.choices:
        choices = ", ".join(sorted(field.choices))
        raise CriteriaMalformed(f"{where}: it is one of {choices}.")
    return read


def read_duration(value: object, where: str) -> Duration:
    """Read how long text is compared with when it is put in order, such as ``24h``."""
    if not isinstance(value, str):
        raise CriteriaMalformed(f"{where}: texts have no order; durations such as 24h have.")
    try:
        return durations.read_duration(value)
    except DurationMalformed as error:
        raise CriteriaMalformed(f"{where}: {error.detail}") from None


def literal_json(literal: Literal) -> object:
    """Write *literal* as `read_literal` reads it; no number has a point."""
    match literal:
        case Decimal():
            written: object = "0" if literal == 0 else f"{literal.normalize():f}"
        case Money(minor=minor, currency=currency):
            written = minor if currency is None else {"currency": currency, "minor": minor}
        case Duration():
            written = durations.written(literal)
        case datetime():
            written = literal.isoformat().replace("+00:00", "Z")
        case date():
            written = literal.isoformat()
        case _:
            written = literal
    return written


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_LENGTH_MAX:
        raise CriteriaMalformed(f"{where}: write text of 1 to {TEXT_LENGTH_MAX} characters.")
    return value


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MINOR_MAX:
        raise CriteriaMalformed(f"{where}: write a whole number.")
    return value


def _decimal(value: object, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise CriteriaMalformed(f"{where}: write a decimal number.")
    try:
        read = Decimal(value)
    except InvalidOperation:
        raise CriteriaMalformed(f"{where}: write a decimal number.") from None
    if not read.is_finite() or max(abs(read.adjusted()), len(read.as_tuple().digits)) > _DIGITS_MAX:
        raise CriteriaMalformed(f"{where}: write a decimal number of at most {_DIGITS_MAX} digits.")
    return Decimal(0) if read == 0 else read.normalize()


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise CriteriaMalformed(f"{where}: write true or false.")
    return value


def _money(value: object, where: str) -> Money:
    if isinstance(value, Mapping):
        if value.keys() != {"currency", "minor"} or value["currency"] not in CURRENCIES:
            raise CriteriaMalformed(f"{where}: write a currency we keep and a number minor.")
        return Money(_integer(value["minor"], f"{where}.minor"), str(value["currency"]))
    if isinstance(value, Decimal):
        raise CriteriaMalformed(f"{where}: amounts are whole minor units, without a point.")
    return Money(_integer(value, where))


def _risk(value: object, where: str) -> str:
    if value not in RISKS:
        raise CriteriaMalformed(f"{where}: write one of {', '.join(RISKS)}.")
    return str(value)


def _instant(value: object, where: str) -> datetime:
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise CriteriaMalformed(f"{where}: write an instant with its offset, 2026-01-05T08:00:00Z.")
    return read.astimezone(UTC)


def _day(value: object, where: str) -> date:
    try:
        read = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        read = None
    if read is None:
        raise CriteriaMalformed(f"{where}: write a day, 2026-01-05.")
    return read


_READERS: Mapping[Kind, Callable[[object, str], Literal]] = {
    Kind.TEXT: _text,
    Kind.INTEGER: _integer,
    Kind.DECIMAL: _decimal,
    Kind.FLAG: _flag,
    Kind.MONEY: _money,
    Kind.RISK: _risk,
    Kind.INSTANT: _instant,
    Kind.DAY: _day,
}
