"""Clients for the figures: plain blocking ones, so that they share nothing with what is measured."""

import base64
import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from typing import Any


class Client:
    """One keep-alive connection to the API."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=60)
        self._headers = {"Content-Type": "application/json"}
        if user:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; anything but 200 ends the run."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status} {data[:300]!r}")
        return json.loads(data)

    def read(self, path: str) -> bytes:
        """The raw body."""
        self._connection.request("GET", path, None, self._headers)
        return self._connection.getresponse().read()

    def finish(self, job: int) -> dict[str, Any]:
        """The job, once it has ended."""
        before = None
        while True:
            asked = {"fields": ["status"], "previous_job_info": before, "previous_log_serial": 0}
            answer = self.ask("GET", f"/2/jobs/{job}/wait", asked)
            if answer is not None:
                before = answer["job_info"]
                if before[0] in ("success", "error", "canceled"):
                    found: dict[str, Any] = self.ask("GET", f"/2/jobs/{job}")
                    return found


def reads_per_second(port: int, path: str, seconds: int = 4, connections: int = 8) -> float:
    """What ``wrk`` counts over keep-alive TLS connections."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"https://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"wrk saw errors:\n{out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    assert found is not None, out
    return float(found[1])


def idle_sockets(port: int, count: int) -> list[socket.socket]:
    """So many TLS connections that say nothing."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return [context.wrap_socket(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


def timed(work: Any, *args: Any) -> float:
    """Seconds the call takes."""
    begun = time.perf_counter()
    work(*args)
    return time.perf_counter() - begun


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
