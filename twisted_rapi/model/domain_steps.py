"""Steps about domains: the machines a hypervisor runs."""

from twisted_rapi.model.step_base import DiskSpec, DomainSpec, MigrationTarget, NicSpec, Step


class StartDomain(Step, frozen=True, kw_only=True, tag="domain.start", omit_defaults=True):
    """
    Define the domain as given and make it run; one that runs (any boot) is left alone.

    Outcome ``boot`` names the boot that runs now; ``warnings`` are about parameters without effect.
    """

    domain: DomainSpec
    paused: bool = False


class StopDomain(Step, frozen=True, kw_only=True, tag="domain.stop", omit_defaults=True):
    """
    Stop the domain: ask the guest, and after `timeout` seconds (0 or `force`: at once) end it.

    Its definition goes too.  With `boot`, only that boot is stopped: another one is left alone.
    """

    hypervisor: str
    instance_uuid: str
    timeout: int = 120
    force: bool = False
    boot: str = ""


class SetMemory(Step, frozen=True, kw_only=True, tag="domain.memory", omit_defaults=True):
    """Change the memory of the running guest to `memory` MiB."""

    hypervisor: str
    instance_uuid: str
    memory: int


class AttachDisk(Step, frozen=True, kw_only=True, tag="domain.disk.attach", omit_defaults=True):
    """Give the running guest a disk, whose volume is activated; one it has is well."""

    domain: DomainSpec
    disk: DiskSpec


class DetachDisk(Step, frozen=True, kw_only=True, tag="domain.disk.detach", omit_defaults=True):
    """Take a disk from the running guest; one it does not have is well."""

    domain: DomainSpec
    disk: DiskSpec


class AttachNic(Step, frozen=True, kw_only=True, tag="domain.nic.attach", omit_defaults=True):
    """Give the running guest a NIC; one it has is well."""

    domain: DomainSpec
    nic: NicSpec


class DetachNic(Step, frozen=True, kw_only=True, tag="domain.nic.detach", omit_defaults=True):
    """Take a NIC from the running guest; one it does not have is well."""

    domain: DomainSpec
    nic: NicSpec


class ShowGrowth(Step, frozen=True, kw_only=True, tag="domain.disk.grow", omit_defaults=True):
    """Have the running guest see a disk with `disk.size` MiB; after `GrowVolume`."""

    domain: DomainSpec
    disk: DiskSpec


class MigrateDomain(Step, frozen=True, kw_only=True, tag="domain.migrate", omit_defaults=True):
    """
    Have the guest run on at the target, where its volumes are active; its definition goes with it.

    A guest that does not run here fails: where it is, reports say.  So does one that has gone by a migration
    that an agent before this one began; that is waited for.
    """

    domain: DomainSpec
    target: MigrationTarget


class LookAtDomain(Step, frozen=True, kw_only=True, tag="domain.look", omit_defaults=True):
    """
    Say how the domain is here, once all that was asked for before about its instance has ended, also what was
    asked of an agent before this one.

    Outcome ``text``: its state, empty when it does not run here; ``boot`` names the boot that runs.
    """

    hypervisor: str
    instance_uuid: str
