"""Errors as HTML pages: what RAPI 1.2 answers (behaviour.md §13)."""

import html

from twisted_rapi.errors import RequestError
from twisted_rapi.web.reply import Reply

_TITLES = {400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


def page(error: RequestError) -> Reply:
    """The page of an error; 1.2 knows no other method than GET, and calls the others a bad request."""
    status = 400 if error.status == 501 else error.status
    title = _TITLES.get(status, "Error")
    text = html.escape(error.message or title, quote=True)
    head = f"<html><head><title>{title}</title></head>"
    body = f"{head}<body><h1>{title}</h1><p>Error code {status}.</p><p>{text}</p></body></html>\n"
    headers = ((b"WWW-Authenticate", b'Basic realm="Ganeti Remote API"'),) if status == 401 else ()
    return Reply(body.encode(), status, b"text/html", headers)
