"""The tools ``rbd`` and ``ceph``, asked for JSON."""

from collections.abc import Sequence
from typing import Any

import msgspec

from twisted_rapi.errors import StepFailed
from twisted_rapi.storage.program import Ended, Run

CALL = 25.0
"""Seconds a call may take, less than a step has (`twisted_rapi.model.steps.deadline`)."""

ABSENT, THERE, NOT_EMPTY = 2, 17, 39
"""Exit statuses of ``rbd``, and of ``ceph`` where it says one: the numbers of errors (ENOENT …)."""


class ToolFailed(StepFailed):
    """A tool said no; kind ``storage``.  `status` is its exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text, "storage")
        self.status = status


def checked(words: Sequence[str], ended: Ended) -> bytes:
    """
    What a tool printed that was run with these words.

    :raises ToolFailed: it said no.
    """
    if ended.status:
        raise ToolFailed(f"{' '.join(words[:3])}: {ended.why()}", ended.status)
    return ended.output


def decoded(words: Sequence[str], output: bytes) -> Any:
    """
    What it printed as JSON.

    :raises StepFailed: it is none.
    """
    try:
        return msgspec.json.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise StepFailed(f"{' '.join(words[:3])}: its answer cannot be read: {e}", "storage") from e


class Tools:
    """
    Calls of the tools, as the users of one Ceph.

    :param conf: the file with its configuration; empty for the tools' own choice.
    :param user: without ``client.``; empty for the tools' own choice.
    """

    def __init__(self, run: Run, conf: str = "", user: str = "") -> None:
        self._run = run
        self.conf, self.user = conf, user

    async def do(self, *words: str, user: str = "", seconds: float = CALL) -> bytes:
        """
        What the tool prints.

        :param words: the tool, and its arguments.
        :raises ToolFailed: it says no, or does not end in time.
        :raises StepFailed: it cannot be run.
        """
        return checked(words, await self.ended(*words, user=user, seconds=seconds))

    async def ended(self, *words: str, user: str = "", seconds: float = CALL) -> Ended:
        """
        How it ended, whatever that means.

        :raises StepFailed: it cannot be run.
        """
        who = user or self.user
        options = (*(("--conf", self.conf) if self.conf else ()), *(("--id", who) if who else ()))
        return await self._run((words[0], *options, *words[1:]), seconds)

    async def ask(self, *words: str, user: str = "", seconds: float = CALL) -> Any:
        """
        What it prints as JSON.

        :raises ToolFailed, StepFailed: as `do`; what it prints is no JSON.
        """
        return decoded(words, await self.do(*words, "--format", "json", user=user, seconds=seconds))
