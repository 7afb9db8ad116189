"""What ``rapi-admin`` asks of a running master by its API; all of it blocks."""

import base64
import ssl
from typing import Any

import attrs

from twisted_rapi.admin.joining import ask
from twisted_rapi.config import Config, listen_address


@attrs.frozen
class Asked:
    """A request; `body`: ``None`` for none."""

    method: str
    path: str
    body: Any = None


def ask_here(config: Config, user: str, password: str, asked: Asked) -> Any:
    """
    What the daemon answers that runs with this configuration, which hands on what only the master knows.

    :param user: "" for nobody.
    :raises ConfigurationError: it does not answer, or the master refuses.
    """
    host, port = listen_address(config.api.listen, "api.listen")
    here = {"": "localhost", "::": "localhost", "0.0.0.0": "127.0.0.1"}.get(host, host)  # noqa: S104 -- looked up
    context = ssl.create_default_context(cafile=config.rpc.authority)
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}"} if user else {}
    return ask(here, port, context, asked.path, asked.body, headers, asked.method)
