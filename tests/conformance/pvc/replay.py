"""Asks the recorded requests again, also those that have no endpoint here, and tells what differs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import attrs

from tests.conformance.pvc import ceph, machines, networks
from tests.conformance.pvc.deliberate import DIFFERENCES
from tests.conformance.pvc.unserved import NOT_SERVED
from tests.conformance.pvc.world import RecordedNodes, make_world
from tests.unit.web.http import Answer, parse
from tests.unit.web.pvc.http import FORM, PvcBrowser
from twisted_rapi.model.machine_xml import root_of
from twisted_rapi.model.safe_xml import write
from twisted_rapi.plan.pvc.dialect import NAMES, Dialect
from twisted_rapi.web.pvc.endpoints import PREFIX
from twisted_rapi.web.pvc.replies import encode

CAPTURES = Path(__file__).with_name("captures")
Name = Literal["seed", "0.6", "1.0"]
FILES: dict[str, Name] = {
    "seed": "seed",
    "seed-auth": "seed",
    "v06": "0.6",
    "v06-auth": "0.6",
    "v1": "1.0",
    "v1-auth": "1.0",
}
MOST_WAITS = 40
# Of machines: what is not there here, or is in another order (tags).
NOT_OF_MACHINES = ("xml", "snapshots", "memory_stats", "vcpu_stats", "vnc", "tags", "failed_reason")

_OF_NODES = {
    "v1": {
        "node-list-coordinator-state": "node-domain-ready",
        "node-list-domain-state": "node-domain-ready",
    }
}


@attrs.frozen
class Capture:
    """A recorded request and its answer."""

    file: str
    name: str
    method: str
    path: str
    query: dict[str, str]
    form: dict[str, str]
    body: str | None
    headers: dict[str, str]
    status: int
    answered: dict[str, str]
    text: str

    def uri(self) -> str:
        """What is asked for."""
        return self.path + (f"?{urlencode(self.query)}" if self.query else "")


def captures(file: str) -> Iterator[Capture]:
    """Those of a file, in order; steps that sent nothing, or got no answer, are left out."""
    for line in (CAPTURES / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        if "request" not in found or "response" not in found:
            continue
        asked, told = found["request"], found["response"]
        yield Capture(
            file=file,
            name=found["name"],
            method=asked["method"],
            path=asked["path"],
            query=asked["query"],
            form=asked["form"],
            body=asked.get("body"),
            headers=asked["headers"],
            status=told["status"],
            answered={name.lower(): value for name, value in told["headers"].items()},
            text=told["body"],
        )


@attrs.frozen
class Verdict:
    """How an answer compares; `reason`: of a deliberate difference."""

    capture: Capture
    differences: tuple[str, ...]
    reason: str = ""


@attrs.define
class Replay:
    """Asks a file's requests again."""

    folder: Path
    verdicts: list[Verdict] = attrs.field(factory=list)
    _made: int = 0
    _free: bool = False

    @property
    def unserved(self) -> int:
        """How many of what was asked there is no endpoint for."""
        reasons = {difference.reason for difference in NOT_SERVED}
        return sum(verdict.reason in reasons for verdict in self.verdicts)

    def play(self, file: str) -> None:
        """Ask them in order; whatever may have changed something is asked of a new cluster."""
        browser, cookie = self._world(file), ""
        asked = {capture.name: capture for capture in captures(file)}
        for capture in asked.values():
            cookie = "" if capture.name == "node-after-logout" else cookie
            free = capture.path.startswith(f"{PREFIX}/storage")
            if capture.method != "GET" and free is not self._free:
                browser.cluster.stop()
                browser = self._world(file, free)
            _prepare(browser, capture)
            first = _first(file, capture.name)
            if first is not None:
                _ask(browser, asked[first], cookie)
            answer = _ask(browser, capture, cookie)
            self.verdicts.append(_judged(capture, answer))
            cookie = answer.headers.get("set-cookie", cookie).partition(";")[0]
            if first is not None or (capture.method != "GET" and "log" not in capture.path):
                browser.cluster.stop()
                browser = self._world(file, self._free)
        browser.cluster.stop()

    def _world(self, file: str, free: bool = False) -> PvcBrowser:
        """A new cluster; `free`: whether volumes are nobody's disks, as the original treats them."""
        self._made, self._free = self._made + 1, free
        return make_world(self.folder / str(self._made), FILES[file], file.endswith("-auth"), free)


def _first(file: str, name: str) -> str | None:
    """The request whose effect this one was asked to show."""
    befores: list[dict[str, dict[str, str]]] = [_OF_NODES, networks.BEFORE, ceph.BEFORE, machines.BEFORE]
    return next((before[file][name] for before in befores if name in before.get(file, {})), None)


def _prepare(browser: PvcBrowser, capture: Capture) -> None:
    """Have happen what happened between two recorded requests."""
    if capture.name == "node-coord-inactive" and isinstance(browser.cluster.nodes, RecordedNodes):
        browser.cluster.nodes.silent = (2, 3)


