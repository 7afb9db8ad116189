"""A whole cluster on this machine: a master and agents as processes, over TLS on loopback."""

import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from twisted_rapi.admin.files import set_user
from twisted_rapi.admin.founding import ClusterPlan, NodePlan, found
from twisted_rapi.testing.nursery import Nursery
from twisted_rapi.testing.processes import Daemon, DidNotStart, await_true, free_port, twistd

_AGENT = """\
listen = "127.0.0.1:{port}"
state_dir = "state"
log_dir = "log"
hypervisors = ["{hypervisor}"]
file_storage_dir = "{files}"
shared_file_storage_dir = "{shared}"
export_dir = "export"
os_search_path = []
log_file = "agent.log"
{more}
"""

_SIMULATED = """
[simulated]
memory = 65536
cpus = 16
disk = 1048576
bridges = ["br0"]
shared_dir = "../shared-volumes"
"""

_MASTER = """\
[api]
listen = "127.0.0.1:{port}"

[store]
path = "{store}"

[proxy]
listen = ""

[metrics]
listen = "127.0.0.1:{metrics}"

[log]
file = "rapi.log"
"""


@attrs.define
class LocalCluster:
    """
    A cluster below one directory.

    :ivar more: further lines of every ``agent.toml``; simulated machines by default.
    :ivar environment: of the master.
    :ivar nursery: what starts its daemons, where that is to be fast; ended with it.
    """

    directory: Path
    nodes: int = 3
    port: int = attrs.field(factory=free_port)
    hypervisor: str = "fake"
    more: str = _SIMULATED
    environment: Mapping[str, str] = attrs.field(factory=dict)
    domain: str = "example.com"
    nursery: Nursery | None = None
    master: Daemon = attrs.field(init=False)
    agents: list[Daemon] = attrs.field(init=False, factory=list)

    @property
    def config(self) -> Path:
        """The folder of the master's configuration."""
        return self.directory / "master"

    def set_up(self) -> None:
        """Found the cluster, unless it has been before."""
        ports = [free_port() for _ in range(self.nodes + 1)]
        if not (self.config / "rapi.toml").exists():
            self._found(ports)
        self._set_port()
        self.master = Daemon(
            "rapi",
            twistd("rapi", self.config / "rapi.toml", self.config),
            self.config / "twistd.log",
            self.ready,
            self.environment,
            self.nursery,
        )
        self.agents = [self._agent(n) for n in range(1, self.nodes + 1)]

    def _found(self, ports: list[int]) -> None:
        files, shared = self.directory / "file-storage", self.directory / "shared-file-storage"
        plans = [
            NodePlan(
                name=f"node{n}.{self.domain}",
                address="127.0.0.1",
                port=ports[n],
                directory=self.directory / f"node{n}",
                settings=_AGENT.format(
                    port=ports[n], hypervisor=self.hypervisor, files=files, shared=shared, more=self._more(n)
                ),
            )
            for n in range(1, self.nodes + 1)
        ]
        plan = ClusterPlan(
            name=f"cluster.{self.domain}",
            directory=self.config,
            store=self.directory / "state.db",
            nodes=plans,
            settings=_MASTER.format(port=self.port, store=self.directory / "state.db", metrics=ports[0]),
            hypervisor=self.hypervisor,
            file_storage_dir=str(files),
            shared_file_storage_dir=str(shared),
        )
        found(plan)

    def _more(self, n: int) -> str:
        """All nodes are on one machine: a simulated Ceph has to know them by other names."""
        return self.more.replace("[simulated]\n", f'[simulated]\nhost = "node{n}"\n', 1)

    def _set_port(self) -> None:
        """The address may be another one than when the cluster was founded."""
        file = self.config / "rapi.toml"
        lines = file.read_text(encoding="utf-8").splitlines()
        at = lines.index("[api]") + 1
        lines[at] = f'listen = "127.0.0.1:{self.port}"'
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _agent(self, n: int) -> Daemon:
        folder = self.directory / f"node{n}"
        log = folder / "agent.log"
        command = twistd("rapi-agent", folder / "agent.toml", folder)

        def ready() -> bool:
            return log.exists() and "the agent listens" in log.read_text(errors="replace")

        return Daemon(f"node{n}", command, folder / "twistd.log", ready, nursery=self.nursery)

    def add_user(self, name: str, password: str, options: str = "write") -> None:
        """Let a user in."""
        set_user(self.config / "users", name, password, options)

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"https://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        """Whether the API answers."""
        return self._read("/2/info") is not None

    def await_nodes(self, seconds: float = 30.0) -> None:
        """
        Wait until the master has heard of every node.

        :raises DidNotStart: of one it has not in time.
        """
        try:
            await_true("the master has heard of all nodes", lambda: not self._silent(), seconds)
        except TimeoutError as e:
            silent = ", ".join(self._silent())
            raise DidNotStart(f"{e}: {silent}; see the logs below {self.directory}") from e

    def _silent(self) -> list[str]:
        """The nodes the master has not heard of."""
        nodes = self._read("/2/nodes?bulk=1")
        return ["any"] if nodes is None else [node["name"] for node in nodes if node["mtotal"] is None]

    def _read(self, path: str) -> Any:
        """What the API answers, ``None`` when it does not."""
        context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=2, context=context) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return None

    def start(self) -> None:
        """Start everything and wait until it can be used."""
        for daemon in (*self.agents, self.master):
            daemon.start(wait=False)
        for daemon in (*self.agents, self.master):
            daemon.await_ready()

    def stop(self) -> None:
        """End everything."""
        for daemon in (self.master, *self.agents):
            daemon.stop()

    def remove(self) -> None:
        """End everything and leave no file."""
        self.stop()
        if self.nursery is not None:
            self.nursery.end()
        shutil.rmtree(self.directory, ignore_errors=True)
