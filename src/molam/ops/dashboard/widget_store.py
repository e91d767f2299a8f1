"""The statements about widgets, and how each person has arranged them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from molam.ops.dashboard.model import OfType
from molam.platform.db import Query
from molam.platform.db.transaction import Nothing


@dataclass(frozen=True, slots=True)
class Widget:
    id: UUID
    tenant_type: OfType
    tenant_id: str | None
    name: str
    kind: str
    config: dict[str, Any]
    position: dict[str, Any]
    visible: bool
    required_roles: list[str]
    created_by: str

    @property
    def is_usual(self) -> bool:
        """It came with the page, which everybody can have again as it was at first."""
        return self.created_by == "system"


@dataclass(frozen=True, slots=True)
class PlaceRow:
    widget_id: UUID
    grid_row: int
    grid_col: int
    width: int
    height: int
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class AlertShown:
    id: UUID
    alert_type: str
    severity: str
    title: str
    message: str
    category: str
    source: str
    action_url: str
    action_label: str
    facts: dict[str, Any]
    tenant_type: str
    tenant_id: str | None
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HappenedRow:
    """*type* is that of the alert, the action or the recommendation; *facts* say it in words."""

    at: datetime
    kind: str
    type: str
    id: UUID
    title: str
    facts: dict[str, Any]
    status: str


_COLUMNS = (
    "id, tenant_type, tenant_id, name, kind, config, position, visible, required_roles, created_by"
)

LIST_WIDGETS = Query(
    f"""
    /* dashboard.list_widgets */
    select {_COLUMNS}
      from ops.dash_widgets
     where tenant_type = :tenant_type and tenant_id is not distinct from :tenant_id
       and visible and (required_roles = '{{}}' or required_roles && :roles::text[])
     order by (position ->> 'row')::int, (position ->> 'col')::int, id
    """,
    row=Widget,
)

FIND_WIDGET = Query(
    f"""
    /* dashboard.find_widget */
    select {_COLUMNS}
      from ops.dash_widgets
     where id = :id
    """,
    row=Widget,
)

PUT_WIDGET = Query(
    """
    /* dashboard.put_widget */
    insert into ops.dash_widgets as w
           (id, tenant_type, tenant_id, name, kind, config, position, visible, required_roles, created_by)
    values (:id, :tenant_type, :tenant_id, :name, :kind, :config, :position, :visible, :required_roles, :created_by)
        on conflict (id) do update
       set (tenant_type, tenant_id, name, kind, config, position, visible, required_roles, updated_at) = (
           excluded.tenant_type, excluded.tenant_id, excluded.name, excluded.kind, excluded.config,
           excluded.position, excluded.visible, excluded.required_roles, now())
    """,
    row=Nothing,
)

REMOVE_WIDGET = Query(
    """
    /* dashboard.remove_widget */
    delete from ops.dash_widgets
     where id = :id
    """,
    row=Nothing,
)

LIST_PLACES = Query(
    """
    /* dashboard.list_places */
    select widget_id, grid_row, grid_col, width, height, is_hidden
      from ops.dash_layouts
     where person_id = :person_id
    """,
    row=PlaceRow,
)

PUT_PLACES = Query(
    """
    /* dashboard.put_places */
    insert into ops.dash_layouts (person_id, widget_id, grid_row, grid_col, width, height, is_hidden)
    select :person_id, p.widget_id, p.row, p.col, p.width, p.height, p.hidden
      from json_to_recordset(:places::json)
           as p(widget_id uuid, row int, col int, width int, height int, hidden boolean)
      join ops.dash_widgets w on w.id = p.widget_id
        on conflict (person_id, widget_id) do update
       set (grid_row, grid_col, width, height, is_hidden, updated_at) = (
           excluded.grid_row, excluded.grid_col, excluded.width, excluded.height, excluded.is_hidden, now())
    """,
    row=Nothing,
)

CLEAR_PLACES = Query(
    """
    /* dashboard.clear_places */
    delete from ops.dash_layouts
     where person_id = :person_id
    """,
    row=Nothing,
)

# In the words of the dashboard's specification; the alert's own page has ours. What is open
# is little, whatever has been, and has an index of its own; what is urgently recommended has
# a widget of its own.
_ALERTS = """
    select id, alert_type, severity, title, message, category, source, action_url, action_label, facts,
           tenant_type, tenant_id, status, created_at
      from ops.dash_alerts
     where status = any(:statuses::text[]) {which}
       and (:severities::text[] is null or severity = any(:severities::text[]))
       and (:tenant_type::text = 'platform' or (tenant_type = :tenant_type and tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, tenant_type, tenant_id))
     order by array_position(array['critical', 'high', 'medium', 'low', 'info'], severity), created_at desc, id
     limit :limit offset :offset
"""
LIST_ALERTS = Query("/* dashboard.list_alerts */" + _ALERTS.format(which=""), row=AlertShown)
LIST_OPEN_ALERTS = Query(
    "/* dashboard.list_open_alerts */"
    + _ALERTS.format(which="and source <> 'sira' and resolved_at is null"),
    row=AlertShown,
)

LIST_HAPPENED = Query(
    """
    /* dashboard.list_happened */
    (select created_at as at, 'alert' as kind, alert_type::text as type, id, title, facts, status from alerts.alerts
      where :tenant_type::text = 'platform' or (tenant_type = :tenant_type and tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, tenant_type, tenant_id)
      order by created_at desc limit :limit)
    union all
    (select created_at, 'action', action_type, id, action_type, '{}', status from approvals.ops_actions
      where :tenant_type = 'platform' or (target_tenant_type = :tenant_type and target_tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, target_tenant_type, target_tenant_id)
      order by created_at desc limit :limit)
    union all
    (select created_at, 'recommendation', recommendation_type, id, title, facts, status
       from ops.sira_dash_recommendations
      where :tenant_type = 'platform' or (tenant_type = :tenant_type and tenant_id = :tenant_id)
            or ops.lies_in(:tenant_type, :tenant_id, tenant_type, tenant_id)
      order by created_at desc limit :limit)
     order by at desc, id
     limit :limit
    """,
    row=HappenedRow,
)
