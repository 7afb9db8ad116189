"""What is kept of a machine beside its instance: what only PVC's API says of it."""

from msgspec.structs import replace

from twisted_rapi.model.record_base import Record

DOWNTIME = 300  # milliseconds a guest may stand still while it is migrated, unless its record says otherwise


class MachineRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """
    A machine's own part; an instance without one has all the defaults.

    It is committed together with the instance and goes with it.

    :ivar uuid: the instance's.
    :ivar xml: the libvirt definition it was defined with, in canonical form; empty: it was made without one.
    :ivar last_node: uuid of the node where it was before it was migrated; empty: it was not.
    :ivar node_limit: names of the nodes it may run on; empty: on all.
    :ivar node_selector: how its node is chosen: ``mem``, ``memprov``, ``load``, ``vcpus`` or ``vms``; empty:
        as the cluster does.
    :ivar node_autostart: whether it is started when its node is made ready again.
    :ivar profile: what it was made from, in the words of who made it.
    :ivar migration_method: ``live`` or ``shutdown``; empty: as the cluster does.
    :ivar migration_max_downtime: milliseconds.
    :ivar protected_tags: those of the instance's tags that are kept from being removed.
    """

    KIND = "machine"

    uuid: str
    xml: str = ""
    last_node: str = ""
    node_limit: tuple[str, ...] = ()
    node_selector: str = ""
    node_autostart: bool = False
    profile: str = ""
    migration_method: str = ""
    migration_max_downtime: int = DOWNTIME
    protected_tags: tuple[str, ...] = ()


def is_default(record: MachineRecord) -> bool:
    """Whether it says nothing that a missing one would not."""
    return record == MachineRecord(uuid=record.uuid)


def changed(record: MachineRecord | None, uuid: str, **values: object) -> MachineRecord:
    """The record of this instance with other values, made anew where there is none."""
    return replace(record or MachineRecord(uuid=uuid), **values)
