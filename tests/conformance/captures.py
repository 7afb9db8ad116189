"""The recorded requests and answers of a real cluster: ganeti-rapi 3.0.2, three nodes, hypervisor fake."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

FOLDER = Path(__file__).with_name("captures")


@attrs.frozen(kw_only=True)
class Capture:
    """
    One request and its answer.

    :ivar file: the recording it is of, such as ``09_instances``; `seq` its number there.
    :ivar raw: the request's bytes where they were written by hand; ``None`` for an ordinary one.
    :ivar status: ``None`` where the connection was closed without an answer.
    """

    file: str
    seq: int
    name: str
    method: str
    path: str
    query: str
    user: str | None
    headers: tuple[tuple[str, str], ...]
    body: str | None
    raw: str | None
    status: int | None
    answer_headers: dict[str, str]
    answer: str
    truncated: bool

    def __str__(self) -> str:
        return f"{self.file}[{self.seq}] {self.name}: {self.method} {self.uri}"

    @property
    def uri(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def json(self) -> Any:
        """
        The answer, decoded.

        :raises ValueError: it is no JSON.
        """
        return json.loads(self.answer)


def recordings() -> list[str]:
    """Their names, in the order they were made."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def read(name: str) -> Iterator[Capture]:
    """The requests of one recording, in order."""
    for line in (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        yield _capture(name, json.loads(line))


def _capture(file: str, found: dict[str, Any]) -> Capture:
    raw = found.get("raw_request")
    method, path, query = found.get("method"), found.get("path"), found.get("query")
    if method is None and raw:
        method, _, rest = raw.lstrip("\r\n").partition(" ")
        path, _, query = rest.split("\r\n")[0].rpartition(" ")[0].partition("?")
    return Capture(
        file=file,
        seq=found["seq"],
        name=found["name"],
        method=method or "",
        path=path or "",
        query=query or "",
        user=found.get("user"),
        headers=tuple((name, value) for name, value in found.get("request_headers") or ()),
        body=found.get("request_body"),
        raw=raw,
        status=found.get("status"),
        answer_headers={name.lower(): value for name, value in found.get("response_headers") or ()},
        answer=found.get("response_body") or "",
        truncated=bool(found.get("truncated")),
    )


def history() -> dict[int, list[dict[str, Any]]]:
    """The opcodes of every job any recording shows, by id: some were submitted in other ways than by RAPI."""
    found: dict[int, list[dict[str, Any]]] = {}
    for name in recordings():
        for capture in read(name):
            if capture.path.startswith("/2/jobs") and capture.status == 200:
                for job in _jobs(capture.answer):
                    if isinstance(job, dict) and job.get("ops"):
                        found.setdefault(job["id"], job["ops"])
    return found


def _jobs(answer: str) -> Iterator[Any]:
    """One job, or as many of a list as were recorded of it."""
    if not answer.startswith("["):
        yield json.loads(answer)
        return
    decoder, at = json.JSONDecoder(), 1
    while at < len(answer):
        try:
            job, at = decoder.raw_decode(answer, at)
        except ValueError:
            return
        yield job
        at += 2
