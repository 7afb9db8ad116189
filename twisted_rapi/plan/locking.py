"""Which locks go with which objects (locks_hooks.tsv); families of opcodes say theirs with these."""

from collections.abc import Iterator

from twisted_rapi.plan.locks import Lock
from twisted_rapi.plan.view import View


def named(view: View, name: str) -> str:
    """The full name of an instance; one that does not exist (yet) is called as given."""
    uuid = view.find("instance", name)
    return new_name(name) if uuid is None else view.instances[uuid].name


def new_name(name: str) -> str:
    """The name a new instance will have: never short for another's."""
    return name.lower().removesuffix(".")


def nodes_of(view: View, name: str) -> list[str]:
    uuid = view.find("instance", name)
    if uuid is None:
        return []
    record = view.instances[uuid]
    return [record.primary_node, *record.secondary_nodes]


def of_instance(view: View, name: str, nodes: bool = False, resources: bool = False) -> Iterator[Lock]:
    yield Lock("instance", named(view, name))
    for node in nodes_of(view, name):
        if nodes:
            yield Lock("node", node)
        if resources:
            yield Lock("node-res", node)
