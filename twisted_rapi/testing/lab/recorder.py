"""
What happens in a lab, from outside of its daemons: ``python -m … DIRECTORY HISTORY``, until SIGTERM.

It follows the store by a watch of etcd from the store's first revision on, who has the floating address by
the kernel's own messages, and which machines run by what the hypervisors keep.
"""

import json
import re
import sys
import threading
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from twisted_rapi.errors import StoreError
from twisted_rapi.model.mastership import ElectionRecord
from twisted_rapi.model.records import JobRecord, NodeRecord, job_status
from twisted_rapi.state.codec import decode
from twisted_rapi.state.etcd_wire import Space, packed
from twisted_rapi.testing.lab.addresses import Addresses
from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.attending import attend
from twisted_rapi.testing.lab.history import AnyEvent, Committed, Held, JobSeen, Ran, note
from twisted_rapi.testing.lab.lab import Lab
from twisted_rapi.testing.lab.layout import Place
from twisted_rapi.testing.lab.load import mark_of
from twisted_rapi.testing.lab.removal import processes

PREFIX = "/twisted_rapi"
PAUSE = 0.2  # seconds between looks at what runs
_TOLD = frozenset(cls.KIND for cls in (NodeRecord, ElectionRecord, JobRecord))
_GUEST = re.compile(r"\0guest=([^,\0]+)")
_NAME = re.compile(r"load-\d+-\d+-\d+t?(?:\.example\.com)?")


def marks_of(job: JobRecord) -> tuple[str, ...]:
    """What a job of the load can be known by."""
    found = {mark_of(op.input["OP_ID"], name) for op in job.ops for name in _names(op.input)}
    return tuple(sorted(found))


def _names(opcode: Mapping[str, Any]) -> Iterable[str]:
    """What the load called it: the tag, where it is about one."""
    about = opcode.get("tags") or [opcode.get("instance_name") or ""]
    return [name for name in about if _NAME.fullmatch(name)]


class Reader:
    """Makes events of what a watch of etcd tells."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self._space = Space.of(prefix)
        self._nodes: dict[str, str] = {}

    @property
    def everything(self) -> dict[str, str]:
        """The keys to watch."""
        return {"key": packed(self._space.prefix), "range_end": packed(self._space.end)}

    def commits(self, told: Mapping[str, Any], at: float) -> list[Committed]:
        """The transactions of one message."""
        found: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for event in told.get("result", {}).get("events", ()):
            found[int(event["kv"]["mod_revision"])].append(event)
        return [self._commit(revision, events, at) for revision, events in sorted(found.items())]

    def _commit(self, revision: int, events: Iterable[Mapping[str, Any]], at: float) -> Committed:
        puts: dict[str, bytes] = {}
        deleted, writer = set[str](), ""
        for event in events:
            place = b64decode(event["kv"]["key"])
            if self._space.is_mark(place):
                writer = place.rpartition(b"/")[2].decode()
            key = self._space.key(place)
            if key is None:
                continue
            if event.get("type") == "DELETE":
                deleted.add(key)
            else:
                puts[key] = b64decode(event["kv"].get("value", ""))
        return self._read(Committed(at=at, revision=revision, writer=writer), puts, deleted)

    def _read(self, bare: Committed, puts: Mapping[str, bytes], deleted: set[str]) -> Committed:
        kinds = {key.partition("/")[0] for key in (*puts, *deleted)}
        jobs, term, node = dict[int, JobSeen](), None, ""
        for key, value in puts.items():
            if key.partition("/")[0] not in _TOLD:
                continue
            match decode(key, value):
                case NodeRecord() as record:
                    self._nodes[record.uuid] = record.name
                case ElectionRecord() as record:
                    term, node = record.term, record.node
                case JobRecord() as record:
                    jobs[record.id] = JobSeen(job_status(record), marks_of(record))
        archived = {key.partition("/")[2] for key in puts if key.startswith("archive/")}
        removed = {key.partition("/")[2] for key in deleted if key.startswith("job/")}
        return Committed(
            at=bare.at,
            revision=bare.revision,
            writer=bare.writer,
            kinds=tuple(sorted(kinds)),
            term=term,
            node=self._nodes.get(node, node),
            jobs=jobs,
            gone=tuple(sorted(int(number) for number in removed - archived)),
        )


def simulated(node: Place) -> Iterator[str]:
    """The simulated machines that run on a node."""
    for file in (node.folder / "state" / "fake").glob("*.json"):
        try:
            seen = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if seen["state"] in ("running", "paused"):
            yield seen["name"]


def guests(node: Place) -> Iterator[str]:
    """The real machines that run on a node: processes of QEMU, which have ``-name guest=NAME,…``."""
    for pid in processes(node.namespace):
        try:
            told = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if found := _GUEST.search(told):
            yield found[1]


class Recorder:
    """The threads that look."""

    def __init__(self, lab: Lab, out: IO[bytes]) -> None:
        self._lab, self._out, self._turn = lab, out, threading.Lock()
        self.over = threading.Event()

    def _note(self, event: AnyEvent) -> None:
        with self._turn:
            note(event, self._out)

    def run(self) -> None:
        """Look until it is over."""
        work = [self._follow, self._look, *([self._watch_address] if self._lab.layout.floating else [])]
        threads = [threading.Thread(target=target) for target in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _follow(self) -> None:
        """The store, from its first revision to the one it has when it is over."""
        reader, gateway, next_revision = Reader(), self._lab.gateway(), 1
        last: int | None = None
        while last is None or next_revision <= last:
            create = {**reader.everything, "start_revision": str(next_revision)}
            try:
                for told in gateway.stream("watch", {"create_request": create}):
                    for commit in reader.commits(told, time.monotonic()):
                        self._note(commit)
                        next_revision = commit.revision + 1
                    if self.over.is_set():
                        break
            except (Silence, StoreError):
                time.sleep(PAUSE)
            if self.over.is_set() and last is None:
                last = self._newest(reader)

    def _newest(self, reader: Reader) -> int | None:
        """The revision at which the store was changed last."""
        asked = {**reader.everything, "limit": "1", "sort_order": "DESCEND", "sort_target": "MOD"}
        try:
            answer = self._lab.gateway().ask("kv/range", asked)
        except Silence:
            return None
        return int(answer["kvs"][0]["mod_revision"])

    def _look(self) -> None:
        """Which machines run where, whenever that has changed."""
        before: dict[str, set[str]] = {}
        while not self.over.wait(PAUSE):
            # Who runs in two looks with one at the others between them ran while those did.
            first = self._running()
            second = self._running()
            certain = {name: nodes & second.get(name, set()) for name, nodes in first.items()}
            for name, nodes in certain.items():
                if before.get(name) != nodes:
                    at = time.monotonic()
                    self._note(Ran(at=at, instance=name, nodes=tuple(sorted(nodes))))
            before = certain

    def _running(self) -> dict[str, set[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        look = guests if self._lab.layout.guests else simulated
        for node in self._lab.layout.nodes:
            for name in look(node):
                found[name].add(node.name)
        return found

    def _watch_address(self) -> None:
        layout = self._lab.layout
        addresses = Addresses({node.name: node.namespace for node in layout.nodes})
        before: tuple[str, ...] | None = None
        while not self.over.is_set():
            holders = addresses.holders(layout.floating_address)
            if holders != before:
                self._note(Held(at=time.monotonic(), nodes=holders))
            before = holders
            addresses.await_change(PAUSE)
        addresses.close()


if __name__ == "__main__":
    attend(Recorder, *sys.argv[1:])
