"""The instance policy of a group: what sizes machines may have (constants.json ``ipolicy``)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from twisted_rapi.errors import prereq
from twisted_rapi.model import params
from twisted_rapi.model.records import GroupRecord, InstanceRecord
from twisted_rapi.plan.view import View

Spec = Mapping[str, Sequence[int]]


def spec_of(view: View, instance: InstanceRecord) -> Spec:
    """The sizes a policy speaks of; several values where each of them has to fit."""
    backend = params.beparams(view.cluster, instance)
    return {
        "memory-size": [backend["maxmem"]],
        "cpu-count": [backend["vcpus"]],
        "disk-count": [len(instance.disks)],
        "disk-size": [disk.size for disk in instance.disks],
        "nic-count": [len(instance.nics)],
        "spindle-use": [backend["spindle_use"]],
    }


def _outside(spec: Spec, bounds: Mapping[str, Any]) -> Iterator[str]:
    for name, values in spec.items():
        low, high = bounds["min"].get(name, 0), bounds["max"].get(name)
        for value in values:
            if value < low or (high is not None and value > high):
                yield f"{name} value {value} is not in range [{low}, {high}]"


def violations(policy: Mapping[str, Any], spec: Spec, template: str) -> list[str]:
    """What the policy has against a machine; one of its ranges has to fit whole."""
    found = []
    if template not in policy["disk-templates"]:
        found.append(
            f"Disk template {template} is not allowed (allowed templates: {policy['disk-templates']})"
        )
    # The widest complaint would be about every range: tell the one that fits best.
    by_range = [list(_outside(spec, bounds)) for bounds in policy["minmax"]]
    return found + min(by_range, key=len, default=[])


def check(view: View, group: GroupRecord, instance: InstanceRecord) -> None:
    """
    Whether the group's policy allows the machine.

    :raises OpPrereqError: ``wrong_input``, with what it violates (text as observed).
    """
    policy = params.ipolicy(view.cluster, group)
    found = violations(policy, spec_of(view, instance), instance.disk_template)
    if found:
        raise prereq(
            f"Instance allocation to group {group.uuid} ({group.name}) violates policy: {', '.join(found)}"
        )
