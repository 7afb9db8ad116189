"""Which locks go with which objects (locks_hooks.tsv); families of opcodes say theirs with these."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.stage import Progress, Stage
from twisted_rapi.plan.view import View

PlanFunction = Callable[[Any, Progress, View], Stage]
LockFunction = Callable[[Any, View], Iterable[Lock]]


def named(view: View, name: str) -> str:
    """The full name of an instance; one that does not exist (yet) is called as given."""
    uuid = view.find("instance", name)
    return new_name(name) if uuid is None else view.instances[uuid].name


def new_name(name: str) -> str:
    """The name a new instance will have: never short for another's."""
    return name.lower().removesuffix(".")


def nodes_of(view: View, name: str) -> list[str]:
    """The uuids of an instance's nodes, primary first; none for an unknown one."""
    uuid = view.find("instance", name)
    if uuid is None:
        return []
    record = view.instances[uuid]
    return [record.primary_node, *record.secondary_nodes]


def of_instance(view: View, name: str, nodes: bool = False, resources: bool = False) -> Iterator[Lock]:
    """The lock of an instance, and where asked those of its nodes and their resources."""
    yield Lock("instance", named(view, name))
    for node in nodes_of(view, name):
        if nodes:
            yield Lock("node", node)
        if resources:
            yield Lock("node-res", node)


def volume_lock(kind: str, place: str) -> Lock:
    """
    That of what a disk is made of, whoever has the disk.

    :param kind: ``rbd``, ``file`` or ``block``; `place` is ``pool/image`` or a path.
    """
    return Lock("cluster", f"volume/{kind}/{place}")
