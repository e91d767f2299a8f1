"""Where banks call us back. It is open to anybody; what counts is the signature."""

from __future__ import annotations

import msgspec
from starlette.requests import Request

from molam.payments.banks import callbacks, model
from molam.platform.web import Caller, Routes
from molam.platform.web.caller import PUBLIC
from molam.platform.web.limits import TooManyAttempts
from molam.platform.web.wire import BodyTooLarge

routes = Routes()


class CallbackAnswer(msgspec.Struct, frozen=True):
    ok: bool


@routes.post(
    "/banks/{bank_profile_id}/callbacks",
    needs=PUBLIC,
    answers=CallbackAnswer,
    body_bytes_max=callbacks.BYTES_MAX,
    refuses=(model.BankAbsent, model.CallbackRefused, BodyTooLarge, TooManyAttempts),
)
async def receive_callback(request: Request, _caller: Caller) -> CallbackAnswer:
    """Take a bank's callback: checked, kept, and answered at once. Sending it again is safe."""
    state = request.app.state
    await callbacks.receive(
        state.bank_ear,
        state.money,
        request.path_params["bank_profile_id"],
        headers=request.headers,
        body=await request.body(),
        now=state.clock.now(),
    )
    return CallbackAnswer(ok=True)
