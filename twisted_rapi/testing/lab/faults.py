"""The faults of a lab, by name; what each does, to whom, and what it needs."""

import signal
from collections.abc import Callable

import attrs

from twisted_rapi.testing.lab.commands import LabError
from twisted_rapi.testing.lab.cutting import EVERYONE, Cut, between
from twisted_rapi.testing.lab.founding import admin, config_of
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import ETCD, PEER, Place
from twisted_rapi.testing.lab.removal import end_all

DELAY, JITTER, LOSS, JUMP = 0.04, 0.02, 5, 3600.0
"""Seconds that a packet takes longer each way, and how much more or less; percent lost; seconds of a jump."""

_ETCD_PORTS = (ETCD, PEER)


def kill(lab: Lab, node: Place, kind: str) -> None:
    """kill -9 of a daemon."""
    lab.daemons[node.short, kind].end()


def freeze(lab: Lab, node: Place) -> None:
    """SIGSTOP of a node's ``rapi``."""
    lab.daemons[node.short, "rapi"].tell(signal.SIGSTOP)


def thaw(lab: Lab, _: Place) -> None:
    """SIGCONT of every ``rapi``: who was frozen is no longer master."""
    for node in lab.layout.nodes:
        lab.daemons[node.short, "rapi"].tell(signal.SIGCONT)


def lose(lab: Lab, node: Place) -> None:
    """The machine is off: its link and all of its processes go at once."""
    lab.network.plug(node, False)
    end_all(node.namespace)


def unplug(lab: Lab, node: Place) -> None:
    """The machine's link is gone; it runs on."""
    lab.network.plug(node, False)


def _split(lab: Lab, _: Place) -> None:
    names = [node.port for node in lab.layout.nodes]
    lab.cut(between(names, names, _ETCD_PORTS))


def _loss(lab: Lab, node: Place) -> None:
    lab.cut([Cut(node.port, EVERYONE, (), LOSS), Cut(EVERYONE, node.port, (), LOSS)])


def master_of(lab: Lab) -> Place:
    """The master's node."""
    return lab.master()


def etcd_leader_of(lab: Lab) -> Place:
    """The node of etcd's leader."""
    return lab.etcd_leader()


def follower_of(lab: Lab) -> Place:
    """A node that is neither the master's nor, if there is another, that of etcd's leader."""
    followers, leader = lab.followers(), lab.etcd_leader()
    return next((node for node in followers if node != leader), followers[0])


@attrs.frozen
class Fault:
    """
    :ivar about: what happens to the node.
    :ivar whom: which node, when none is named.
    :ivar clocks: whether the lab has to have clocks that can be set.
    """

    about: str
    cause: Callable[[Lab, Place], object]
    whom: Callable[[Lab], Place] = master_of
    clocks: bool = False


FAULTS = {
    "switch-master": Fault(
        "no fault: rapi-admin failover hands the mastership over",
        lambda _, node: admin(node, "failover", "--config", str(config_of(node))),
    ),
    "kill-master": Fault("kill -9 of twistd rapi", lambda lab, node: kill(lab, node, "rapi")),
    "stop-master": Fault(
        "twistd rapi is asked to end", lambda lab, node: lab.daemons[node.short, "rapi"].end(signal.SIGTERM)
    ),
    "freeze-master": Fault("SIGSTOP of twistd rapi (thaw-master: SIGCONT)", freeze),
    "thaw-master": Fault("SIGCONT of every twistd rapi", thaw, lambda lab: lab.layout.nodes[0]),
    "lose-master": Fault("its link and all its processes go at once", lose),
    "lose-node": Fault("the same, of a node without the master", lose, follower_of),
    "unplug-node": Fault("the link of a node without the master is gone; it runs on", unplug, follower_of),
    "kill-agent": Fault(
        "kill -9 of twistd rapi-agent", lambda lab, node: kill(lab, node, "agent"), follower_of
    ),
    "kill-etcd": Fault("kill -9 of etcd's leader", lambda lab, node: kill(lab, node, "etcd"), etcd_leader_of),
    "freeze-etcd": Fault(
        "SIGSTOP of etcd's leader",
        lambda lab, node: lab.daemons[node.short, "etcd"].tell(signal.SIGSTOP),
        etcd_leader_of,
    ),
    "cut-master": Fault(
        "nothing reaches it and nothing leaves it",
        lambda lab, node: lab.cut(between([node.port], [EVERYONE])),
    ),
    "mute-master": Fault("nothing leaves it", lambda lab, node: lab.cut([Cut(node.port, EVERYONE)])),
    "deaf-master": Fault("nothing reaches it", lambda lab, node: lab.cut([Cut(EVERYONE, node.port)])),
    "cut-master-etcd": Fault(
        "it is cut off from the etcd of others, not from clients",
        lambda lab, node: lab.cut(between([node.port], [EVERYONE], _ETCD_PORTS)),
    ),
    "cut-etcd": Fault(
        "etcd's leader is cut off from its members",
        lambda lab, node: lab.cut(between([node.port], [EVERYONE], _ETCD_PORTS)),
        etcd_leader_of,
    ),
    "mute-etcd": Fault(
        "nothing of etcd's leader reaches its members; what they say reaches it",
        lambda lab, node: lab.cut([Cut(node.port, EVERYONE, _ETCD_PORTS)]),
        etcd_leader_of,
    ),
    "split-etcd": Fault("no two members of etcd hear each other: there is no majority", _split),
    "delay-master": Fault(
        f"packets take {DELAY * 1000:g} ± {JITTER * 1000:g} ms longer each way",
        lambda lab, node: lab.network.delay(node, DELAY, JITTER),
    ),
    "lossy-master": Fault(f"{LOSS} % of the packets are lost each way", _loss),
    "clock-forward": Fault(
        "its daemons' time of day is an hour ahead", lambda lab, node: lab.clock(node, JUMP), clocks=True
    ),
    "clock-back": Fault(
        "its daemons' time of day is an hour behind", lambda lab, node: lab.clock(node, -JUMP), clocks=True
    ),
    "full-disk": Fault("the disk of its etcd is full", lambda lab, node: lab.fill_disk(node), follower_of),
}


def found(lab: Lab, name: str, node: str = "") -> tuple[Fault, Place]:
    """
    A fault, and whom it is to be caused to.

    :raises LabError: there is no such fault or node, or this lab cannot cause it.
    """
    fault = FAULTS.get(name)
    if fault is None:
        raise LabError(f"no fault is called {name}; there are {', '.join(FAULTS)}")
    if fault.clocks and not lab.layout.clocks:
        raise LabError(f"{name}: the lab was set up without --clocks")
    try:
        return fault, lab.layout.node(node) if node else fault.whom(lab)
    except KeyError as e:
        raise LabError(f"there is no node {node}") from e
