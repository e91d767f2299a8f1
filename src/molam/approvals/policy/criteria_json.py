"""The one way to write criteria, so that equal ones have equal hashes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from molam.approvals.policy import durations
from molam.approvals.policy.literals import literal_json
from molam.approvals.policy.predicates import All, Elem, History, Node, Not, Some, Test, Value


def ordered(parts: Sequence[Node], join: type[All | Some]) -> Node:
    """Join *parts*: flattened, each once, in one order; a single one stands for itself."""
    flat: dict[str, Node] = {}
    for part in parts:
        inner = part.parts if isinstance(part, join) else (part,)
        flat |= {json.dumps(node_json(each), sort_keys=True): each for each in inner}
    sorted_ = tuple(flat[key] for key in sorted(flat))
    return sorted_[0] if len(sorted_) == 1 else join(sorted_)


def node_json(node: Node) -> dict[str, Any]:
    """Write *node* so that it compiles to itself."""
    match node:
        case Test():
            return {node.path: {node.operator: _value_json(node.value)}}
        case Elem():
            tests = {each.operator: _value_json(each.value) for each in node.tests}
            return {node.path: {"$elem": tests}}
        case History():
            return _history_json(node)
        case Some():
            return {"$or": [node_json(part) for part in node.parts]}
        case Not():
            return {"$not": node_json(node.part)}
        case All():
            return _all_json(node)


def _all_json(node: All) -> dict[str, Any]:
    """Put what can stand side by side into one object, as a person would."""
    joined: dict[str, Any] = {}
    apart: list[dict[str, Any]] = []
    for part in node.parts:
        ((key, value),) = node_json(part).items()
        beside = joined.setdefault(key, {}) if isinstance(part, Test | Elem) else None
        if beside is not None and not beside.keys() & value.keys():
            beside |= value
        elif beside is None and key not in joined:
            joined[key] = value
        else:
            apart.append({key: value})
    return joined | ({"$and": apart} if apart else {})


def _history_json(node: History) -> dict[str, Any]:
    about = node.aggregate
    return {
        f"${about.function}": {
            **({} if about.field is None else {"field": about.field}),
            "window": f"{about.window.seconds}s"
            if about.window.seconds is not None
            else durations.written(about.window),
            "group_by": list(about.group_by),
            "where": {"action_type": {"$in": list(about.action_types)}},
            node.operator: literal_json(node.value),
        }
    }


def _value_json(value: Value) -> object:
    if isinstance(value, tuple):
        return [literal_json(each) for each in value]
    return literal_json(value)
