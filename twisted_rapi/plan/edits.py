"""
Lists of edits of an instance's disks and NICs, in both documented forms.

``[[action, identifier, values], …]`` with an index, ``-1``, a uuid or a name, and the older
``[["add"|"remove"|index, values], …]``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import DetachedDiskRecord, DiskRecord, InstanceRecord, NicRecord
from twisted_rapi.plan import attachment, detached, devices, disks
from twisted_rapi.plan.condition import at_rest
from twisted_rapi.plan.view import View

_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)

Device = TypeVar("Device", DiskRecord, NicRecord)
Result = list[tuple[str, Any]]
Edit = tuple[str, int | str, Mapping[str, Any]]

ACTIONS = ("add", "modify", "remove", "attach", "detach")


def normal(edit: Sequence[Any]) -> Edit:
    """
    An edit in the newer form.

    :raises ValueError: it has neither form.
    """
    match edit:
        case [
            ("add" | "modify" | "remove" | "attach" | "detach") as action,
            int() | str() as which,
            dict() as v,
        ]:
            if not isinstance(which, bool):
                return action, which, v
        case [("add" | "remove" | "attach" | "detach") as action, dict() as v]:
            return action, -1, v
        case [int() as which, dict() as v] if not isinstance(which, bool) and which >= 0:
            return "modify", which, v
    raise ValueError(f"not an edit: {edit!r}")


class _Edits(Generic[Device]):
    """
    Edits carried out on a list.

    :ivar items: the list as it becomes; `result`: what is told of it.
    """

    kind: str

    def __init__(self, view: View, instance: InstanceRecord, items: Sequence[Device]) -> None:
        self.items: list[Device] = list(items)
        self.result: Result = []
        self._view = view
        self._instance = instance

    def apply(self, edits: Sequence[Sequence[Any]]) -> None:
        """
        Carry them out in order.

        :raises OpPrereqError: one cannot be.
        """
        for edit in edits:
            try:
                action, which, values = normal(edit)
            except ValueError as e:
                raise prereq(f"Invalid {self.kind} modification: {e}") from e
            self._apply(action, which, values)

    def _apply(self, action: str, which: int | str, values: Mapping[str, Any]) -> None:
        match action:
            case "add":
                self._add(self._place(which), values)
            case "attach":
                self._attach(self._place(which), values)
            case "modify":
                self._modify(self._index(which), values)
            case "remove" | "detach" if values:
                doing = "Removal" if action == "remove" else "Detaching"
                raise prereq(f"{doing} of a {self.kind} takes no values")
            case "remove":
                self._remove(self._index(which))
            case _:
                self._detach(self._index(which))

    def _place(self, which: int | str) -> int:
        if which in (-1, "-1"):
            return len(self.items)
        if isinstance(which, str) and not _INDEX.fullmatch(which):
            raise prereq(f"Only positive integer or -1 is accepted as identifier for add, not '{which}'")
        at = int(which)
        if not 0 <= at <= len(self.items):
            raise prereq(f"Got {self.kind} index {at}, but there are only {len(self.items)}")
        return at

    def _index(self, which: int | str) -> int:
        if isinstance(which, str) and not _INDEX.fullmatch(which):
            for n, item in enumerate(self.items):
                if which in (item.uuid, item.name):
                    return n
            raise prereq(f"Cannot find {self.kind} with identifier {which}", "unknown_entity")
        at = int(which)
        at = len(self.items) - 1 if at == -1 else at
        if not 0 <= at < len(self.items):
            raise prereq(f"{self.kind} index {which} not found", "unknown_entity")
        return at

    def _add(self, at: int, values: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _remove(self, at: int) -> None:
        raise NotImplementedError

    def _modify(self, at: int, values: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _attach(self, at: int, values: Mapping[str, Any]) -> None:
        raise prereq(f"A {self.kind} cannot be attached: only disks can")

    def _detach(self, at: int) -> None:
        raise prereq(f"A {self.kind} cannot be detached: only disks can")


class NicEdits(_Edits[NicRecord]):
    """Edits of NICs."""

    kind = "NIC"

    def __init__(self, view: View, instance: InstanceRecord, check: bool = True) -> None:
        super().__init__(view, instance, instance.nics)
        self._check = check

    def _settled(self, nic: NicRecord, at: int, others: Sequence[NicRecord]) -> NicRecord:
        group = self._view.groups[self._view.nodes[self._instance.primary_node].group]
        return attachment.settled(self._view, group, nic, at, others, self._instance.uuid, self._check)

    def _check_keys(self, values: Mapping[str, Any]) -> None:
        known = {"bridge", "ip", "link", "mac", "mode", "name", "network", "vlan"}
        for key, value in values.items():
            if key not in known:
                raise prereq(f"Unknown NIC parameter '{key}'")
            if value is not None and not isinstance(value, str):
                raise prereq(f"NIC parameter '{key}' must be text")

    def _add(self, at: int, values: Mapping[str, Any]) -> None:
        self._check_keys(values)
        nic = devices.new_nic(self._view, values, [n.mac for n in self.items])
        nic = self._settled(nic, at, self.items)
        self.items.insert(at, nic)
        filled = params.nicparams(self._view.cluster, nic)
        told = (
            f"add:mac={nic.mac},ip={nic.ip},mode={filled['mode']},link={filled['link']},network={nic.network}"
        )
        self.result.append((f"nic.{at}", told))

    def _remove(self, at: int) -> None:
        del self.items[at]
        self.result.append((f"NIC/{at}", "remove"))

    def _modify(self, at: int, values: Mapping[str, Any]) -> None:
        self._check_keys(values)
        before, others = self.items[at], [*self.items[:at], *self.items[at + 1 :]]
        nic = devices.nic_values(self._view, before, values)
        if (nic.network, nic.ip) != (before.network, before.ip):
            nic = self._settled(nic, at, others)
        given = values.get("mac")
        if given is not None and given.lower() != nic.mac:
            mac = devices.mac_address(self._view, given, [n.mac for n in others], nic.network)
            nic = replace(nic, mac=mac)
            self.result.append((f"nic.mac/{at}", nic.mac))
        self.items[at] = nic
        if "ip" in values:
            self.result.append((f"nic.ip/{at}", nic.ip))
        if "network" in values:
            self.result.append((f"nic.network/{at}", nic.network))
        if "name" in values:
            self.result.append((f"nic.name/{at}", nic.name))
        filled = params.nicparams(self._view.cluster, nic)
        self.result += [(f"nic.{key}/{at}", filled[key]) for key in ("link", "mode", "vlan")]


class DiskEdits(_Edits[DiskRecord]):
    """
    Edits of disks.

    :param hot: a running guest can lose them.
    :ivar instance: the record with the template, and the nodes, that the disks give it.
    :ivar attached: disks it gets that were detached; `detached`: those it loses that stay.
    """

    kind = "disk"

    def __init__(
        self, view: View, instance: InstanceRecord, driver: str | None, folder: str | None, hot: bool = False
    ) -> None:
        super().__init__(view, instance, instance.disks)
        self._hot = hot
        self.instance = instance
        self.attached: list[DetachedDiskRecord] = []
        self.detached: list[DetachedDiskRecord] = []
        self._driver = driver or "loop"
        self._folder = folder

    def _add(self, at: int, values: Mapping[str, Any]) -> None:
        template = self._instance.disk_template
        if template == "diskless":
            raise prereq("Disks cannot be added to a diskless instance")
        if self._driver != "loop":
            raise prereq(f"File driver '{self._driver}' is not offered by this release")
        layout = disks.Layout(
            instance=self._instance.name,
            template=template,
            folder=disks.file_folder(self._view, template, self._folder),
            driver=self._driver,
        )
        if "adopt" in values and template != "blockdev":
            raise prereq("Disk adoption not supported for new disks of an instance")
        new = disks.new_disk(self._view, layout, at, values)
        nodes = (self._instance.primary_node, *self._instance.secondary_nodes)
        [disk] = disks.placed(self._view, [new], nodes)
        self.items.insert(at, disk)
        self.result.append((f"disk/{at}", f"add:size={disk.size},mode={disk.mode}"))

    def _remove(self, at: int) -> None:
        self._lose(at, "remove")

    def _detach(self, at: int) -> None:
        self.detached.append(detached.detached(self._view, self._instance, self._lose(at, "detach")))

    def _lose(self, at: int, doing: str) -> DiskRecord:
        if not self._hot:
            at_rest(self._view, self._instance, f"{doing} disks")
        disk = self.items[at]
        mine = {disk.uuid for disk in self._instance.disks}
        if disk.uuid not in mine and (doing == "detach" or self.attached):
            raise prereq(f"Disk {at} is new in this request, cannot {doing} it")
        del self.items[at]
        self.result.append((f"disk/{at}", doing))
        return disk

    def _attach(self, at: int, values: Mapping[str, Any]) -> None:
        record = detached.find(self._view, values)
        if any(other.uuid == record.uuid for other in self.attached):
            raise prereq(f"Disk {record.uuid} is attached twice")
        self.instance = detached.received(self._view, self.instance, record)
        self.attached.append(record)
        disk = record.disk
        self.items.insert(at, replace(disk, mtime=self._view.now, serial_no=disk.serial_no + 1))
        self.result.append((f"disk/{at}", f"attach:size={disk.size},mode={disk.mode}"))

    def _modify(self, at: int, values: Mapping[str, Any]) -> None:
        unknown = set(values) - {"mode", "name"}
        if "size" in values:
            raise prereq("Disk size change not possible, use grow-disk")
        if unknown:
            raise prereq(f"Disk parameter '{min(unknown)}' cannot be changed")
        disk = self.items[at]
        if "mode" in values:
            disk = replace(disk, mode=devices.disk_mode(values["mode"]))
            self.result.append((f"disk.mode/{at}", disk.mode))
        if "name" in values:
            disk = replace(disk, name=devices.device_name(values["name"]))
            self.result.append((f"disk.name/{at}", disk.name))
        self.items[at] = replace(disk, mtime=self._view.now, serial_no=disk.serial_no + 1)
