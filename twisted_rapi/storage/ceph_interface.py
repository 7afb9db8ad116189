"""A Ceph cluster, and its contract."""

from typing import Any

from zope.interface import Interface

from twisted_rapi.model.ceph import AnyChange, Subject

Seen = dict[str, Any]


class ICeph(Interface):
    """
    A Ceph cluster as a node reaches it.  Nothing is remembered: what it says now is the truth.

    Every method may raise `StepFailed` of kind ``storage``; a name that is none is one such failure, and
    nothing was done then.  Where `look` names what is not there the kind is ``absent``, and it may be so
    where a change does.
    """

    async def look(subject: Subject, pool: str = "", volume: str = "") -> tuple[Seen, ...]:
        """
        What there is, sizes in bytes; what is not there fails where it is named.

        - ``status``: one, ``{health, text}`` and what ``ceph status`` has as ``report``; ``text`` is for
          people.
        - ``utilization``: one, ``{total, used, free, text}``.
        - ``options``: ``{name}`` of each flag of `twisted_rapi.model.ceph.OPTIONS` that is set; ``pause``
          stands for reads and writes.
        - ``osds``: ``{id, uuid, up, in, state, node, device, class, weight, reweight, primary_affinity, pgs,
          size, used, used_data, used_omap, used_meta, free, utilization, var}`` and, per second at present,
          ``{read_ops, read_bytes, write_ops, write_bytes}``; ``node`` is the host Ceph has it under,
          and ``device`` is empty until it has begun.
        - ``pools``: ``{id, name, pgs, copies, least, tier, applications, free, used, used_fraction, stored}``
          and what ``rados df`` counts as ``counts``; ``tier`` is a class of devices, or empty.
        - ``volumes``: of a pool, or of all pools for images: ``{pool, name, size}``; with `volume` that one
          only, and what ``rbd info`` has as ``info``.
        - ``images``: as ``volumes``, each with its ``info``.
        - ``snapshots``: of an image, or of all as for volumes: ``{pool, volume, name, size, protected}``.
        - ``locks``: of an image: ``{id, locker, address}``.
        """

    async def change(change: AnyChange) -> int:
        """
        Do what the change's own description says; answers the number of an OSD that was made, else 0.

        What a change is about has to be there: it fails otherwise, but where that is the aim.
        """

    async def drained(osd: int) -> bool:
        """Whether no data would be lost, or have too few copies, without the OSD."""


class IOsdDevices(Interface):
    """OSDs of this node: their devices and their processes.  Failures are as of `ICeph`."""

    async def make(device: str) -> int:
        """Make an OSD of a device, have it run now and after a restart, and answer its number."""

    async def stop(osd: int) -> None:
        """End its process, for good; done already is well.  Fails where it is none of this node's."""

    async def free(osd: int) -> None:
        """Wipe its device, once it is no OSD any more; done already is well."""
