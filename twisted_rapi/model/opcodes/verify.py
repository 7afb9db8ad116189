"""Opcodes that look whether all is as it should be (opcodes.json, "newest")."""

from typing import Literal

from msgspec import field

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode

SkippedCheck = Literal["hvparam_assessment", "nplusone_mem"]


class ClusterVerify(Opcode, frozen=True, kw_only=True):
    """Submit a job that looks at the configuration, and one for each group."""

    OP_ID = "OP_CLUSTER_VERIFY"

    debug_simulate_errors: bool = False
    error_codes: bool = False
    skip_checks: list[SkippedCheck] = field(default_factory=list)
    ignore_errors: list[NonEmpty] = field(default_factory=list)
    verbose: bool = False
    group_name: NonEmpty | None = None
    verify_clutter: bool = False


class ClusterVerifyConfig(Opcode, frozen=True, kw_only=True):
    """Look whether the records fit together."""

    OP_ID = "OP_CLUSTER_VERIFY_CONFIG"

    debug_simulate_errors: bool = False
    error_codes: bool = False
    ignore_errors: list[NonEmpty] = field(default_factory=list)
    verbose: bool = False


class ClusterVerifyGroup(Opcode, frozen=True, kw_only=True):
    """Look whether the nodes of a group, and the instances on them, are as the records say."""

    OP_ID = "OP_CLUSTER_VERIFY_GROUP"
    SUMMARY = "group_name"

    group_name: NonEmpty
    debug_simulate_errors: bool = False
    error_codes: bool = False
    skip_checks: list[SkippedCheck] = field(default_factory=list)
    ignore_errors: list[NonEmpty] = field(default_factory=list)
    verbose: bool = False
    verify_clutter: bool = False


class ClusterVerifyDisks(Opcode, frozen=True, kw_only=True):
    """Submit a job for each group that looks at its instances' disks."""

    OP_ID = "OP_CLUSTER_VERIFY_DISKS"

    group_name: NonEmpty | None = None
    is_strict: bool = True


class GroupVerifyDisks(Opcode, frozen=True, kw_only=True):
    """Look which instances of a group have disks that are not in use, or are gone."""

    OP_ID = "OP_GROUP_VERIFY_DISKS"
    SUMMARY = "group_name"

    group_name: NonEmpty
    is_strict: bool = True


class ClusterRepairDiskSizes(Opcode, frozen=True, kw_only=True):
    """Note how large disks really are, where the records say something else."""

    OP_ID = "OP_CLUSTER_REPAIR_DISK_SIZES"

    instances: list[NonEmpty] = field(default_factory=list)
