"""
The guard of a daemon: a small process that ends the daemon's mastership at once when the daemon is gone
(``python -m twisted_rapi.ha.guard``).

Without it others wait until the daemon's lease ends by itself.

Note [Proof].  Its standard input is a pipe whose only writer is the daemon, which leaves it to no other
process.  The pipe ends when the kernel has closed the daemon's files, which it does after the last of the
daemon's threads has run for the last time: nothing is then done in the term any more.  A daemon that hangs,
or is stopped, does not end the pipe; its lease has to end by itself, and does.

Note [Order].  As everywhere the address goes first, and the lease only when the address has gone: where it
cannot be removed the kernel does that in time (`net.floating`), before the lease ends by itself.

It is told one JSON document a line: ``lease``, the daemon's, 0 for none; ``released``, that it has given
everything up.
"""

import http.client
import json
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

from twisted_rapi.errors import AddressError
from twisted_rapi.net.kernel import Kernel

PATIENCE = 2.0  # seconds for a member of etcd, and for all of them together

Ask = Callable[[str, int], None]
"""Asks a member of etcd to end a lease; raises what went wrong."""


class Guard:
    """
    What the daemon has said, and what follows from its end.

    :param ask: asks one endpoint.
    :param remove: takes the floating address from this host, where there is one; answers whether it is gone.
    """

    def __init__(self, endpoints: Iterable[str], ask: Ask, remove: Callable[[], bool]) -> None:
        self._endpoints, self._ask, self._remove = tuple(endpoints), ask, remove
        self._lease = 0
        self._released = False

    def listen(self, lines: Iterable[str]) -> bool:
        """
        Follow what is told to its end; answers whether the daemon's lease was ended.

        A line that was cut short was the daemon's last, and says nothing.
        """
        for line in lines:
            try:
                told: Mapping[str, Any] = json.loads(line)
            except ValueError:
                continue
            self._lease = told.get("lease", self._lease)
            self._released = told.get("released", False)
        return not self._released and self._act()

    def _act(self) -> bool:
        if not self._lease or not self._remove():
            return False
        done: Queue[bool] = Queue()
        for endpoint in self._endpoints:
            threading.Thread(target=self._try, args=(endpoint, done), daemon=True).start()
        try:
            return any(done.get(timeout=PATIENCE) for _ in self._endpoints)
        except Empty:
            return False

    def _try(self, endpoint: str, done: "Queue[bool]") -> None:
        try:
            self._ask(endpoint, self._lease)
        except (OSError, http.client.HTTPException):
            done.put(False)
        else:
            done.put(True)


def asking(authority: str, certificate: str, key: str) -> Ask:
    """
    Asks over HTTPS with a client's certificate.

    :raises OSError: a file cannot be read, or has no such thing in it.
    """
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)

    def ask(endpoint: str, lease: int) -> None:
        url = urlsplit(endpoint)
        assert url.hostname is not None
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=PATIENCE, context=context)
        try:
            body = json.dumps({"ID": str(lease)})
            connection.request("POST", "/v3/lease/revoke", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise http.client.HTTPException(f"status {answer.status}")

    return ask


def removing(address: str) -> Callable[[], bool]:
    """Takes an address from this host; for an empty one there is nothing to do."""

    def remove() -> bool:
        try:
            if address:
                Kernel().remove(ip_address(address))
        except AddressError:
            return False
        return True

    return remove


def main() -> int:
    """Guard the daemon at the other end of standard input; answers the exit status."""
    # What ends the daemon in order is often told to all processes of its service.
    for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT):
        signal.signal(ignored, signal.SIG_IGN)
    settings = json.loads(sys.argv[1])
    try:
        ask = asking(*(settings[name] for name in ("authority", "certificate", "key")))
    except OSError as e:
        sys.stderr.write(f"the daemon cannot be guarded: {e}\n")
        return 1
    guard = Guard(settings["endpoints"], ask, removing(settings["address"]))
    with Path("/dev/stdin").open(encoding="ascii", errors="replace") as lines:
        guard.listen(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
