"""Asking the lab's API and its etcd, from the thread's own network namespace."""

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.testing.lab.layout import API, ETCD


class Silence(Exception):
    """No answer came, or half of one."""


@attrs.frozen
class Answer:
    """What was answered: the status, the decoded body, who had it sent."""

    status: int
    body: Any
    headers: dict[str, str]


_BROKEN = (OSError, http.client.HTTPException, ValueError)


class Asker:
    """
    One client of the API at one address, over one connection at a time.

    :param authority: PEM file; whoever answers has to be certified by it, under whatever name.
    """

    def __init__(self, address: str, authority: Path, user: str, password: str, patience: float) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.check_hostname = False
        self.address = address
        self._context, self._patience = context, patience
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
        self._connection: http.client.HTTPSConnection | None = None

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """
        Ask once.

        :raises Silence: nothing came in time; whether it was heard is not known.
        """
        told = None if body is None else json.dumps(body)
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    self.address, API, timeout=self._patience, context=self._context
                )
            self._connection.request(method, path, told, self._headers)
            response = self._connection.getresponse()
            data = response.read()
            headers = {name.lower(): value for name, value in response.getheaders()}
            if headers.get("connection", "").lower() == "close":
                self.close()
            return Answer(response.status, json.loads(data) if data else None, headers)
        except _BROKEN as e:
            self.close()
            raise Silence(f"{self.address}: {e!r}") from e

    def close(self) -> None:
        """Begin with a new connection next time."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Gateway:
    """Etcd's members through their JSON gateway, one after the other until one answers."""

    def __init__(self, addresses: Sequence[str], keys: Path, patience: float = 3.0) -> None:
        self._context = ssl.create_default_context(cafile=str(keys / "etcd-ca.pem"))
        self._context.load_cert_chain(keys / "etcd-client.pem", keys / "etcd-client.key")
        self._addresses, self._patience = list(addresses), patience

    def ask(self, method: str, body: Any, address: str = "") -> Any:
        """
        What a member answers: the one at `address`, or any.

        :raises Silence: none does.
        """
        for each in [address] if address else list(self._addresses):
            try:
                return next(self.stream(method, body, each))
            except (Silence, StopIteration):
                self._turn(each)
        raise Silence("no member of etcd answers")

    def _turn(self, address: str) -> None:
        """Who does not answer is asked last."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.append(address)

    def stream(self, method: str, body: Any, address: str = "") -> Iterator[Any]:
        """
        One answer after the other.

        :raises Silence: the next does not come in time, or the stream has broken.
        """
        at = address or self._addresses[0]
        connection = http.client.HTTPSConnection(at, ETCD, timeout=self._patience, context=self._context)
        try:
            connection.request("POST", f"/v3/{method}", json.dumps(body))
            response = connection.getresponse()
            if response.status != 200:
                raise Silence(f"{at}: {response.status} {response.read(300)!r}")
            while line := response.readline():
                yield json.loads(line)
        except _BROKEN as e:
            self._turn(at)
            raise Silence(f"{at}: {e!r}") from e
        finally:
            connection.close()
