"""
Steps: what the master asks a node to do, as values.

They are compared in tests, printed in logs, kept in leftovers and sent over RPC; one definition serves
master and agent.  Every step may be sent again: carrying it out twice ends as carrying it out once.
"""

from typing import Any

from msgspec import Struct

from twisted_rapi.model.ceph_steps import AwaitDrained, ChangeCeph, LookAtCeph
from twisted_rapi.model.domain_steps import (
    AttachDisk,
    AttachNic,
    DetachDisk,
    DetachNic,
    LookAtDomain,
    MigrateDomain,
    SetMemory,
    ShowGrowth,
    StartDomain,
    StopDomain,
)
from twisted_rapi.model.network_steps import CheckAcls, ForgetLeases, MakeNetworks
from twisted_rapi.model.node_steps import (
    ChangeUnit,
    Delay,
    FenceNode,
    ListUnits,
    ListVolumes,
    Ping,
    Powercycle,
    ProbeAddress,
    ReadLog,
    RepairUnit,
    ResolveName,
)
from twisted_rapi.model.script_steps import RunAllocator, RunHooks, RunOs, VerifyOs
from twisted_rapi.model.step_base import DiskSpec, DomainSpec, MigrationTarget, NicSpec, Step, device_name
from twisted_rapi.model.stream_steps import (
    AwaitStream,
    BeginExport,
    ConfirmStream,
    CreateCertificate,
    DumpEnd,
    EndStreams,
    FinishExport,
    OpenStream,
    ReadExport,
    RemoveCertificate,
    RemoveExport,
    ScriptEnd,
    SendStream,
    StreamEnd,
    VolumeEnd,
)
from twisted_rapi.model.volume_steps import (
    ActivateVolume,
    AdoptVolume,
    AwaitSync,
    CreateVolume,
    DeactivateVolume,
    DeleteVolume,
    GrowVolume,
    InspectDisks,
    MoveVolume,
    ReleaseVolume,
    RenewVolume,
)

__all__ = [
    "DEADLINES",
    "ActivateVolume",
    "AdoptVolume",
    "AnyStep",
    "AttachDisk",
    "AttachNic",
    "AwaitDrained",
    "AwaitStream",
    "AwaitSync",
    "BeginExport",
    "ChangeCeph",
    "ChangeUnit",
    "CheckAcls",
    "ConfirmStream",
    "CreateCertificate",
    "CreateVolume",
    "DeactivateVolume",
    "Delay",
    "DeleteVolume",
    "DetachDisk",
    "DetachNic",
    "DiskSpec",
    "DomainSpec",
    "DumpEnd",
    "EndStreams",
    "FenceNode",
    "FinishExport",
    "ForgetLeases",
    "GrowVolume",
    "InspectDisks",
    "ListUnits",
    "ListVolumes",
    "LookAtCeph",
    "LookAtDomain",
    "MakeNetworks",
    "MigrateDomain",
    "MigrationTarget",
    "MoveVolume",
    "NicSpec",
    "OpenStream",
    "Outcome",
    "Ping",
    "Powercycle",
    "ProbeAddress",
    "ReadExport",
    "ReadLog",
    "ReleaseVolume",
    "RemoveCertificate",
    "RemoveExport",
    "RenewVolume",
    "RepairUnit",
    "ResolveName",
    "RunAllocator",
    "RunHooks",
    "RunOs",
    "ScriptEnd",
    "SendStream",
    "SetMemory",
    "ShowGrowth",
    "StartDomain",
    "Step",
    "StopDomain",
    "StreamEnd",
    "VerifyOs",
    "VolumeEnd",
    "deadline",
    "device_name",
]

AnyStep = (
    Delay
    | CreateVolume
    | DeleteVolume
    | GrowVolume
    | ActivateVolume
    | DeactivateVolume
    | MoveVolume
    | RenewVolume
    | AdoptVolume
    | ReleaseVolume
    | AwaitSync
    | StartDomain
    | StopDomain
    | SetMemory
    | AttachDisk
    | DetachDisk
    | AttachNic
    | DetachNic
    | ShowGrowth
    | MigrateDomain
    | LookAtDomain
    | RunOs
    | VerifyOs
    | RunHooks
    | InspectDisks
    | OpenStream
    | AwaitStream
    | ConfirmStream
    | SendStream
    | EndStreams
    | BeginExport
    | FinishExport
    | RemoveExport
    | ReadExport
    | CreateCertificate
    | RemoveCertificate
    | RunAllocator
    | ResolveName
    | ProbeAddress
    | Ping
    | Powercycle
    | FenceNode
    | ListUnits
    | ListVolumes
    | ChangeUnit
    | RepairUnit
    | ReadLog
    | MakeNetworks
    | CheckAcls
    | ForgetLeases
    | LookAtCeph
    | ChangeCeph
    | AwaitDrained
)


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a step gave; which fields are set is said by the step."""

    path: str = ""
    boot: str = ""
    text: str = ""
    disks: tuple[dict[str, Any] | None, ...] = ()
    units: tuple[dict[str, Any], ...] = ()
    addresses: tuple[str, ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()
    hooks: tuple[tuple[str, bool, str], ...] = ()
    port: int = 0


DEADLINES: dict[type[Step], float] = {
    RunOs: 7200.0,
    RunHooks: 7200.0,
    CreateVolume: 600.0,
    DeleteVolume: 300.0,
    VerifyOs: 120.0,
    MigrateDomain: 7200.0,
    RunAllocator: 330.0,
    AwaitStream: 86500.0,
    SendStream: 86500.0,
    RemoveExport: 600.0,
    FinishExport: 600.0,
    MakeNetworks: 300.0,
    LookAtCeph: 120.0,
    ReadLog: 20.0,
    ChangeCeph: 3600.0,
    LookAtDomain: 7260.0,  # it waits for a migration
}
"""Seconds a step may take before the node counts as unreachable; 60 for others, plus a step's own timeout."""


def deadline(step: Step) -> float:
    """Seconds to wait for `step` to be carried out."""
    extra = 0.0
    if isinstance(step, StopDomain):
        extra = float(step.timeout)
    elif isinstance(step, AwaitSync | AwaitDrained):
        extra = step.at_most
    elif isinstance(step, FenceNode):
        extra = step.seconds
    return DEADLINES.get(type(step), 60.0) + extra
