"""What clients of a simulation ask for."""

from typing import Any

_OPS: tuple[dict[str, Any], ...] = (
    {"OP_ID": "OP_TEST_DELAY"},
    {"OP_ID": "OP_TAGS_SET", "kind": "cluster"},
    {
        "OP_ID": "OP_INSTANCE_CREATE",
        "mode": "create",
        "disk_template": "sharedfile",
        "disks": [{"size": 64}],
        "nics": [{}],
        "os_type": "noop+default",
    },
    {"OP_ID": "OP_INSTANCE_REMOVE"},
    {"OP_ID": "OP_INSTANCE_SHUTDOWN"},
    {"OP_ID": "OP_INSTANCE_STARTUP"},
    {"OP_ID": "OP_INSTANCE_MIGRATE"},
    {"OP_ID": "OP_INSTANCE_FAILOVER"},
)
KINDS = len(_OPS)


def _about(kind: int, which: int) -> dict[str, Any]:
    """What an opcode of this kind is about; `which` is one of nine."""
    if kind == 0:
        return {"duration": which / 2, "on_master": False, "on_nodes": [f"node{which % 3 + 1}.example.com"]}
    if kind == 1:
        return {"tags": [f"tag{which}"]}
    more: dict[str, Any] = {"instance_name": f"vm{which % 3}.example.com"}
    if kind == 2:
        more["pnode"] = f"node{which // 3 + 1}.example.com"
    if kind in (6, 7):
        more["target_node"] = f"node{which // 3 + 1}.example.com"
    return more


def wished(kind: int, which: int, mark: str) -> dict[str, Any]:
    """An opcode of one of `KINDS`, with a mark to be known by; `which` of nine such it is."""
    return {**_OPS[kind], **_about(kind, which), "comment": mark}
