"""What the console's pages say to people: names, zones, causes and faults, not codes and ids."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from ops_console import ASKS, FIRST, SECOND, Console, panel

from builders import a_policy
from molam.approvals.claims import StaleIntent
from molam.approvals.policy import criteria_words, rule_words
from molam.audit.store import Checkpoint
from molam.ops import audit_pages
from molam.ops.shell import TEMPLATES
from molam.platform.db import Database
from molam.platform.web.l10n import LANGUAGES, Language

_FREEZES = {"action_type": "FREEZE_MERCHANT"}


def _rules(votes: int) -> dict[str, object]:
    quorum = {"type": "role", "value": {"role": "ops_admin", "min_votes": votes}}
    return {"required_quorum": quorum, "required_ratio": 1}


async def _run(db: Database, sql: str, *values: object) -> None:
    async with db.transaction("tests.run") as tx:
        await tx.connection.execute(sql, *values)


async def test_why_a_merchant_is_frozen_is_read_before_deciding(console: Console) -> None:
    id_ = await console.freeze(
        params={"merchant_id": "merchant-123", "reason": "Refunds <b>tripled</b>"}
    )

    answer = await console.get(f"/ops/actions/{id_}")
    why = answer.text.split('id="evidence-title"')[1].split("</section>")[0]

    assert "Refunds &lt;b&gt;tripled&lt;/b&gt;" in why
    assert "No reason was given" not in why


async def test_the_rehearsal_of_a_freeze_quotes_its_reason(console: Console) -> None:
    answer = await console.post(
        "/ops/propose/FREEZE_MERCHANT",
        ASKS,
        merchant_id="merchant-123",
        reason="Refunds <tripled>",
        step="rehearse",
    )
    plan = answer.text.split('id="plan-title"')[1].split("</section>")[0]

    assert "Refunds &lt;tripled&gt;" in plan
    assert "until somebody ends it" in plan


async def test_a_freeze_without_a_time_is_not_asked_for_as_a_day(console: Console) -> None:
    page = await console.page("/ops/propose/FREEZE_MERCHANT", ASKS)

    assert 'placeholder="24h"' not in page
    assert 'placeholder="until somebody ends it"' in page


async def test_every_file_of_the_audit_can_be_downloaded(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = Checkpoint(
        size=7,
        root=bytes(32),
        key_id="key-1",
        note="",
        signed_at=datetime(2026, 11, 22, 2, 47, tzinfo=UTC),
        sealed_xid=1,
    )

    async def latest(_db: Database) -> Checkpoint:
        return checkpoint

    monkeypatch.setattr(audit_pages, "latest", latest)

    page = await console.page("/ops/audit")

    assert re.findall(r'href="([^"]*)" download', page) == [
        "/api/ops/audit/export?size=7",
        "/api/ops/audit/checkpoint.txt?size=7",
        "/api/ops/audit/keys.txt",
    ]


async def test_a_policy_tightened_since_counts_in_the_queue_and_on_the_page(
    console: Console, db: Database
) -> None:
    await a_policy(db, name="Freezes", criteria=_FREEZES, policy=_rules(2))
    id_ = await console.freeze()
    await a_policy(db, name="Stricter", criteria=_FREEZES, policy=_rules(3), priority=99)

    queue = await console.page("/ops")
    page = await console.page(f"/ops/actions/{id_}")

    assert "0 of 3 approvals" in queue
    assert "0 of 3 approvals" in page
    assert "0 of 2 approvals" not in queue + page


async def test_what_is_decided_shows_the_rules_that_decided_it(
    console: Console, db: Database
) -> None:
    await a_policy(db, name="Freezes", criteria=_FREEZES, policy=_rules(1))
    id_ = await console.freeze()
    await console.vote(id_, "approve", FIRST)
    await a_policy(db, name="Stricter", criteria=_FREEZES, policy=_rules(3), priority=99)

    page = await console.page(f"/ops/actions/{id_}")
    why = page.split('id="policy-title"')[1].split("</section>")[0]

    assert await console.state(id_) != "pending"
    assert "1 approval from Operations administrator" in why
    assert "3 approvals" not in why
    assert "1 of 1 approvals" in page


async def test_what_was_tampered_with_says_so(console: Console, db: Database) -> None:
    await a_policy(db, name="Freezes", criteria=_FREEZES, policy=_rules(1))
    id_ = await console.freeze()
    await console.vote(id_, "approve", FIRST)
    await _run(
        db,
        'update approvals.ops_actions set params = params || \'{"reason": "other"}\' where id = $1',
        UUID(id_),
    )

    with pytest.raises(StaleIntent):
        await console.engine.execute_action(id_, SECOND)
    page = await console.page(f"/ops/actions/{id_}")
    standing = page.split('id="standing"')[1].split("</div>")[0]
    timeline = page.split('id="timeline"')[1].split("</section>")[0]

    assert await console.state(id_) == "stale"
    assert "What is stored is not what was approved" in standing
    assert "What is stored is not what was approved" in timeline


async def test_hours_name_their_zone(console: Console) -> None:
    id_ = await console.freeze()

    page = await console.page(f"/ops/actions/{id_}")
    inbox = await console.page("/ops/inbox", FIRST)

    assert re.search(r"\d\d:\d\d</time>\u00a0GMT", page)
    assert re.search(r"No later than: [^·]*\d\d:\d\d\u00a0GMT", inbox)
    assert "UTC ·" not in inbox


async def test_the_inbox_names_people_by_their_names(console: Console, db: Database) -> None:
    await _run(db, "update tenancy.people set name = 'Bineta Camara' where id = $1", ASKS)
    await console.freeze()

    inbox = await console.page("/ops/inbox", FIRST)

    assert "By: Bineta Camara" in inbox
    assert f"By: {ASKS}" not in inbox


async def test_a_headline_names_whom_it_is_about(console: Console, db: Database) -> None:
    await _run(db, "update tenancy.merchants set name = 'Makola Fabrics' where id = 'merchant-123'")
    id_ = await console.freeze()

    page = await console.page(f"/ops/actions/{id_}")
    headline = page.split('id="sentence">')[1].split("</h2>")[0]

    assert "Makola Fabrics" in headline
    assert "Makola Fabrics" in panel(page, "approve") or "act-title" not in panel(page, "approve")


async def test_a_long_search_is_cut_and_not_refused(console: Console) -> None:
    for path in ("/ops/search", "/ops/audit"):
        answer = await console.get(f"{path}?q={'m' * 500}")

        assert answer.status_code == 200
        assert f'name="q" value="{"m" * 100}"' in answer.text


async def test_the_field_that_is_no_json_is_named_with_its_line(console: Console) -> None:
    answer = await console.post(
        "/ops/policies/new", FIRST, name="x", criteria="{}", policy='{\n"a": 1,\n}', step="try"
    )
    criteria, policy = answer.text.split('id="p-criteria"')[1].split('id="p-policy"')

    assert answer.status_code == 200
    assert "field-error" not in criteria
    assert "This is not JSON: see line 3." in policy


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_call_roles_and_types_what_the_console_does(language: Language) -> None:
    french = language == "fr"
    TEMPLATES.render(language, "_words.html")
    environment = TEMPLATES._environments[language]
    module = vars(environment.get_template("_words.html").module)
    plain = str.maketrans({"\u2019": "'", "\u00a0": " "})

    shown = {code: name.translate(plain) for code, name in module["role_words"].items()}
    types = {code: name.translate(plain) for code, name in module["type_words"].items()}

    assert shown == {
        code: names[french].translate(plain) for code, names in rule_words.ROLES.items()
    }
    assert types == {code: names[french] for code, names in criteria_words.TYPES.items()}