def _ask(browser: PvcBrowser, capture: Capture, cookie: str) -> Answer:
    data = (capture.body or urlencode(capture.form)).encode()
    headers = {name: value for name, value in capture.headers.items() if name.lower() != "content-type"}
    if cookie:
        headers["Cookie"] = cookie
    sent = browser.waited(capture.method, capture.uri(), data, FORM, MOST_WAITS, **headers)
    return parse(sent)


def _judged(capture: Capture, answer: Answer) -> Verdict:
    for difference in DIFFERENCES:
        if difference.applies(capture.file, capture.name):
            told = () if difference.status == answer.status else (f"status {answer.status}",)
            same = not tuple(_differences(capture, answer))
            return Verdict(capture, (*told, *(("does not differ",) if same else ())), difference.reason)
    return Verdict(capture, tuple(_differences(capture, answer)))


def _differences(capture: Capture, answer: Answer) -> Iterator[str]:
    if answer.status != capture.status:
        yield f"status {answer.status} instead of {capture.status}"
        return
    kinds = [h.get("content-type", "").partition(";")[0] for h in (answer.headers, capture.answered)]
    if kinds[0] != kinds[1]:
        yield f"content type {kinds[0]} instead of {kinds[1]}"
        return
    places = [_path(h.get("location", "")) for h in (answer.headers, capture.answered)]
    if places[0] != places[1]:
        yield f"location {places[0]} instead of {places[1]}"
    cookies = [h.get("set-cookie", "").partition("=")[0] for h in (answer.headers, capture.answered)]
    if cookies[0] != cookies[1]:
        yield f"cookie {cookies[0]!r} instead of {cookies[1]!r}"
    if kinds[1] == "application/json":
        yield from _json_differences(capture, answer)


def _path(location: str) -> str:
    """Where it points to; tasks have other ids."""
    path = location[location.find("/api") :] if "/api" in location else location
    return path.partition("/tasks/")[0] + "/tasks" if "/tasks/" in path else path


def _json_differences(capture: Capture, answer: Answer) -> Iterator[str]:
    dialect = NAMES[FILES[capture.file]]
    wanted, found = json.loads(capture.text), answer.json()
    if encode(dialect, wanted) + b"\n" != capture.text.encode():
        yield "real servers write JSON otherwise"
    if encode(dialect, found) + b"\n" != answer.body:
        yield "it is not written as its dialect has it"
    shown = [_shown(capture, value, dialect) for value in (found, wanted)]
    if shown[0] != shown[1]:
        yield f"{json.dumps(shown[0])[:3000]} instead of {json.dumps(shown[1])[:3000]}"


def _shown(capture: Capture, value: Any, dialect: Dialect) -> Any:
    """What is compared of an answer."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return sorted((_shown(capture, one, dialect) for one in value), key=json.dumps)
    if not isinstance(value, dict):
        return value
    if "xml" in value:
        keys = [*value] if dialect is not Dialect.SEED else sorted(value)
        shown = {name: _of_device(each) for name, each in value.items() if name not in NOT_OF_MACHINES}
        return {"keys": keys, **shown, "xml": _plain(value["xml"])}
    if capture.path == f"{PREFIX}/status" and "primary_node" in value:
        return _of_status(value)
    if "daemon_state" in value and "memory" in value:
        return _of_node(value)
    value = {name: each for name, each in value.items() if not _is_left(value, name)}
    return list(value.items()) if dialect is not Dialect.SEED else value


def _of_device(value: Any) -> Any:
    """Of devices of a machine, what they are but not what went through them."""
    if not isinstance(value, list):
        return value
    devices = [each for each in value if isinstance(each, dict)]
    return [{k: v for k, v in each.items() if k[:3] not in ("rd_", "wr_")} for each in devices] or value


def _plain(xml: str) -> str:
    """A definition without what is noted in it here."""
    root = root_of(xml)
    for disk in root.findall("devices/disk"):
        for serial in disk.findall("serial"):
            disk.remove(serial)
    return write(root)


def _is_left(value: dict[str, Any], name: str) -> bool:
    """What differs by nature: ids of tasks, and what Ceph says that nobody had asked when it was recorded."""
    return name in ("task_id", "fsid") or (name == "stats" and "snapshot" in value)


def _of_status(value: dict[str, Any]) -> Any:
    """Of the whole cluster what there is, and what there is of Ceph."""
    shown: dict[str, Any] = {name: value[name] for name in ("osds", "pools", "volumes", "snapshots")}
    if "detail" in value:
        shown |= {"osd": value["detail"]["osd"], "disk": value["resources"]["disk"]}
    return {"keys": list(value), **shown}


def _of_node(value: dict[str, Any]) -> Any:
    """Of a node that is down no figures, and what depends on the machine it was recorded on not at all."""
    left: tuple[str, ...] = ("health_plugins", "health_details", "interfaces")
    if value["daemon_state"] != "run":
        left = (*left, "cpu_count", "kernel", "os", "arch", "load", "vcpu", "memory", "pvc_version")
    shown = {name: each for name, each in value.items() if name not in left}
    if isinstance(shown.get("memory"), dict):
        shown["memory"] = {k: v for k, v in shown["memory"].items() if k != "provisioned"}
    return {"keys": list(value), **shown}
