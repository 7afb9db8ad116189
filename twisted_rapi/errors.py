"""
Every error that is raised on purpose, as one closed family.

Anything else that escapes is a bug; it is answered as 500 with an incident id that is in the log.

Three branches: what an HTTP client is told (`RequestError`), how an opcode ends when it cannot succeed
(`JobError`; its class names and codes are the field's, constants.json ``error_classes``), and what an
I/O boundary reports (`StoreError`, `NodeError`).
"""

from collections.abc import Iterable
from typing import Any, ClassVar


class RapiError(Exception):
    """The root of the family."""


class ConfigurationError(RapiError):
    """The configuration cannot be used; the text says what is wrong and where."""


# What an HTTP client is told.


class RequestError(RapiError):
    """
    A request that is refused; nothing was changed.

    :ivar status: the HTTP status.
    :ivar message: the specific text; ``None`` for the status's standard phrase.
    """

    status: ClassVar[int] = 400

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__name__)
        self.message = message


class BadRequest(RequestError):
    """The request is malformed or one of its values is."""


class Unauthorized(RequestError):
    """Credentials are needed, or those sent are wrong."""

    status = 401


class Forbidden(RequestError):
    """The user lacks the right."""

    status = 403


class NotFound(RequestError):
    """There is no such URI or object."""

    status = 404


class RequestTimeout(RequestError):
    """The request did not arrive whole in time."""

    status = 408


class BodyTooLarge(RequestError):
    """The body exceeds the limit."""

    status = 413


class UriTooLong(RequestError):
    """The request line exceeds the limit."""

    status = 414


class UnsupportedMediaType(RequestError):
    """A body of another type than JSON."""

    status = 415


class HeadersTooLarge(RequestError):
    """The headers exceed the limit."""

    status = 431


class QueueDrained(RequestError):
    """The queue takes no jobs; a real cluster answers 500 with this text (observations.md)."""

    status = 500

    def __init__(self) -> None:
        super().__init__("Queue drained")


class MethodNotImplemented(RequestError):
    """The URI exists without this method."""

    status = 501


class BadGateway(RequestError):
    """Something behind the API gave an answer that cannot be used."""

    status = 502


class ServiceUnavailable(RequestError):
    """It cannot be done at present: queue full, console of a stopped instance, no master."""

    status = 503


class NoMaster(ServiceUnavailable):
    """Nobody is master at present; nothing was done, and it may be asked again soon."""


class GatewayTimeout(RequestError):
    """Something behind the API did not answer in time."""

    status = 504


class VersionNotSupported(RequestError):
    """A version of HTTP that is not spoken here."""

    status = 505


# How an opcode ends when it cannot succeed.


class JobError(RapiError):
    """
    An opcode cannot succeed.

    :ivar text: what a person reads.
    :ivar code: one of the error codes of constants.json, or ``None``.
    """

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    def pair(self) -> list[Any]:
        """The error as a job's ``opresult`` shows it: ``[class, [text]]`` or ``[class, [text, code]]``."""
        return [type(self).__name__, [self.text] if self.code is None else [self.text, self.code]]


class OpPrereqError(JobError):
    """A prerequisite does not hold; nothing was changed."""


class HooksAbort(JobError):
    """
    Scripts of the cluster's own refused the operation; nothing was changed.

    :ivar refusals: node, script and what it printed, of each.
    """

    def __init__(self, refusals: Iterable[tuple[str, str, str]]) -> None:
        self.refusals = [list(refusal) for refusal in refusals]
        super().__init__("; ".join(f"{script} on {node}: {text}" for node, script, text in self.refusals))

    def pair(self) -> list[Any]:
        """With the refusals in place of a text (behaviour.md §9)."""
        return [type(self).__name__, [self.refusals]]


class OpExecError(JobError):
    """Carrying out failed; what was half made has been removed or is named."""


class TypeEnforcementError(JobError):
    """A parameter of an instance, hypervisor, OS … is unknown or of the wrong type."""


class TagError(JobError):
    """A tag is malformed."""


class ResultValidationError(JobError):
    """What something answered is not of the form it has to have."""


class HypervisorError(JobError):
    """A hypervisor refused or failed."""


def prereq(text: str, code: str = "wrong_input") -> OpPrereqError:
    """A prerequisite error with one of the codes of constants.json."""
    return OpPrereqError(text, code)


# What the store reports.


class StoreError(RapiError):
    """The store could not do what was asked."""


class Conflict(StoreError):
    """
    An expectation of a commit does not hold; nothing was written.

    :ivar keys: the keys whose revision is another.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(f"changed by someone else: {', '.join(self.keys)}")


class StaleTerm(RapiError):
    """
    A newer master has been elected; nothing was changed.

    :ivar term: the term that was refused.
    :ivar newest: the highest term known to who refused.
    """

    def __init__(self, term: int, newest: int) -> None:
        self.term = term
        self.newest = newest
        super().__init__(f"term {term} is over, the newest is {newest}")


class NoTerm(StaleTerm):
    """No term is held now: what is asked for is the next master's to ask; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(0, 0)

    def __str__(self) -> str:
        """What is told; numbers of terms would say nothing."""
        return "no term is held now"


class Compacted(StoreError):
    """The changes since the revision asked for are no longer kept: list again."""


class StoreTooNew(StoreError):
    """The store was written by a newer version of this program."""


class StoreLocked(StoreError):
    """Another process has the store open."""


class StoreClosed(StoreError):
    """The store has been closed."""


class StoreUnreachable(StoreError):
    """Nobody answered in time; nothing was changed."""


class Unanswered(StoreError):
    """A commit was sent and not answered, and nobody could be asked: it may have been made."""


class LeaseGone(StoreError):
    """There is no such lease (any more); a commit that names it wrote nothing."""


class CommitTooLarge(StoreError):
    """A commit has more keys or bytes than the store takes at once; nothing was written."""


class RecordTooNew(StoreError):
    """A record was written by a newer version of this program."""


# What a node reports.


class NodeError(RapiError):
    """A node could not do what was asked."""


class NodeUnreachable(NodeError):
    """
    The node did not answer: down, restarting, cut off, or too late.

    Whether the step was carried out is not known; steps may be sent again.
    """


class StepFailed(NodeError):
    """
    The node carried a step out and it failed.

    :ivar text: the reason, as a person reads it.
    :ivar kind: a stable word: ``hypervisor``, ``storage``, ``absent``, ``os``, ``allocator``, ``stream``,
        ``network``, ``busy`` or ``internal``.
    """

    def __init__(self, text: str, kind: str = "internal") -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind


class ProtocolMismatch(NodeError):
    """The node speaks another version of the protocol."""


# What the floating address reports.


class AddressError(RapiError):
    """The floating address cannot be had, or not be given up; the text says why."""


class AddressInUse(AddressError):
    """
    Another host has the address; nothing was taken.

    :ivar mac: who answered for it.
    """

    def __init__(self, address: str, mac: str) -> None:
        self.mac = mac
        super().__init__(f"{address} is in use by {mac}")


class AddressElsewhere(AddressError):
    """Whoever moves the address has not moved it to this host."""


class NoInterface(AddressError):
    """The interface for the address does not exist, or is down."""
