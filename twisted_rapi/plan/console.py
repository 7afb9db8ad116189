"""How a running instance's console is reached (behaviour.md §4)."""

from typing import Any

from twisted_rapi.model import params
from twisted_rapi.model.records import InstanceRecord
from twisted_rapi.plan.view import View


def console_of(view: View, record: InstanceRecord) -> dict[str, Any] | None:
    """The way to the console, only keys that have a value; ``None`` when the instance does not run."""
    domain = view.domain(record)
    if domain is None or not domain.running:
        return None
    host = view.nodes[record.primary_node]
    if record.hypervisor == "fake":
        text = "Console not available for fake hypervisor"
        return {"instance": record.name, "kind": "msg", "message": text}
    filled = params.hvparams(view.cluster, record)
    bound = filled.get("vnc_bind_address")
    if bound and domain.vnc_port > 5900:
        everywhere = bound in ("0.0.0.0", "::")  # noqa: S104 -- compared, not bound
        address = host.name if everywhere else bound
        port = domain.vnc_port
        return {"instance": record.name, "kind": "vnc", "host": address, "port": port, "display": port - 5900}
    if filled.get("serial_console"):
        command = ["virsh", "console", record.name]
        return {"instance": record.name, "kind": "ssh", "host": host.name, "user": "root", "command": command}
    text = "No console was set up: neither serial_console nor vnc_bind_address"
    return {"instance": record.name, "kind": "msg", "message": text}
