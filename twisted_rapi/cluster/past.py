"""What a daemon answers from when nobody can be master: the records it saw last."""

from typing import Any

from twisted_rapi.errors import NoMaster
from twisted_rapi.state.snapshot import Snapshot


class Silent:
    """Knows nothing: whatever is wanted of it needs a master."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoMaster("This needs a master, and there is none at present")


class Past(Silent):
    """
    Stands for `twisted_rapi.cluster.interface.ICluster` with nothing but what is in memory.

    Jobs, locks and changes are the master's: to ask for one raises `NoMaster`.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot, self.nodes = snapshot, Unseen()


class Unseen:
    """`twisted_rapi.rpc.interface.INodes` without any report: all that nodes would tell is unknown."""

    def __init__(self) -> None:
        self.reports: dict[str, Any] = {}

    def observe(self, observer: Any) -> Any:
        """Nothing is ever told."""
        return lambda: None
