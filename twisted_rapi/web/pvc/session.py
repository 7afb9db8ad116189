"""
Sessions: a signed cookie that says which token was shown, and until when that is good.

What it is signed with is in the store, so a session goes on under the next master.
"""

import hmac

COOKIE = "session"
SECONDS = 24 * 3600
_ATTRIBUTES = "HttpOnly; Secure; SameSite=Strict; Path=/"


def _signature(key: bytes, text: str) -> str:
    return hmac.digest(key, f"session {text}".encode("utf-8", "surrogatepass"), "sha256").hex()


def open_session(key: bytes, token: str, now: float) -> str:
    """
    The value of a new session's cookie.

    :param token: id of the token that was shown.
    """
    text = f"{int(now) + SECONDS}.{token}"
    return f"{text}.{_signature(key, text)}"


def token_of(key: bytes, value: str, now: float) -> str:
    """The id of the token that a session was opened with; "" when it is none, or has ended."""
    text, _, signature = value.rpartition(".")
    if not hmac.compare_digest(_signature(key, text).encode(), signature.encode("utf-8", "replace")):
        return ""
    until, _, token = text.partition(".")
    return token if int(until) > now else ""


def set_cookie(value: str) -> tuple[bytes, bytes]:
    """The header that has a client keep a session."""
    return b"Set-Cookie", f"{COOKIE}={value}; {_ATTRIBUTES}".encode("ascii")


def end_cookie() -> tuple[bytes, bytes]:
    """The header that has a client forget it."""
    past = "Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0"
    return b"Set-Cookie", f"{COOKIE}=; {past}; {_ATTRIBUTES}".encode("ascii")


def of_cookies(header: str) -> str:
    """The session of a ``Cookie`` header; "" without."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
