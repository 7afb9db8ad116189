"""What runs machines on a node, and its contract."""

from collections.abc import Callable, Collection, Mapping, Sequence

from zope.interface import Attribute, Interface

from twisted_rapi.model.seen import DomainSeen
from twisted_rapi.model.steps import DiskSpec, DomainSpec, MigrationTarget, NicSpec


class IHypervisor(Interface):
    """
    One kind of hypervisor on this node.  Domains are named by their instance and have its uuid.

    Every method may raise `StepFailed` of kind ``hypervisor`` with what the hypervisor said, also when it
    did not answer within its deadline.
    """

    kind = Attribute("Its name in the field: ``kvm`` or ``fake``.")

    async def start_service() -> None:
        """Begin; from now on `observe`d changes are told.  Connects, and connects again when cut off."""

    async def stop_service() -> None:
        """End; domains run on."""

    async def version() -> str:
        """The version of what is behind it, as text."""

    async def acceleration() -> str:
        """How guests run here: ``kvm``, ``tcg: <why not kvm>`` or ``simulated``."""

    async def domains() -> Mapping[str, DomainSeen]:
        """All domains there are by name, running or not."""

    async def start(domain: DomainSpec, paths: Sequence[str], paused: bool = False) -> DomainSeen:
        """
        Define the domain as given, with its disks at `paths`, and make it run.

        One that runs is left as it is, whatever its definition.
        """

    async def stop(uuid: str, timeout: float, force: bool = False, boot: str = "") -> None:
        """
        Stop the domain and remove its definition.

        The guest is asked (ACPI), and ended when it still runs after `timeout` seconds; at once with `force`
        or 0.  An unknown domain is well.  With `boot`, a domain that runs another boot is left alone.
        """

    async def set_memory(uuid: str, memory: int) -> None:
        """Balloon the running guest to `memory` MiB."""

    async def attach(domain: DomainSpec, device: DiskSpec | NicSpec, path: str = "") -> None:
        """
        Give the running guest a device, a disk with its volume at `path`.  One it has is well.

        Fails for a guest that does not run, as do the following.
        """

    async def detach(domain: DomainSpec, device: DiskSpec | NicSpec) -> None:
        """Take a device from the running guest; fails if it keeps it.  One it does not have is well."""

    async def show_growth(domain: DomainSpec, disk: DiskSpec) -> None:
        """Have the running guest see a disk it has with `disk.size` MiB."""

    async def connect(bridges: Collection[str]) -> None:
        """Connect the NICs of running guests that belong on these bridges; one made anew has nobody on it."""

    async def migrate(domain: DomainSpec, target: MigrationTarget) -> None:
        """
        Have the running guest run on at the target, as another boot, and forget it here.

        One that is under way already, begun by an agent before this one, is waited for first.  When it fails
        the guest runs on here.
        """

    async def await_migration(uuid: str) -> None:
        """
        Wait until no migration of the guest to elsewhere is under way, whoever began it; none is well.

        Where the guest is then is another question.
        """

    def remarks(domain: DomainSpec) -> tuple[str, ...]:
        """What an operator has to know about the domain's parameters: those that have no effect here."""

    def observe(observer: Callable[[str, DomainSeen | None], None]) -> Callable[[], None]:
        """
        Call `observer` with name and new state (``None``: gone) on each change, whoever made it; answers how
        to end that.
        """
