"""Whatever a merchant may change says what it does while the merchant is frozen."""

from __future__ import annotations

from molam.merchant.routes import ALL
from molam.platform.web.csrf import SAFE_METHODS
from molam.platform.web.routes import WEBSOCKET, Operation, Routes
from molam.tenancy.standing import MerchantFrozen

# What goes on: alerts are read and files written, people sign out elsewhere, and wallets
# report what has already happened.
GOES_ON = {
    "/alerts/{id}/acknowledge",
    "/alerts/{id}/settle",
    "/api/merchant/alerts/{id}/acknowledge",
    "/api/merchant/alerts/{id}/settle",
    "/api/merchant/events",
    "/api/merchant/security/sessions/revoke",
    "/reports",
    "/settings/security/sign-out",
}


def _changing(*groups: Routes) -> list[Operation]:
    return [
        each
        for group in groups
        for each in group.operations
        if each.method not in SAFE_METHODS and each.method != WEBSOCKET
    ]


def test_every_changing_route_of_merchants_refuses_the_frozen_or_is_listed() -> None:
    changing = _changing(*ALL)

    unguarded = {each.template for each in changing if MerchantFrozen not in each.refuses}

    assert unguarded == GOES_ON
