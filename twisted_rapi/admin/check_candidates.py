"""What ``rapi-admin check`` finds of the candidates of a cluster in etcd, as seen from one of them."""

from collections.abc import Iterator, Mapping

from twisted_rapi import __version__
from twisted_rapi.admin.check_address import Line
from twisted_rapi.admin.check_etcd import Looked
from twisted_rapi.alike import unlike
from twisted_rapi.model.mastership import CandidateRecord
from twisted_rapi.model.records import NodeRecord
from twisted_rapi.plan.succession import may_be_master


def check_candidates(here: str, looked: Looked, alike: Mapping[str, str]) -> Iterator[Line]:
    """
    Look at who can be master, and whether that would make a difference.

    :param here: name of this machine's node.
    :param alike: digests of what this machine's files say (`twisted_rapi.alike.digests`).
    """
    nodes = {node.uuid: node for node in looked.nodes}
    there = {record.uuid: record for record in looked.candidates if record.uuid in nodes}
    yield from _presence(nodes, there, looked.master)
    for uuid, record in sorted(there.items(), key=lambda item: nodes[item[0]].name):
        yield from _candidate(nodes[uuid], record)
        if nodes[uuid].name == here:
            yield from _restart(record, alike)
    yield from _differences(here, nodes, there, looked.master, alike)


def _presence(
    nodes: Mapping[str, NodeRecord], there: Mapping[str, CandidateRecord], master: str
) -> Iterator[Line]:
    silent = sorted(n.name for n in nodes.values() if n.uuid not in there and may_be_master(n))
    if not there:
        yield "candidates", True, f"rapi runs on none of {', '.join(silent)} at present"
        return
    if master in nodes:
        yield "master", True, nodes[master].name
    else:
        yield "master", False, "there is none, though rapi runs: see its log, and what is said of etcd here"
    able = sorted(nodes[uuid].name for uuid in there if may_be_master(nodes[uuid]))
    text = f"rapi runs on {', '.join(able) or 'none that may be master'}"
    if silent:
        text += f"; not on {', '.join(silent)}"
    if len(able) < 2:
        text += "; nobody follows when it is lost: start rapi on another one (rapi-admin join --candidate)"
    yield "candidates", len(able) > 1, text


def _candidate(node: NodeRecord, record: CandidateRecord) -> Iterator[Line]:
    what = f"candidate {node.name}"
    if not may_be_master(node):
        yield what, False, "rapi runs, but the node is no master candidate, or it is offline or drained"
    if record.version != __version__:
        yield what, False, f"it runs version {record.version}, this machine has {__version__}: update one"
    else:
        yield what, True, f"version {record.version}"


def _restart(record: CandidateRecord, alike: Mapping[str, str]) -> Iterator[Line]:
    if changed := unlike(alike, record.alike):
        text = f"{', '.join(changed)} changed after it began; restart rapi"
        yield "configuration in use", False, text


def _differences(
    here: str,
    nodes: Mapping[str, NodeRecord],
    there: Mapping[str, CandidateRecord],
    master: str,
    alike: Mapping[str, str],
) -> Iterator[Line]:
    """The master is compared with all others; any other machine with the master."""
    ours = master in nodes and nodes[master].name == here
    for uuid, record in sorted(there.items(), key=lambda item: nodes[item[0]].name):
        name = nodes[uuid].name
        if name == here or (not ours and uuid != master):
            continue
        what = f"files alike with {name}" + ("" if ours else ", the master")
        if not record.alike:
            yield what, True, "not known: it runs a release that does not say, or has just begun"
        elif different := unlike(alike, record.alike):
            text = f"{', '.join(different)} are not as there"
            mend = "rapi-admin user distribute where they are right; mend rapi.toml and restart rapi"
            yield what, False, f"{text}: {mend}"
        else:
            yield what, True, "users, tokens, fencing and settings"
