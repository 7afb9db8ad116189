"""Making an instance of an export: what the export says, and its data (behaviour.md §5, §6)."""

import attrs
import msgspec
from msgspec.structs import replace

from twisted_rapi.errors import prereq
from twisted_rapi.model import param_tables as tables
from twisted_rapi.model.opcodes.instance import InstanceCreate
from twisted_rapi.model.records import InstanceRecord, Params
from twisted_rapi.model.steps import DumpEnd, ReadExport, ScriptEnd, StreamEnd, VolumeEnd
from twisted_rapi.plan import copying, export_config
from twisted_rapi.plan.condition import answering
from twisted_rapi.plan.copying import Copy
from twisted_rapi.plan.machine import domain_spec
from twisted_rapi.plan.stage import Change, Do, DryRun, Perform, Progress, Stage
from twisted_rapi.plan.view import View


def look(op: InstanceCreate, view: View) -> Perform:
    """
    Read the export's configuration; its path and node are kept.

    :raises OpPrereqError: no node has it.
    """
    path = op.src_path or op.source_instance_name or op.instance_name
    node = _node(op, view, path)
    step = ReadExport(instance=op.instance_name, path=path)
    return Perform(
        work=Do(node, step),
        stage="read",
        check=True,
        kept={"export": {"node": node, "path": path}, "token": copying.new_token(view)},
    )


def _node(op: InstanceCreate, view: View, path: str) -> str:
    if op.src_node is not None:
        node = view.node(op.src_node)
        answering(view, node)
        return node.uuid
    if op.src_path is not None and "/" in op.src_path:
        raise prereq("Importing from a path requires a source node")
    having = [uuid for uuid, report in sorted(view.reports.items()) if path in report.exports]
    if not having:
        raise prereq(f"No export found for relative path {path}")
    return having[0]


def noted(progress: Progress) -> Progress:
    """Progress with the configuration that was just read kept in it."""
    outcome = progress.outcomes[0] if progress.outcomes else None
    text = "" if outcome is None else outcome.text
    export = {**progress.kept["export"], "config": text}
    return Progress(kept={**progress.kept, "export": export}, job=progress.job)


def completed(op: InstanceCreate, kept: Params, view: View) -> InstanceCreate:
    """
    The creation with what the export says and the request does not.

    :raises OpPrereqError: the export cannot be used.
    """
    exported = export_config.read(kept["export"]["config"])
    hypervisor = op.hypervisor or exported.values["hypervisor"] or view.cluster.default_hypervisor
    known = set(tables.HV_DEFAULTS.get(hypervisor, {})) - tables.HV_GLOBAL
    usual = {"backend": set(tables.BE_DEFAULTS), "hypervisor_params": known}
    values = export_config.filled(op, exported, usual)
    if op.instance_name != kept["export"]["path"].rpartition("/")[2] and not op.nics:
        # Another machine has addresses of its own.
        values["nics"] = [{**nic, "mac": "auto"} for nic in values.get("nics", [])]
    whole = replace(op, **values)
    if len(exported.dumps) > len(whole.disks):
        raise prereq(
            f"The export has {len(exported.dumps)} disks, the instance would have {len(whole.disks)}"
        )
    return msgspec.convert(msgspec.to_builtins(whole), InstanceCreate)


def carrying(stage: Stage, kept: Params) -> Stage:
    """A first stage of the creation that keeps what is known of the export."""
    export = {"export": kept["export"], "token": kept.get("token", "")}
    if isinstance(stage, DryRun):
        then = carrying(stage.then, kept)
        return attrs.evolve(stage, then=then)
    if isinstance(stage, Perform | Change):
        return attrs.evolve(stage, kept={**stage.kept, **export})
    return stage


def copy_of(view: View, instance: InstanceRecord, kept: Params) -> Copy:
    """The data, from the node with the export to the instance's."""
    export = kept["export"]
    dumps = export_config.read(export["config"]).dumps
    spec = domain_spec(view, instance, osparams=dict(instance.osparams_private))
    ends: list[tuple[StreamEnd, StreamEnd]] = []
    for n, dump in enumerate(dumps):
        if dump:
            into: StreamEnd = (
                ScriptEnd(domain=spec, index=n) if instance.os else VolumeEnd(disk=spec.disks[n])
            )
            ends.append((DumpEnd(export=export["path"], file=dump), into))
    return Copy(
        instance=instance.name,
        source=export["node"],
        target=instance.primary_node,
        token=kept["token"],
        ends=tuple(ends),
    )
