"""RAPI resources that move instances and their data."""

from typing import Any

from twisted_rapi.model.opcodes import Opcode, backup, moving
from twisted_rapi.web.call import Route
from twisted_rapi.web.rapi.rows import Submission, text, write

_INSTANCE = "/2/instances/[instance_name]"


def _instance(opcode: type[Opcode], what: str, **more: Any) -> Submission:
    return Submission(
        opcode=opcode, handler=f"instances_name_{what}", names={"instance_name": "instance_name"}, **more
    )


MIGRATE = _instance(moving.InstanceMigrate, "migrate")
FAILOVER = _instance(moving.InstanceFailover, "failover")
PREPARE = _instance(backup.BackupPrepare, "prepare_export", query={"mode": ("mode", text)}, body=False)
EXPORT = _instance(backup.BackupExport, "export", renames={"destination": "target_node"})
REMOVE_EXPORT = _instance(backup.BackupRemove, "export")

ROUTES = (
    Route(f"{_INSTANCE}/migrate", {"PUT": write(MIGRATE)}),
    Route(f"{_INSTANCE}/failover", {"PUT": write(FAILOVER)}),
    Route(f"{_INSTANCE}/prepare-export", {"PUT": write(PREPARE)}),
    Route(f"{_INSTANCE}/export", {"PUT": write(EXPORT), "DELETE": write(REMOVE_EXPORT)}),
)
