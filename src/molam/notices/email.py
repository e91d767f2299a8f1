"""One notice as a mail, in text and HTML, handed to a relay by SMTP."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime
from urllib.parse import urlsplit

import aiosmtplib

from molam.kernel.refusals import Outage
from molam.kernel.shown import plain
from molam.notices.channels import Channels, Smtp
from molam.notices.messages import Message, label, lines, named, say
from molam.notices.model import Kind, Undeliverable
from molam.notices.store import DeliveryRow
from molam.platform.db import assert_no_transaction
from molam.platform.web.l10n import Language
from molam.platform.web.languages import known
from molam.platform.web.templating import Templates

PREFERENCES_PATH = "/ops/inbox"

_PERMANENT = 500
_TEMPLATES = Templates("molam.notices")


async def send(row: DeliveryRow, channels: Channels) -> None:
    """
    Hand the mail to the relay. Sent twice, it has the same Message-ID.

    Raises:
        Undeliverable: there is no such reader, or the relay will never take it.
        Outage: the relay did not answer, or said to come back later.
    """
    assert channels.smtp is not None
    if row.email is None:
        raise Undeliverable("The person is no longer active.")
    await _submit(compose(row, channels, to=row.email), channels.smtp)


def compose(row: DeliveryRow, channels: Channels, *, to: str) -> EmailMessage:
    """
    Write the mail. Its only links lead to pages, and looking at a page decides nothing.

    Raises:
        Undeliverable: *to* is no address.
    """
    language: Language = "en" if known(row.locale) == "en" else "fr"
    message = say(Kind(row.kind), row.facts, language)
    url = channels.app_for(Kind(row.kind), for_merchants=row.for_merchants) + row.link
    preferences_url = channels.public_url + PREFERENCES_PATH
    mail = EmailMessage(policy=WIRE)
    try:
        mail["From"] = Address("Molam Connect", addr_spec=channels.sender)
        mail["To"] = Address(plain(row.name or "", 100), addr_spec=to)
    except (ValueError, IndexError, MessageError):
        raise Undeliverable("The address is not one that mail can be sent to.") from None
    mail["Subject"] = message.headline
    mail["Date"] = format_datetime(row.created_at)
    mail["Message-ID"] = f"<{row.id}@{urlsplit(channels.public_url).hostname or 'molam'}>"
    mail["Idempotency-Key"] = str(row.id)
    # So that no holiday notice answers, and no list takes it for a person's.
    mail["Auto-Submitted"] = "auto-generated"
    if row.urgent:
        mail["Importance"] = "high"
    mail.set_content(_text(message, language, url=url, preferences_url=preferences_url))
    words = {name: label(name, language) for name in ("open", "why", "preferences")}
    html = _TEMPLATES.render(
        language,
        "notice.html",
        message=message,
        words=words,
        url=url,
        preferences_url=preferences_url,
    )
    mail.add_alternative(html, subtype="html")
    return mail


def _text(message: Message, language: Language, *, url: str, preferences_url: str) -> str:
    blocks = [
        message.headline,
        message.advice,
        "\n".join(lines(message, language)),
        f"> {message.quote}" if message.quote else "",
        named(label("open", language), url, language),
        f"-- \n{label('why', language)}\n"
        + named(label("preferences", language), preferences_url, language),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


async def _submit(mail: EmailMessage, smtp: Smtp) -> None:
    assert_no_transaction("a mail")
    try:
        await aiosmtplib.send(
            mail,
            hostname=smtp.host,
            port=smtp.port,
            username=smtp.username or None,
            password=smtp.password.reveal() or None,
            use_tls=smtp.use_tls,
            start_tls=False if smtp.use_tls else (True if smtp.must_encrypt else None),
            timeout=smtp.timeout_s,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        codes = [each.code for each in error.recipients]
        _give_up_or_wait(min(codes, default=0), error)
    except aiosmtplib.SMTPAuthenticationError as error:
        # Our own password is wrong: for people to mend, and then all of it goes out.
        raise Outage("mail relay") from error
    except aiosmtplib.SMTPResponseException as error:
        _give_up_or_wait(error.code, error)
    except (OSError, aiosmtplib.SMTPException) as error:
        raise Outage("mail relay") from error


def _give_up_or_wait(code: int, error: Exception) -> None:
    if code >= _PERMANENT:
        raise Undeliverable(f"The mail relay refused it with {code}.") from error
    raise Outage("mail relay") from error
