"""What the live stream sends: no more than changed, and enough to be the same page."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from molam.merchant.live import ITEMS_ADDED_MAX, Snapshot, item_moves, messages

MOVE = re.compile(r'<hx-partial hx-target="#(\w+)" hx-swap="(\w+)">(.*?)</hx-partial>', re.DOTALL)


def a_snapshot(**changed: object) -> Snapshot:
    whole = {
        "frame": ("2026-11-21",),
        "regions": {"sales_value": "10", "sales-spark": "<svg></svg>"},
        "lists": {"latest": {}, "methods": {}},
        "points": (1, 2, None),
    }
    return Snapshot(**{**whole, **changed})  # type: ignore[arg-type]


def a_list(ids: list[str], *, text: str = "old") -> dict[str, str]:
    return {id_: f'<tr id="{id_}">{text}</tr>' for id_ in ids}


def applied(shown: dict[str, str], moves: list[str]) -> list[tuple[str, str]]:
    """Do to a list what a browser does with *moves*."""
    items = list(shown.items())
    for move in moves:
        target, swap, html = MOVE.fullmatch(move).groups()  # type: ignore[union-attr]
        html = html.replace(' class="is-new"', "")
        match swap:
            case "delete":
                items = [item for item in items if item[0] != target]
            case "outerHTML":
                assert target in dict(items)
                items = [(id_, html if id_ == target else old) for id_, old in items]
            case "afterbegin":
                id_ = re.search(r'id="(\w+)"', html)[1]  # type: ignore[index]
                items = [(id_, html), *items]
            case "innerHTML":
                items = [
                    (id_, f"{row}</tr>")
                    for row in html.split("</tr>")[:-1]
                    for id_ in re.findall(r'id="(\w+)"', row)
                ]
    return items


ids = st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8)


@given(before=ids, after=ids, text=st.sampled_from(["old", "new"]))
def test_the_moves_always_make_the_new_list(before: list[str], after: list[str], text: str) -> None:
    shown, wanted = a_list(before), a_list(after, text=text)

    assert applied(shown, item_moves("latest", shown, wanted)) == list(wanted.items())


def test_one_more_row_sends_one_row() -> None:
    moves = item_moves("latest", a_list(["b", "c"]), a_list(["a", "b"]))

    assert [MOVE.fullmatch(move).groups()[:2] for move in moves] == [  # type: ignore[union-attr]
        ("c", "delete"),
        ("latest", "afterbegin"),
    ]


def test_a_rush_sends_the_list_whole() -> None:
    added = [f"n{at}" for at in range(ITEMS_ADDED_MAX + 1)]

    moves = item_moves("latest", a_list(["a"]), a_list([*added, "a"]))

    assert len(moves) == 1


def test_nothing_changed_sends_nothing() -> None:
    assert messages(a_snapshot(), a_snapshot()) == b""


def test_a_page_just_opened_is_told_everything() -> None:
    sent = messages(None, a_snapshot()).decode()

    assert 'hx-target="#sales_value"' in sent
    assert "event: points\ndata: [[0,1],[1,2],[2,null]]" in sent


def test_only_what_changed_is_sent() -> None:
    after = a_snapshot(
        regions={"sales_value": "11", "sales-spark": "<svg></svg>"}, points=(1, 5, None)
    )

    sent = messages(a_snapshot(), after).decode()

    assert MOVE.findall(sent) == [("sales_value", "innerHTML", "11")]
    assert "sales-spark" not in sent
    assert "data: [[1,5]]" in sent


def test_midnight_asks_for_a_new_page() -> None:
    assert (
        messages(a_snapshot(), a_snapshot(frame=("2026-11-22",))) == b"event: rollover\ndata: \n\n"
    )
