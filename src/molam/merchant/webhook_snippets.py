"""How receivers check our signatures, in the languages that most of them are written in."""

from __future__ import annotations

_PYTHON = """\
# pip install standardwebhooks
from standardwebhooks import Webhook

event = Webhook(secret).verify(body, headers)  # raises if it is not ours
"""

_NODE = """\
// npm install standardwebhooks
import { Webhook } from "standardwebhooks";

const event = new Webhook(secret).verify(rawBody, headers); // throws if it is not ours
"""

_PHP = """\
<?php
$body = file_get_contents('php://input');
$id = $_SERVER['HTTP_WEBHOOK_ID'];
$at = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'];
$key = base64_decode(substr($secret, strlen('whsec_')));
$ours = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$at.$body", $key, true));
$sent = explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE']);
$known = array_filter($sent, fn($each) => hash_equals($ours, $each));
if (!$known || abs(time() - (int) $at) > 300) {
    http_response_code(400);
    exit;
}
$event = json_decode($body, true);
"""

_BODY_ALONE = """\
# The older form: the body alone, in hex, under the whole text of the secret.
import hashlib
import hmac

ours = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
assert hmac.compare_digest(ours, headers["X-Molam-Signature"])
"""

SNIPPETS = {
    "Python": _PYTHON,
    "Node.js": _NODE,
    "PHP": _PHP,
    "X-Molam-Signature": _BODY_ALONE,
}
