"""``OP_TEST_ALLOCATOR``: what an allocator would be asked, and what it would say."""

import json
from typing import Any

import attrs

from twisted_rapi.errors import prereq
from twisted_rapi.model.opcodes.cluster import TestAllocator
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.plan.allocation import questions as ask
from twisted_rapi.plan.allocation.builtin import answer
from twisted_rapi.plan.allocation.consult import CONSULTED, allocator, asking, heard
from twisted_rapi.plan.allocation.request import request
from twisted_rapi.plan.allocation.response import written
from twisted_rapi.plan.drafting import allocation
from twisted_rapi.plan.stage import Finish, Progress, Stage
from twisted_rapi.plan.view import View


def plan_test_allocator(op: TestAllocator, progress: Progress, view: View) -> Stage:
    """Answer the input of an allocator, or its output, as text."""
    question = _question(op, view)
    if op.direction == "in":
        return Finish(result=json.dumps(request(view, question)))
    name = allocator(op.iallocator, view)
    if not name:
        return Finish(result=json.dumps(written(question, answer(view, question))))
    if progress.stage == CONSULTED:
        return Finish(result=heard(progress))
    return asking(question, name, view)


def _question(op: TestAllocator, view: View) -> ask.Question:
    match op.mode:
        case "allocate":
            return _allocation(op, view, op.name)
        case "multi-allocate":
            names = [f"{op.name}{n}" for n in range(op.count)]
            return ask.AllocateSeveral(instances=tuple(_allocation(op, view, name) for name in names))
        case "relocate":
            return ask.Relocate(instance=view.instance(op.name))
        case "allocate-secondary":
            return ask.AllocateSecondary(instance=view.instance(op.name))
        case "node-evacuate":
            mode = _needed(op, "evac_mode")
            return ask.Evacuate(instances=_instances(op, view), mode=mode)
        case "change-group":
            targets = tuple(view.group(name).uuid for name in op.target_groups or ())
            return ask.ChangeGroup(instances=_instances(op, view), targets=targets)


def _needed(op: TestAllocator, name: str) -> Any:
    value = getattr(op, name)
    if value is None or value == []:
        raise prereq(f"Missing attribute '{name}' on opcode input")
    return value


def _instances(op: TestAllocator, view: View) -> Any:
    return tuple(view.instance(name) for name in _needed(op, "instances"))


def _allocation(op: TestAllocator, view: View, name: str) -> ask.Allocate:
    for each in ("memory", "disk_template"):
        _needed(op, each)
    backend = {"maxmem": op.memory, "minmem": op.memory, "spindle_use": op.spindle_use}
    creation = InstanceCreate(
        instance_name=name,
        mode="create",
        disks=op.disks or [],
        nics=op.nics or [],
        disk_template=op.disk_template,
        hypervisor=op.hypervisor,
        beparams={**backend, **({} if op.vcpus is None else {"vcpus": op.vcpus})},
        os_type=op.os,
        no_install=op.os is None,
        tags=op.tags,
        group_name=op.group_name,
    )
    wanted = allocation(creation, view)
    # The OS is told to the allocator; that a node has it is not asked for here.
    return attrs.evolve(wanted, starts=True, os="")
