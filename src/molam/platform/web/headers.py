"""What every answer tells browsers to forbid."""

from __future__ import annotations

from collections.abc import Sequence

RawHeaders = list[tuple[bytes, bytes]]


def security_headers(*, form_action: Sequence[str], https: bool) -> RawHeaders:
    """
    Build the headers that every response carries.

    *form_action* are the origins a form may end up at besides our own: browsers
    apply the rule to redirects as well, so signing in needs the issuer's.
    """
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            " ".join(("form-action 'self'", *form_action)),
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
    headers = [
        ("content-security-policy", policy),
        ("x-content-type-options", "nosniff"),
        # With no-referrer, browsers send "Origin: null" on our own forms.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ]
    if https:
        headers.append(("strict-transport-security", "max-age=31536000; includeSubDomains"))
    return [(name.encode(), value.encode()) for name, value in headers]


NO_STORE = (b"cache-control", b"private, no-store")
