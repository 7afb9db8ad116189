"""A client of PVC's API."""

import http.client
import json
import re
import ssl
from typing import Any
from urllib.parse import urlencode

from twisted_rapi.testing.processes import await_true

SEED = "pvc-client-cli/0.5"
LATER = "pvc-client-cli/0.6"
NEWEST = "pvc-client-cli/1.0.0"


class Pvc:
    """Asks a daemon that lets everybody in, in the newest form unless it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = ssl._create_unverified_context()

    def ask(self, method: str, path: str, client: str = NEWEST, **values: str) -> tuple[int, Any]:
        """Status and decoded body; values are those of a form, or of the query."""
        told = urlencode(values)
        form = method in ("POST", "PUT")
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=200, context=self._context)
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        where = f"/api/v1{path}" + (f"?{told}" if told and not form else "")
        try:
            connection.request(method, where, told if form else None, {"User-Agent": client, **kind})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def well(self, method: str, path: str, client: str = NEWEST, **values: str) -> Any:
        """What is answered, of a task once it has ended; it has to go well."""
        status, body = self.ask(method, path, client, **values)
        assert status in (200, 202), (method, path, values, status, body)
        if status != 202:
            return body
        told = body.get("task_id") or re.findall(r"job (\d+)", body["message"])[0]
        return self._task(told)

    def _task(self, number: str) -> Any:
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.update(self.ask("GET", f"/tasks/{number}")[1])
            return found["state"] in ("SUCCESS", "FAILURE", "REVOKED")

        await_true(f"task {number} has ended", ended, 240)
        assert found["state"] == "SUCCESS", found
        return found
