"""PVC's endpoints that are about the API itself: its root, login and logout."""

import attrs

from twisted_rapi.plan.pvc.dialect import LATER, SEED, Dialect
from twisted_rapi.web.pvc.endpoints import PREFIX, Endpoint, PvcCall, Value
from twisted_rapi.web.pvc.replies import HTML, SERVER, message, redirect
from twisted_rapi.web.pvc.session import end_cookie, set_cookie
from twisted_rapi.web.reply import Reply

_TOKEN = Value(name="token", doc="The token to log in with", required=True)


def root(call: PvcCall) -> Reply:
    """``GET /api/v1``: later versions have it with a slash."""
    if call.dialect is Dialect.SEED:
        return message(call.dialect, "PVC API version 1", 209)
    return redirect(f"{PREFIX}/", 301 if call.dialect is Dialect.V0_6 else 308)


def later_root(call: PvcCall) -> Reply:
    """``GET /api/v1/``."""
    return message(call.dialect, "PVC API version 1.0")


_FORM = f"""<!doctype html>
<html lang="en">
<title>Log in</title>
<form method="post" action="{PREFIX}/auth/login">
<label>Token: <input type="password" name="token" autocomplete="current-password" required></label>
<button>Log in</button>
</form>
</html>
"""

_DISABLED = "Authentication is disabled."


def form(call: PvcCall) -> Reply:
    """``GET /api/v1/auth/login``: nothing of what was sent is in the page."""
    if not call.gate.enabled:
        return message(call.dialect, _DISABLED)
    policy = (b"Content-Security-Policy", b"default-src 'none'; form-action 'self'; frame-ancestors 'none'")
    return Reply(_FORM.encode(), 200, HTML, (SERVER, policy))


def _disabled(call: PvcCall) -> Reply:
    return message(call.dialect, _DISABLED) if call.dialect is Dialect.SEED else redirect(f"{PREFIX}/")


async def login(call: PvcCall) -> Reply:
    """``POST`` of a token."""
    if not call.gate.enabled:
        return _disabled(call)
    session = await call.gate.login(call.text("token"), call.address, call.api)
    if call.dialect is Dialect.SEED:
        reply = redirect(PREFIX)
    else:
        reply = message(call.dialect, "Authentication successful")
    return attrs.evolve(reply, headers=(*reply.headers, set_cookie(session)))


def logout(call: PvcCall) -> Reply:
    """The session ends; also where there is none."""
    if not call.gate.enabled:
        return _disabled(call)
    if call.dialect is Dialect.SEED:
        reply = redirect(PREFIX)
    else:
        reply = message(call.dialect, "Deauthentication successful")
    if not call.session:
        return reply
    return attrs.evolve(reply, headers=(*reply.headers, end_cookie()))


ENDPOINTS = (
    Endpoint(path="", method="GET", handler=root, doc="Tell that the API is there.", open=True, kept=True),
    Endpoint(
        path="/",
        method="GET",
        handler=later_root,
        doc="Tell that the API is there.",
        dialects=LATER,
        open=True,
        kept=True,
    ),
    *(
        Endpoint(
            path=path,
            method=method,
            handler=handler,
            doc=doc,
            values=values,
            dialects=dialects,
            open=True,
            media_type="text/html" if handler is form else "application/json",
        )
        for path, method, handler, doc, values, dialects in (
            ("/auth/login", "GET", form, "Show a form to log in with.", (), SEED),
            ("/auth/login", "POST", login, "Open a session.", (_TOKEN,), SEED),
            ("/auth/logout", "GET", logout, "End the session.", (), SEED),
            ("/auth/logout", "POST", logout, "End the session.", (), SEED),
            ("/login", "POST", login, "Open a session.", (_TOKEN,), LATER),
            ("/logout", "POST", logout, "End the session.", (), LATER),
        )
    ),
)
