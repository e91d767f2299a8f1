"""Settings: what is given is right, or the start ends with one line that says what is wrong."""

from __future__ import annotations

import pytest

from molam.platform.settings import Secret, SettingsRefused, load


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@localhost:5432/db",
        "postgres://u:p@localhost/db?sslmode=require",
        "postgresql://u:p@one:5432,two:5433/db",
        "postgresql:///db?host=/var/run/postgresql",
    ],
)
def test_a_database_url_is_taken_as_it_is(url: str):
    assert load({"DATABASE_URL": url}).database_url == Secret(url)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense-s3cret",
        "http://u:s3cret@localhost/db",
        "mysql://u:s3cret@localhost/db",
        "postgresql://u:s3cret@localhost:abc/db",
        "postgresql://u:s3cret@localhost:99999/db",
        "postgresql://u:s3cret@localhost:0/db",
        "postgresql://u:s3cret@[::1/db",
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "MOLAM_REFRESH_DATABASE_URL"])
def test_what_is_no_database_url_is_refused_and_not_repeated(name: str, url: str):
    with pytest.raises(SettingsRefused, match=name) as refused:
        load({name: url})

    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MOLAM_HOEM": "x"}, "did you mean MOLAM_HOME"),
        ({"MOLAM_ENV": "prod"}, "development or production"),
        ({"MOLAM_PORT_OFFSET": "1.5"}, "whole number"),
        ({"MOLAM_PORT_OFFSET": "60000"}, "between 1 and 65535"),
        ({"KAFKA_SSL": "yes"}, "true or false"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
        ({"MOLAM_SECRET_KEY_FILE": "/nowhere"}, "/nowhere"),
        ({"MOLAM_ENV": "production"}, "DATABASE_URL is required"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_line_that_names_it(given: dict[str, str], said: str):
    with pytest.raises(SettingsRefused, match=said) as refused:
        load(given)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"RISK_AWARE_APPROVALS_URL": "http://localhost:3136"}, "needs APPROVALS_SERVICE_TOKEN"),
        ({"RISK_AWARE_APPROVALS_URL": "localhost:3136"}, "begins with http:// or https://"),
    ],
)
def test_an_approval_service_that_cannot_be_asked_stops_the_start(given: dict[str, str], says: str):
    with pytest.raises(SettingsRefused, match=says):
        load({"APPROVALS_SERVICE_TOKEN": "", **given})


def test_an_approval_service_is_taken_with_its_token():
    url = "http://localhost:3136"
    found = load({"RISK_AWARE_APPROVALS_URL": url, "APPROVALS_SERVICE_TOKEN": "t"})

    assert found.risk_aware_approvals_url == url
