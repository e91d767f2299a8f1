"""Channels for notices: what is set up works, or the start says why it cannot."""

from __future__ import annotations

import pytest

from molam.notices.channels import Channels
from molam.platform.settings import SettingsRefused, load

MAIL = {"SMTP_URL": "smtp://u:s3cret@mail.internal", "MOLAM_NOTICE_FROM": "a@b.example"}
HOOK = {
    "MOLAM_NOTICE_WEBHOOK_URL": "https://hooks.example/x",
    "MOLAM_NOTICE_WEBHOOK_SECRET": "0123456789abcdef",
}
CHAT = {"MOLAM_SLACK_WEBHOOK_URL": "https://hooks.slack.example/s3cret"}


@pytest.mark.parametrize(
    ("given", "enabled"),
    [
        ({}, ()),
        (MAIL, ("email",)),
        (HOOK, ("webhook",)),
        (CHAT, ("slack",)),
        ({**MAIL, **HOOK, **CHAT}, ("email", "webhook", "slack")),
    ],
)
def test_a_channel_is_there_when_its_settings_are(given: dict[str, str], enabled: tuple[str, ...]):
    channels = Channels.of(load(given), public_url="https://ops.example")

    assert channels.enabled == enabled
    assert "s3cret" not in repr(channels)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SMTP_URL": MAIL["SMTP_URL"]}, "SMTP_URL needs MOLAM_NOTICE_FROM"),
        ({**MAIL, "SMTP_URL": "https://s3cret@mail"}, "SMTP_URL begins with smtp or smtps"),
        ({**MAIL, "SMTP_URL": "smtp://:s3cret@"}, "SMTP_URL begins"),
        ({**MAIL, "SMTP_URL": "smtp://s3cret@[::1"}, "SMTP_URL begins"),
        ({"MOLAM_SLACK_WEBHOOK_URL": "s3cret"}, "MOLAM_SLACK_WEBHOOK_URL begins with http"),
        ({**HOOK, "MOLAM_NOTICE_WEBHOOK_URL": "ftp://s3cret"}, "begins with http or https"),
        ({**HOOK, "MOLAM_NOTICE_WEBHOOK_SECRET": "s3cret"}, "at least 16 characters"),
    ],
)
def test_a_channel_that_cannot_work_is_refused_without_repeating_it(
    given: dict[str, str], said: str
):
    with pytest.raises(SettingsRefused, match=said) as refused:
        load(given)

    assert "s3cret" not in str(refused.value)


def test_the_passwords_of_channels_also_come_from_files(tmp_path):
    file = tmp_path / "smtp"
    file.write_text("smtps://u:s3cret@mail.internal\n")

    settings = load({"SMTP_URL_FILE": str(file), "MOLAM_NOTICE_FROM": "a@b.example"})

    smtp = Channels.of(settings, public_url="").smtp
    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.password.reveal()) == ("mail.internal", 465, "s3cret")
