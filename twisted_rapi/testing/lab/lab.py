"""The lab as a whole: set up, started, asked, mended, taken down."""

import json
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import attrs

from twisted_rapi.state.etcd_wire import packed
from twisted_rapi.testing.lab.asking import Answer, Asker, Gateway, Silence
from twisted_rapi.testing.lab.commands import LabError, inside, run, within
from twisted_rapi.testing.lab.cutting import Cut
from twisted_rapi.testing.lab.daemons import KINDS, LabDaemon, clock_file, daemons_of
from twisted_rapi.testing.lab.founding import (
    USER,
    found_lab,
    keys,
    libvirt_sockets,
    move_to_etcd,
    password_of,
)
from twisted_rapi.testing.lab.layout import Layout, Place
from twisted_rapi.testing.lab.network import Network
from twisted_rapi.testing.lab.removal import remove
from twisted_rapi.testing.libvirtd import LibvirtDaemon
from twisted_rapi.testing.processes import await_true

DISK = "192m"
"""Of each member of etcd: it takes two thirds of it at once for its log."""

FILLER = "filler"
BALLAST = 1 << 20  # bytes
_Result = TypeVar("_Result")


@attrs.define(eq=False)
class Lab:
    """One lab.  All that it does blocks."""

    layout: Layout
    network: Network = attrs.field(init=False)
    daemons: dict[tuple[str, str], LabDaemon] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.network, self.daemons = Network(self.layout), daemons_of(self.layout)

    # From nothing to a cluster, and back.

    def set_up(self) -> None:
        """
        Make the network and found the cluster; nothing is left of it when that fails.

        :raises LabError: it is there, this is not root, or a tool is missing.
        """
        if self.layout.directory.exists():
            raise LabError(f"there is a lab already: {self.layout.directory}")
        self.layout.directory.mkdir(mode=0o711)
        try:
            self._note()
            found_lab(self.layout)
            for node in self.layout.nodes:
                disk = node.folder / "etcd"
                disk.mkdir(mode=0o700)
                run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", self.layout.name, str(disk))
                clock_file(node).write_text("+0")
            self.layout.client.folder.mkdir()
            self.network.set_up()
        except BaseException:
            remove(self.layout.name, self.layout.base)
            raise

    def _note(self) -> None:
        told = {**attrs.asdict(self.layout), "base": str(self.layout.base)}
        (self.layout.directory / "layout.json").write_text(json.dumps(told))

    def start(self) -> None:
        """
        Start everything, and wait until the master has heard of all nodes.

        :raises LabError: something does not come up.
        """
        self._start("etcd")
        self.etcd_leader()
        move_to_etcd(self.layout)
        self._start_libvirt()
        self._start("agent", "rapi")
        await_true("the master has heard of all nodes", self.complete, 60)

    def _start_libvirt(self) -> None:
        for node in self.layout.nodes if self.layout.guests else ():
            daemon = libvirt_of(node)
            if not daemon.answers():
                daemon.start()

    def _start(self, *kinds: str) -> None:
        wanted = [self.daemons[node.short, kind] for kind in kinds for node in self.layout.nodes]
        for daemon in wanted:
            daemon.start()
        for daemon in wanted:
            daemon.await_ready()

    def remove(self) -> None:
        """End everything, and leave nothing."""
        remove(self.layout.name, self.layout.base)

    # Asking.

    def as_client(self, work: Callable[[], _Result]) -> _Result:
        """What `work` answers in the client's namespace."""
        return within(self.layout.client.namespace, work)

    def ask(self, method: str, path: str, body: Any = None, patience: float = 10.0) -> Answer:
        """
        What the API answers that is neither silence nor 503, from whichever address; each is asked once.

        :raises Silence: none answers so.
        """
        return self.as_client(lambda: self._ask(method, path, body, patience))

    def _ask(self, method: str, path: str, body: Any, patience: float) -> Answer:
        said = []
        for address in self.layout.addresses:
            asker = self.asker(address, patience)
            try:
                answer = asker.ask(method, path, body)
            except Silence as e:
                said.append(str(e))
                continue
            finally:
                asker.close()
            if answer.status != 503:
                return answer
            said.append(f"{address}: 503")
        raise Silence("; ".join(said))

    def asker(self, address: str, patience: float) -> Asker:
        """A client at one address, to be used in the client's namespace."""
        authority = self.layout.directory / "founding" / "ca.pem"
        return Asker(address, authority, USER, password_of(self.layout), patience)

    def read(self, path: str) -> Any:
        """What the API answers to a read; ``None`` when it does not."""
        try:
            answer = self.ask("GET", path, patience=3.0)
        except Silence:
            return None
        return answer.body if answer.status == 200 else None

    def complete(self) -> bool:
        """Whether there is a master that has heard of every node."""
        nodes = self.read("/2/nodes?bulk=1")
        return nodes is not None and all(node["mtotal"] is not None for node in nodes)

    def master(self) -> Place:
        """
        The master's node; waits for one.

        :raises TimeoutError: there is none for long.
        """
        found: list[Any] = []

        def known() -> bool:
            found[:] = [self.read("/2/info")]
            return found[0] is not None

        await_true("there is a master", known, 60)
        return self.layout.node(found[0]["master"])

    def followers(self) -> list[Place]:
        """The other nodes."""
        master = self.master()
        return [node for node in self.layout.nodes if node != master]

    def gateway(self) -> Gateway:
        """Etcd, to be used in the client's namespace."""
        return Gateway([node.address for node in self.layout.nodes], keys(self.layout))

    def etcd_leader(self) -> Place:
        """
        The node of etcd's leader; waits for one.

        :raises TimeoutError: there is none for long.
        """
        found: list[Place] = []

        def known() -> bool:
            found[:] = self.as_client(self._leaders)
            return bool(found)

        await_true("etcd has a leader", known, 60)
        return found[0]

    def _leaders(self) -> list[Place]:
        gateway = self.gateway()
        return [node for node in self.layout.nodes if _leads(gateway, node)]

    def etcd_follows(self) -> bool:
        """Whether all members of etcd have one leader, and what it had a moment ago."""
        before, now = (self.as_client(self._statuses) for _ in range(2))
        if not all((*before, *now)):
            return False
        newest = max(int(status["raftAppliedIndex"]) for status in before)
        leaders = {status.get("leader") for status in now}
        return len(leaders) == 1 and all(int(status["raftAppliedIndex"]) >= newest for status in now)

    def _statuses(self) -> list[Any]:
        gateway = self.gateway()
        return [_status(gateway, node) for node in self.layout.nodes]

    # Faults.

    def cut(self, *cuts: Iterable[Cut]) -> None:
        """Have these in force besides those that are."""
        file = self.layout.directory / "cuts.json"
        before = json.loads(file.read_text()) if file.exists() else []
        now = {Cut(a, b, tuple(ports), share) for a, b, ports, share in before}.union(*cuts)
        self.network.cut(now)
        file.write_text(json.dumps([attrs.astuple(cut) for cut in sorted(now)]))

    def clock(self, node: Place, seconds: float) -> None:
        """
        Have the time of day of a node's daemons differ by so much.

        :raises LabError: the lab was not set up for that.
        """
        if not self.layout.clocks:
            raise LabError("the lab was set up without clocks that can be set")
        clock_file(node).write_text(f"{seconds:+g}")

    def fill_disk(self, node: Place) -> None:
        """
        Leave no room on the disk of a node's member of etcd, and have it find that out.

        :raises TimeoutError: it does not.
        """
        with (node.folder / "etcd" / FILLER).open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    continue
        etcd = self.daemons[node.short, "etcd"]
        await_true("etcd has found its disk full", lambda: self._written() and not etcd.pids(), 30)

    def _written(self) -> bool:
        """Have every member's disk written to, apart from what is the cluster's."""
        content = packed(os.urandom(BALLAST))
        try:
            self.as_client(
                lambda: self.gateway().ask("kv/put", {"key": packed(b"/ballast"), "value": content})
            )
        except Silence:
            return False
        return True

    def mend(self) -> None:
        """
        End all faults, and wait until everything runs and there is a master that hears all nodes.

        :raises LabError: something does not come up.
        :raises TimeoutError: there is no such master for long.
        """
        self.repair()
        await_true("the master has heard of all nodes", self.complete, 60)

    def repair(self) -> None:
        """
        End all faults, and wait until everything runs.

        :raises LabError: something does not come up.
        """
        (self.layout.directory / "cuts.json").unlink(missing_ok=True)
        self.network.restore()
        for node in self.layout.nodes:
            (node.folder / "etcd" / FILLER).unlink(missing_ok=True)
            clock_file(node).write_text("+0")
        for daemon in self.daemons.values():
            daemon.tell(signal.SIGCONT)
        self._start_libvirt()
        self._start(*KINDS)
        self.etcd_leader()


def _status(gateway: Gateway, node: Place) -> Any:
    """What a member of etcd says of itself; ``None`` where it does not answer."""
    try:
        return gateway.ask("maintenance/status", {}, node.address)
    except Silence:
        return None


def _leads(gateway: Gateway, node: Place) -> bool:
    status = _status(gateway, node)
    return bool(status and status.get("leader")) and status["leader"] == status["header"]["member_id"]


def libvirt_of(node: Place) -> LibvirtDaemon:
    """A node's libvirtd."""
    return LibvirtDaemon(node.folder / "libvirt", node.short, inside(node.namespace), libvirt_sockets(node))


def opened(layout: Layout) -> Lab:
    """
    A lab that another process set up.

    :raises LabError: there is none.
    """
    file = layout.directory / "layout.json"
    try:
        noted = json.loads(file.read_text())
    except OSError as e:
        raise LabError(f"there is no lab {layout.name}; make lab sets one up") from e
    return Lab(Layout(**{**noted, "base": layout.base}))
