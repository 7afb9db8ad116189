"""Etcd as real processes on this machine's loopback, with TLS, to be killed, paused and cut off."""

import shutil
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import attrs
import msgspec
from twisted.internet.defer import Deferred

from twisted_rapi.rpc.authority import Role, issue, new_authority, new_key, new_request
from twisted_rapi.state.etcd import EtcdStore, open_etcd
from twisted_rapi.state.etcd_gateway import Gateway, Keys, connect
from twisted_rapi.testing.processes import Daemon, await_true, free_port

HOST = "127.0.0.1"


@attrs.define
class Member:
    """One member: its ports, and its process."""

    name: str
    client: int
    peer: int
    daemon: Daemon

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"https://{HOST}:{self.client}"

    def pause(self) -> None:
        """Have it hang: its connections stay, and nothing answers."""
        self.daemon.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on."""
        self.daemon.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        self.daemon.kill()


@attrs.define
class EtcdCluster:
    """
    A cluster below one directory, which `set_up` makes.

    :ivar more: further arguments of every member.
    :ivar keys: what a client needs.
    """

    directory: Path
    size: int = 3
    more: Sequence[str] = ("--max-txn-ops", "10000", "--max-request-bytes", "10485760")
    members: list[Member] = attrs.field(factory=list)
    keys: Keys = attrs.field(init=False)
    _authority: tuple[bytes, bytes] = attrs.field(init=False)

    def set_up(self) -> None:
        """Make certificates, choose ports."""
        self.directory.mkdir(parents=True)
        self._authority = new_authority("etcd", time.time())
        authority = self._authority[0]
        self.keys = Keys(authority, *self._certified(Role.MASTER, "candidate"))
        (self.directory / "ca.pem").write_bytes(authority)
        for name, content in (("client.pem", self.keys.certificate), ("client.key", self.keys.key)):
            (self.directory / name).write_bytes(content)
        ports = [(f"etcd{n}", free_port(), free_port()) for n in range(1, self.size + 1)]
        peers = ",".join(f"{name}=https://{HOST}:{peer}" for name, _, peer in ports)
        self.members = [self._member(name, client, peer, peers) for name, client, peer in ports]

    def _certified(self, role: Role, name: str) -> tuple[bytes, bytes]:
        key, hosts = new_key(), [HOST, "localhost"] if role is Role.ETCD else []
        return issue(*self._authority, role, name, hosts, new_request(key, name), time.time()), key

    def replace(self, dead: Member, name: str, added: Callable[[str, str], str]) -> Member:
        """
        Have another member in the place of one that is dead; waits until all agree.

        :param added: makes it known to the others, by its name and URL, and answers ``initial-cluster``.
        """
        client, peer = free_port(), free_port()
        peers = added(name, f"https://{HOST}:{peer}")
        member = self._member(name, client, peer, peers, "existing")
        self.members[self.members.index(dead)] = member
        member.daemon.start()
        self.leader()
        return member

    def _member(self, name: str, client: int, peer: int, peers: str, state: str = "new") -> Member:
        folder, url = self.directory, f"https://{HOST}:{client}"
        for file, content in zip(("pem", "key"), self._certified(Role.ETCD, name), strict=True):
            (folder / f"{name}.{file}").write_bytes(content)
        ca, certificate, key = folder / "ca.pem", folder / f"{name}.pem", folder / f"{name}.key"
        arguments: dict[str, object] = {
            "name": name,
            "data-dir": folder / name,
            "listen-client-urls": url,
            "advertise-client-urls": url,
            "listen-peer-urls": f"https://{HOST}:{peer}",
            "initial-advertise-peer-urls": f"https://{HOST}:{peer}",
            "initial-cluster": peers,
            "initial-cluster-state": state,
            **{f"{side}trusted-ca-file": ca for side in ("", "peer-")},
            **{f"{side}cert-file": certificate for side in ("", "peer-")},
            **{f"{side}key-file": key for side in ("", "peer-")},
            "logger": "zap",
        }
        told = [part for option, value in arguments.items() for part in (f"--{option}", str(value))]
        command = ("etcd", *told, "--client-cert-auth", "--peer-client-cert-auth", *self.more)
        daemon = Daemon(name, command, folder / f"{name}.log", lambda: self._status(url) is not None)
        return Member(name, client, peer, daemon)

    def start(self) -> None:
        """Start all members and wait until they have a leader."""
        for member in self.members:
            member.daemon.start(wait=False)
        for member in self.members:
            member.daemon.await_ready()
        self.leader()

    def remove(self) -> None:
        """End everything and leave no file."""
        for member in self.members:
            if member.daemon.running:
                member.go_on()
                member.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def restore(self) -> None:
        """Have all members run again, and agree."""
        for member in self.members:
            if member.daemon.running:
                member.go_on()
            else:
                member.daemon.start(wait=False)
        for member in self.members:
            member.daemon.await_ready()
        self.leader()

    @property
    def endpoints(self) -> list[str]:
        """Of all members."""
        return [member.endpoint for member in self.members]

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        context.load_cert_chain(self.directory / "client.pem", self.directory / "client.key")
        return context

    def ask(self, endpoint: str, method: str, body: Any) -> Any:
        """What a member answers; ``None`` when it does not within a second."""
        request = urllib.request.Request(f"{endpoint}/v3/{method}", msgspec.json.encode(body), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=1.0, context=self._context()) as answer:
                return msgspec.json.decode(answer.read())
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def _status(self, endpoint: str) -> Any:
        status = self.ask(endpoint, "maintenance/status", {})
        return status if status and status.get("leader") else None

    def leader(self) -> Member:
        """The member that leads, by what those say that answer; waits for one."""
        found: list[Member] = []

        def agreed() -> bool:
            for member in self.members:
                status = self._status(member.endpoint)
                if status and status["leader"] == status["header"]["member_id"]:
                    found.append(member)
                    return True
            return False

        await_true("etcd has a leader", agreed)
        return found[0]

    def followers(self) -> list[Member]:
        """The others."""
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def connect(
        self, reactor: Any, endpoints: Sequence[str] = ()
    ) -> tuple[Gateway, Callable[[], Deferred[Any]]]:
        """See `twisted_rapi.state.etcd_gateway.connect`."""
        return connect(reactor, endpoints or self.endpoints, self.keys)

    async def store(
        self, reactor: Any, prefix: str = "", endpoints: Sequence[str] = (), **more: Any
    ) -> EtcdStore:
        """A store below a prefix, by default one of its own."""
        gateway, end = self.connect(reactor, endpoints)
        return await open_etcd(gateway, reactor, uuid4().hex, prefix or f"/{uuid4()}", end=end, **more)
