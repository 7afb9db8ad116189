"""
Requests that a browser sends because a page of another site has it do so.

Note [Other sites].  Cookies of sessions are ``SameSite=Strict``, so none comes along; but where no
authentication is needed none has to, and a login could be somebody else's.  What is no browser sends neither
of these headers.
"""

from typing import Any


def header(request: Any, name: str) -> str:
    """A header of a request, the last one where it has several; "" without."""
    found = request.requestHeaders.getRawHeaders(name.encode("ascii"))
    return found[-1].decode("latin-1").strip() if found else ""


def foreign(request: Any) -> bool:
    """Whether another site asks, as far as the browser says."""
    site = header(request, "sec-fetch-site")
    if site:
        return site.lower() not in ("same-origin", "none")
    origin = header(request, "origin")
    return bool(origin) and origin.partition("://")[2].lower() != header(request, "host").lower()
