"""Asking an allocator in a plan."""

from collections.abc import Mapping
from typing import Any

from twisted_rapi.errors import OpPrereqError, prereq
from twisted_rapi.model.steps import RunAllocator
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.allocation.builtin import answer
from twisted_rapi.plan.allocation.request import options, request
from twisted_rapi.plan.allocation.response import read
from twisted_rapi.plan.stage import Do, Perform, Progress
from twisted_rapi.plan.view import View

BUILTIN = "builtin"
CONSULTED = "consulted"
LACKING = "insufficient_resources"


def allocator(given: str | None, view: View) -> str:
    """
    The name of the script to ask; empty for the built-in allocator.

    :param given: what an opcode says; ``None`` and ``.`` mean the cluster's default.
    """
    name = view.cluster.default_iallocator if given in (None, ".") else given
    return "" if name is None or name == BUILTIN else name


def check_script(name: str, view: View) -> None:
    """
    Whether an allocator of this name could be asked.

    :raises OpPrereqError: ``wrong_input``: the master node has no such script.
    """
    report = view.reports.get(view.cluster.master_node)
    if name != BUILTIN and (report is None or name not in report.allocators):
        raise prereq(f"Invalid default iallocator script '{name}' specified")


def asking(question: ask.Question, name: str, view: View, extra: Mapping[str, Any] | None = None) -> Perform:
    """Have the script of this name answer, on the master node; then the stage is `CONSULTED`."""
    given = {**view.cluster.default_iallocator_params, **(extra or {})}
    step = RunAllocator(
        instance=getattr(getattr(question, "instance", None), "name", ""),
        name=name,
        request=request(view, question),
        options=options(given),
    )
    return Perform(work=Do(view.cluster.master_node, step), stage=CONSULTED, check=True)


def heard(progress: Progress) -> str:
    """What the script answered that was asked last."""
    outcome = progress.outcomes[-1] if progress.outcomes else None
    assert outcome is not None, "a plan that was asked anew asks anew"
    return outcome.text


def consult(
    question: ask.Question,
    given: str | None,
    progress: Progress,
    view: View,
    extra: Mapping[str, Any] | None = None,
) -> ask.Answer | Perform:
    """
    The answer, or the stage after which to ask this again.

    :param given: see `allocator`.
    :param extra: further options of a script.
    :raises OpPrereqError: ``insufficient_resources``: there is no way; ``temp_insufficient_resources``: there
        may be one later, with the nodes that were not offered.
    :raises JobError: a script's answer cannot be used.
    """
    name = allocator(given, view)
    if name and progress.stage != CONSULTED:
        return asking(question, name, view, extra)
    try:
        return read(view, question, name, heard(progress)) if name else answer(view, question)
    except OpPrereqError as e:
        if isinstance(question, ask.Allocate) and question.among is not None and e.code == LACKING:
            raise prereq(e.text, f"temp_{LACKING}") from e
        raise
