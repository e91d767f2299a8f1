"""How one person has arranged the widgets: places on a grid of twelve columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

import msgspec

from molam.ops.dashboard import widget_store as store
from molam.ops.dashboard.model import PLATFORM, Tenant, WidgetAbsent, WidgetRefused
from molam.ops.dashboard.widget_store import PlaceRow, Widget
from molam.platform.db import Tx

COLUMNS = 12
HEIGHT_MAX = 12
ROW_MAX = 999
PLACES_MAX = 100

Step = Literal[
    "up", "down", "left", "right", "wider", "narrower", "taller", "shorter", "hide", "show"
]


@dataclass(frozen=True, slots=True)
class Place:
    widget_id: UUID
    row: int
    col: int
    width: int
    height: int
    hidden: bool = False

    @property
    def is_on_grid(self) -> bool:
        return (
            0 <= self.row <= ROW_MAX
            and self.col >= 0
            and self.width >= 1
            and self.col + self.width <= COLUMNS
            and 1 <= self.height <= HEIGHT_MAX
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """A widget where one person sees it."""

    widget: Widget
    row: int
    col: int
    width: int
    height: int
    hidden: bool

    @property
    def place(self) -> Place:
        return Place(self.widget.id, self.row, self.col, self.width, self.height, self.hidden)


async def shown_to(
    tx: Tx, person_id: str, roles: Iterable[str], *, tenant: Tenant = PLATFORM
) -> list[Placed]:
    """
    List the widgets that holders of *roles* may see, as *person_id* has arranged them.

    A widget that came after they did has the place that it was made with.
    """
    widgets = await tx.all(
        store.LIST_WIDGETS, tenant_type=tenant.type, tenant_id=tenant.id, roles=sorted(roles)
    )
    if not widgets and tenant != PLATFORM:
        # Whoever has no widgets of their own is shown in everybody's.
        return await shown_to(tx, person_id, roles)
    places = {row.widget_id: row for row in await tx.all(store.LIST_PLACES, person_id=person_id)}
    placed = [_placed(widget, places.get(widget.id)) for widget in widgets]
    return sorted(placed, key=lambda each: (each.hidden, each.row, each.col, str(each.widget.id)))


def _placed(widget: Widget, place: PlaceRow | None) -> Placed:
    if place is None:
        at = widget.position
        return Placed(widget, at["row"], at["col"], at["width"], at["height"], hidden=False)
    return Placed(
        widget, place.grid_row, place.grid_col, place.width, place.height, place.is_hidden
    )


async def save(tx: Tx, person_id: str, places: Sequence[Place]) -> None:
    """
    Keep where *person_id* wants widgets; those that are not named stay where they are.

    Raises:
        WidgetRefused: a place is not on the grid.
    """
    if len(places) > PLACES_MAX:
        raise WidgetRefused(f"At most {PLACES_MAX} widgets can be arranged.")
    for place in places:
        if not place.is_on_grid:
            raise WidgetRefused("A widget lies within the twelve columns of the grid.")
    # One of a widget: the last that is said of it counts.
    last = {place.widget_id: place for place in places}
    listed = msgspec.json.encode(list(last.values())).decode()
    await tx.run(store.PUT_PLACES, person_id=person_id, places=listed)


async def reset(tx: Tx, person_id: str) -> None:
    """Forget how *person_id* had arranged the widgets."""
    await tx.run(store.CLEAR_PLACES, person_id=person_id)


async def move(
    tx: Tx, person_id: str, roles: Iterable[str], *, widget_id: UUID, step: Step
) -> list[Place]:
    """
    Take one step with one widget, and keep and return where all are then.

    Raises:
        WidgetAbsent: there is none that this person may see.
    """
    placed = await shown_to(tx, person_id, roles)
    places = stepped([each.place for each in placed], widget_id, step)
    await save(tx, person_id, places)
    return places


def stepped(places: Sequence[Place], widget_id: UUID, step: Step) -> list[Place]:
    """
    Say where widgets are after one step with one of them. Nothing ever overlaps.

    Up, down, left and right change places with the neighbour in reading order; a size
    changes by one. What can go no further stays.

    Raises:
        WidgetAbsent: it is not among them.
    """
    found = next((each for each in places if each.widget_id == widget_id), None)
    if found is None:
        raise WidgetAbsent("Check the widget's id.")
    shown = [each for each in places if not each.hidden]
    away = [each for each in places if each.hidden]
    if step in {"hide", "show"}:
        changed = replace(found, hidden=step == "hide")
        rest = [each for each in places if each.widget_id != widget_id]
        shown = [each for each in rest if not each.hidden]
        away = [each for each in rest if each.hidden]
        (away if changed.hidden else shown).append(changed)
    elif not found.hidden:
        shown = _moved(shown, found, step)
    return [*flowed(shown), *away]


def _moved(shown: list[Place], found: Place, step: Step) -> list[Place]:
    at = shown.index(found)
    size = {"wider": (1, 0), "narrower": (-1, 0), "taller": (0, 1), "shorter": (0, -1)}.get(step)
    if size is not None:
        shown[at] = replace(
            found,
            width=min(max(found.width + size[0], 1), COLUMNS),
            height=min(max(found.height + size[1], 1), HEIGHT_MAX),
        )
        return shown
    to = at + (-1 if step in {"up", "left"} else 1)
    if step in {"up", "down"}:
        to = _beyond_the_row(shown, at, down=step == "down")
    if 0 <= to < len(shown):
        shown.insert(to, shown.pop(at))
    return shown


def _beyond_the_row(shown: Sequence[Place], at: int, *, down: bool) -> int:
    """Find where the widget stands when it has changed rows: first in that above or below."""
    row = shown[at].row
    others = [each.row for each in shown if (each.row > row if down else each.row < row)]
    if not others:
        return len(shown) - 1 if down else 0
    target = min(others) if down else max(others)
    first = next(number for number, each in enumerate(shown) if each.row == target)
    return first if not down else max(first - 1, at + 1)


def flowed(shown: Sequence[Place]) -> list[Place]:
    """Lay widgets out in order, from left to right and row after row, over nothing."""
    places: list[Place] = []
    row = col = tallest = 0
    for each in shown:
        if col + each.width > COLUMNS:
            row, col, tallest = row + tallest, 0, 0
        places.append(replace(each, row=min(row, ROW_MAX), col=col))
        col, tallest = col + each.width, max(tallest, each.height)
    return places
