"""From an HTTP request to what the engine takes."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from molam.approvals import permissions
from molam.approvals.drafts import check_bounds
from molam.approvals.model import Actor, Auth, FieldsRefused, NewAction, OriginRefused, parsed
from molam.approvals.runtime import Runtime
from molam.approvals.wire import ActionBody
from molam.platform.actions import Registry, UnknownActionType
from molam.platform.web import Caller


def actor_of(caller: Caller) -> Actor:
    """Describe who calls, as their token and the directory have it now."""
    return Actor(
        id=caller.subject,
        roles=caller.roles,
        kind="service" if permissions.SERVICE in caller.roles else "user",
        auth=Auth(acr=caller.acr, auth_time=caller.auth_time),
        channel="web" if caller.via == "session" else "api",
        ip=caller.ip,
        user_agent=caller.user_agent,
    )


def runtime_of(request: Request) -> Runtime:
    runtime = request.app.state.runtime
    assert isinstance(runtime, Runtime)
    return runtime


def check_askable(registry: Registry, action_type: str) -> None:
    """
    Raises:
        UnknownActionType: there is none of this name that anybody may ask for.
    """
    if registry.find(action_type).is_asked_by_code:
        raise UnknownActionType(f"{action_type} is asked for by another part of the product.")


def new_action(body: ActionBody, caller: Caller, *, key: str | None) -> NewAction:
    """
    Turn a body into a request of *caller*.

    Raises:
        OriginRefused: a person claims to be somebody else.
        FieldsRefused: the header and the body name two idempotency keys.
    """
    fields = msgspec.structs.asdict(body)
    claimed = fields.pop("created_by")
    if claimed not in {None, caller.subject}:
        if permissions.SERVICE not in caller.roles:
            raise OriginRefused("You can only ask for things as yourself.")
        fields["on_behalf_of"] = claimed
    if key is not None and fields["idempotency_key"] not in {None, key}:
        raise FieldsRefused("The Idempotency-Key header and the body differ.")
    fields["idempotency_key"] = key or fields["idempotency_key"]
    fields["params"] = parsed(fields["params"])
    asked = NewAction(**fields)
    check_bounds(asked)
    return asked
