"""Asking again, in order, and comparing."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from tests.conformance.captures import Capture, history, read
from tests.conformance.correspond import Correspondence
from tests.conformance.deliberate import DIFFERENCES
from tests.conformance.interludes import HELD, INTERLUDES
from tests.conformance.world import FINAL, Answer, World
from twisted_rapi.errors import NotFound
from twisted_rapi.web.rapi.routes import ROUTES
from twisted_rapi.web.routing import Routes

FIRST = 5  # earlier jobs founded the cluster
_FILLED = frozenset(
    {"debug_level", "instance_uuid", "node_uuid", "pnode_uuid", "target_node_uuid", "node_uuids"}
)
_GET = "GET /version{} HTTP/1.1\r\nHost: h\r\n{}\r\n"
_WHOLE = {  # requests whose recording was cut
    "long start line 8000": _GET.format("?" + "x" * 7960, ""),
    "long start line 9000": _GET.format("?" + "x" * 9000, ""),
    "long header 4000": _GET.format("", f"X-A: {'x' * 4000}\r\n"),
    "many headers 3x3000": _GET.format("", "".join(f"X-{c}: {'x' * 3000}\r\n" for c in "ABC")),
}
# Which instances there were by then, and where, was brought about by other tools or an allocator.
_FORM_ONLY = frozenset({("14_multialloc", 13), ("16_down", 0), ("16_down", 1), ("16_down", 2)})
HEADERS = ("content-type", "www-authenticate", "server")


@attrs.frozen
class Verdict:
    """
    What came of one request.

    :ivar reason: why it differs on purpose, if it does.
    :ivar differences: where it differs otherwise.
    """

    capture: Capture
    resource: str
    reason: str = ""
    differences: tuple[str, ...] = ()


@attrs.define
class Replay:
    """Recordings, asked again of a world."""

    world: World
    same: Correspondence = attrs.field(init=False)
    verdicts: list[Verdict] = attrs.field(factory=list)
    _history: dict[int, list[dict[str, Any]]] = attrs.field(factory=history)
    _last: int = FIRST - 1
    _open: dict[int, int] = attrs.field(factory=dict)  # our jobs that have to end -> recorded id
    _routes: Routes = attrs.field(factory=lambda: Routes(ROUTES))

    def __attrs_post_init__(self) -> None:
        self.same = Correspondence({str(self.world.directory): "/srv/ganeti"})
        first = self.world.post_job([{"OP_ID": "OP_CLUSTER_REDIST_CONF"}])
        assert first is not None
        self.world.await_job(first)
        self.same.note(1, first)

    def play(self, recording: str) -> None:
        """Ask everything of one recording."""
        captures = list(read(recording))
        for n, capture in enumerate(captures):
            began = INTERLUDES.get((recording, capture.seq), _nothing)(self.world) or {}
            for recorded, ours in began.items():
                self.same.note(recorded, ours)
            self._before(capture, captures[n:])
            answer = self._ask(capture)
            self._note_job(capture, answer, captures[n + 1 :])
            self.verdicts.append(self._judge(capture, answer))

    def _before(self, capture: Capture, rest: list[Capture]) -> None:
        for ours in list(self._open):
            self.world.await_job(ours)
            for further in self.world.submitted_by(ours):
                self.world.await_job(further)
            del self._open[ours]
        self._catch_up(capture, rest)
        job = self.same.here.get(str(_job_of(capture)))
        gone = capture.method == "DELETE" and "not found in queue" in capture.answer
        if job is not None and (gone or _shows(capture)):
            self.world.await_job(int(job))

    def _catch_up(self, capture: Capture, rest: list[Capture]) -> None:
        """Submit what was submitted before this request, but not by a request that is recorded."""
        coming = _job_of(capture)
        if coming is None:
            return
        for job in range(self._last + 1, coming + (1 if capture.path.startswith("/2/jobs/") else 0)):
            ops = self._history.get(job)
            if str(job) in self.same.here or ops is None or not _from_outside(ops):
                continue
            answer = self.world.post_job([self._as_given(op) for op in ops])
            if answer is not None:
                self.same.note(job, answer)
                if _ends(job, [capture, *rest]):
                    self.world.await_job(answer)
                else:
                    self.world.await_status(answer, "waiting", "running", seconds=0.5)
        self._last = max(self._last, coming)

    def _as_given(self, op: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in op.items() if name not in _FILLED}
        given["reason"] = op["reason"][:-1]
        decoded: dict[str, Any] = json.loads(self.same.translated(json.dumps(given)))
        return decoded

    def _note_job(self, capture: Capture, answer: Answer, rest: list[Capture]) -> None:
        """A submission has to have ended before the next request, unless it had not in the recording."""
        recorded, ours = _number(capture.answer), _number(answer.body)
        if capture.path == "/version" or capture.status != 200 or answer.status != 200:
            return
        if recorded is None or ours is None:
            return
        self.same.note(recorded, ours)
        if _ends(recorded, rest) and recorded not in HELD:
            self._open[ours] = recorded

    def _ask(self, capture: Capture) -> Answer:
        if capture.raw is not None:
            raw = _WHOLE.get(capture.name, capture.raw)
            return self.world.raw(self.same.translated(raw).encode("latin-1", "replace"), capture.method)
        body = None if capture.body is None else self.same.translated(capture.body).encode()
        body = self._depending(body)
        if "invalid utf8" in capture.name:
            body = b'{"a":"\xff"}'  # the recording could not hold it
        uri = self._uri(capture)
        return self.world.ask(capture.method, uri, dict(capture.headers), body)

    def _depending(self, body: bytes | None) -> bytes | None:
        """A body whose dependencies are the jobs here."""
        given = _decoded(body.decode()) if body is not None and b'"depends"' in body else None
        if not isinstance(given, dict) or not isinstance(given.get("depends"), list):
            return body
        for item in given["depends"]:
            if isinstance(item, list) and str(item[0]) in self.same.here:
                item[0] = int(self.same.here[str(item[0])])
        return json.dumps(given).encode()

    def _uri(self, capture: Capture) -> str:
        parts = capture.path.split("/")
        if len(parts) > 3 and parts[2] == "jobs":
            # A job that is unknown here must not be taken for another one.
            job = parts[3]
            parts[3] = self.same.here.get(
                job, str(10**6 + int(job)) if job.isdigit() and len(job) < 5 else job
            )
        path = "/".join(parts)
        return self.same.translated(f"{path}?{capture.query}" if capture.query else path)

    # Judging.

    def _judge(self, capture: Capture, answer: Answer) -> Verdict:
        resource = self._resource(capture)
        found = tuple(self._differences(capture, answer))
        if not found:
            return Verdict(capture, resource)
        for difference in DIFFERENCES:
            if difference.applies(capture, answer):
                return Verdict(capture, resource, difference.reason)
        return Verdict(capture, resource, "", found)

    def _resource(self, capture: Capture) -> str:
        try:
            route, _ = self._routes.find(capture.path)
        except NotFound:
            return "(no resource)"
        return route.pattern

    def _differences(self, capture: Capture, answer: Answer) -> Iterator[str]:
        if capture.status != answer.status:
            yield f"status {answer.status} instead of {capture.status}: {answer.body!r:.300}"
            return
        if capture.status is None:
            return
        for name in HEADERS:
            if capture.answer_headers.get(name) != answer.headers.get(name):
                yield f"header {name}: {answer.headers.get(name)!r}"
        if capture.truncated:
            return
        recorded, ours = _decoded(capture.answer), _decoded(answer.body)
        if _number(capture.answer) is not None and capture.path != "/version":
            if _number(answer.body) is None:
                yield f"{answer.body!r} instead of a job's id"
        elif capture.path == "/2/jobs" and capture.status == 200:
            yield from _same_form(recorded, ours)
        elif (capture.file, capture.seq) in _FORM_ONLY:
            yield from _same_form(_listed(recorded), _listed(ours))
        elif capture.path.endswith("/wait") and not _shows(capture) and capture.status == 200:
            # What is seen of a job on its way depends on the moment.
            yield from _same_keys(recorded, ours)
        elif capture.path == "/2/query/job" and capture.status == 200:
            yield from self.same.differences(recorded["fields"], ours["fields"], ".fields")
            yield from _same_columns(recorded["data"], ours["data"])
        else:
            yield from self.same.differences(recorded, ours)


def _nothing(world: World) -> Mapping[int, int] | None:
    """Most of the time nothing happens between two requests."""
    return None


def _job_of(capture: Capture) -> int | None:
    """The recorded job a request is about, or the one it submits."""
    if capture.path.startswith("/2/jobs/"):
        job = capture.path.split("/")[3]
        return int(job) if job.isdigit() and len(job) < 5 else None
    if capture.status != 200 or capture.path == "/version":
        return None
    return _number(capture.answer)


def _from_outside(ops: list[dict[str, Any]]) -> bool:
    """Whether a job was not submitted by another one."""
    return all(sum(r[0].startswith("gnt:opcode") for r in op["reason"]) < 2 for op in ops)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(text: str) -> int | None:
    value = _decoded(text)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _shows(capture: Capture) -> bool:
    """Whether an answer is about a job that has ended."""
    if capture.method != "GET" or capture.status != 200 or not capture.path.startswith("/2/jobs/"):
        return False
    found = _decoded(capture.answer)
    info = found.get("job_info", [])
    return found.get("status") in FINAL or (bool(info) and info[0] in FINAL)


def _same_keys(recorded: Any, ours: Any) -> Iterator[str]:
    if ours is not None and list(recorded) != list(ours):
        yield f"the keys {list(ours)} instead of {list(recorded)}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _same_form(recorded: Any, ours: Any) -> Iterator[str]:
    """Lists of jobs depend on the whole history: their items are to be alike."""
    wanted = {tuple(item) for item in recorded}
    for item in ours if isinstance(ours, list) else [ours]:
        if tuple(item) not in wanted:
            yield f"an item has the keys {tuple(item)} instead of {wanted}"


def _same_columns(recorded: list[list[Any]], ours: list[list[Any]]) -> Iterator[str]:
    """Queries of jobs depend on the whole history too: statuses and types of values are to be alike."""
    wanted = [{(status, type(value)) for status, value in column} for column in zip(*recorded, strict=True)]
    for row in ours:
        for n, ((status, value), known) in enumerate(zip(row, wanted, strict=True)):
            if (status, type(value)) not in known and not (status == 3 and value is None):
                yield f"column {n}: {[status, value]!r:.200} is like none of the recording"


def _ends(job: int, rest: list[Capture]) -> bool:
    """Whether the job had ended when the recording looks at it next."""
    for capture in rest:
        if capture.path == f"/2/jobs/{job}" and capture.method == "DELETE":
            return False
        if capture.path == f"/2/jobs/{job}" and capture.method == "GET" and capture.status == 200:
            return capture.json()["status"] in FINAL
        if capture.path == f"/2/jobs/{job}/wait":
            return False
    return True


def table(verdicts: list[Verdict]) -> str:
    """Resource by method: captured cases, same, deliberate, different."""
    rows: dict[tuple[str, str], list[int]] = {}
    for verdict in verdicts:
        row = rows.setdefault((verdict.resource, verdict.capture.method), [0, 0, 0, 0])
        row[0] += 1
        row[1 if not verdict.reason and not verdict.differences else 2 if verdict.reason else 3] += 1
    lines = [f"{'resource':44} {'method':7} {'cases':>6} {'same':>6} {'deliberate':>11} {'different':>10}"]
    for (resource, method), (cases, same, deliberate, different) in sorted(rows.items()):
        lines.append(f"{resource:44} {method:7} {cases:6} {same:6} {deliberate:11} {different:10}")
    sums = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines.append(f"{'all':44} {'':7} {sums[0]:6} {sums[1]:6} {sums[2]:11} {sums[3]:10}")
    return "\n".join(lines)
