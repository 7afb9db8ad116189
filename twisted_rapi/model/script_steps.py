"""Steps that run scripts of others: of OS definitions, hooks and allocators."""

from typing import Literal

from msgspec import field

from twisted_rapi.model.records import Params
from twisted_rapi.model.step_base import DomainSpec, Step


class RunOs(Step, frozen=True, kw_only=True, tag="os.run", omit_defaults=True):
    """
    Run one script of the instance's OS definition (behaviour.md §8) with its volumes activated.

    :ivar reinstall: sets ``INSTANCE_REINSTALL=1``.
    :ivar old_name: for ``rename``.
    """

    action: Literal["create", "rename"]
    domain: DomainSpec
    reinstall: bool = False
    old_name: str = ""
    debug: int = 0


class VerifyOs(Step, frozen=True, kw_only=True, tag="os.verify", omit_defaults=True):
    """Have the OS definition's ``verify`` script check parameters; fails with what it says."""

    os: str
    osparams: Params = field(default_factory=dict)


class RunHooks(Step, frozen=True, kw_only=True, tag="hooks.run", omit_defaults=True):
    """
    Run the scripts of one phase of a hooks path (behaviour.md §9), in byte order; without any it is well.

    Nothing of `environment` is missing but the search path.  Outcome ``hooks``: per script its name, whether
    it ended well, and what it printed.
    """

    path: str
    phase: Literal["pre", "post"]
    environment: dict[str, str] = field(default_factory=dict)


class RunAllocator(Step, frozen=True, kw_only=True, tag="allocator.run", omit_defaults=True):
    """
    Have an allocator script answer a request (behaviour.md §7); nothing else waits for it.

    Outcome ``text``: what it printed.

    :ivar name: of the script, which is looked for in this node's search path.
    :ivar options: arguments before the file with the request.
    """

    name: str
    request: Params
    options: tuple[str, ...] = ()
