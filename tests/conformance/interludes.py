"""What was done to the recorded cluster between two requests, by other means than requests."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.conformance.world import World

Interlude = Callable[[World], Mapping[int, int] | None]
"""What is done; answers the jobs it began: recorded id to the one here."""

TAGS = "/2/tags"
INST1 = "/2/instances/inst1.gnt.example/tags"

# Jobs the recording did not wait for before it went on.
HELD = frozenset({416})


def _begin(recorded: int, status: str, *ops: dict[str, Any]) -> Interlude:
    def begin(world: World) -> Mapping[int, int]:
        job = world.post_job(list(ops))
        assert job is not None
        world.await_status(job, status)
        return {recorded: job}

    return begin


def _idle(world: World) -> None:
    """All jobs have ended."""
    for job in world.read("/2/jobs"):
        world.await_job(job["id"])


def _do(*ops: dict[str, Any]) -> Interlude:
    def do(world: World) -> None:
        _idle(world)
        job = world.post_job(list(ops))
        assert job is not None
        world.await_job(job)

    return do


def _delay(seconds: float, **more: Any) -> dict[str, Any]:
    return {"OP_ID": "OP_TEST_DELAY", "duration": seconds, **more}


def _limit(jobs: int) -> dict[str, Any]:
    return {"OP_ID": "OP_CLUSTER_SET_PARAMS", "max_running_jobs": jobs}


def _busy(world: World) -> None:
    """One job may run, and one does for a while."""
    _do(_limit(1))(world)
    _begin(0, "running", _delay(3))(world)


def _only_default(world: World) -> None:
    """The other groups, which have no nodes, are gone."""
    _idle(world)
    for group in world.read("/2/groups"):
        if group["name"] != "default":
            _do({"OP_ID": "OP_GROUP_REMOVE", "group_name": group["name"]})(world)


_CREATE = {
    "OP_ID": "OP_INSTANCE_CREATE",
    "mode": "create",
    "instance_name": "jinst",
    "disks": [],
    "nics": [],
    "disk_template": "diskless",
    "os_type": "noop+default",
    "pnode": "node1.gnt.example",
}

# Tags that only this cluster takes from a JSON list are taken back.
INTERLUDES: Mapping[tuple[str, int], Interlude] = {
    # The powercycle that 06_nodes asks for ends guests five seconds later, not those of later recordings.
    ("09_instances", 1): lambda _: time.sleep(6),
    # The recorded evacuation failed: other jobs had just brought these to the node.
    ("09_instances", 270): lambda world: world.gather(("inst2", "inst3", "inst5"), "node2.gnt.example"),
    ("10_jobs", 26): _do({**_CREATE, "start": False}),
    ("10_jobs", 36): _begin(315, "running", _delay(2)),
    ("10_jobs", 45): _begin(319, "error", {"OP_ID": "OP_TAGS_DEL", "kind": "cluster", "tags": ["nope"]}),
    ("10_jobs", 47): _busy,
    ("10_jobs", 54): _only_default,
    ("10_jobs", 52): _begin(326, "running", _limit(20), _delay(12)),
    ("11_query", 1): _do({"OP_ID": "OP_INSTANCE_REMOVE", "instance_name": "jinst"}),
    ("12_tags", 6): lambda world: world.remove_tags(TAGS, ["three", "four"]),
    ("12_tags", 13): lambda world: world.remove_tags(TAGS, ["seven"]),
    ("12_tags", 47): lambda world: world.remove_tags(INST1, ["b"]),
    ("15_require_auth", 0): lambda world: world.require_authentication(True),
    ("15_require_auth", 46): lambda world: world.require_authentication(False),
    ("16_down", 0): lambda world: world.stop_node(3),
    ("16_down", 6): lambda world: world.start_node(3),
    ("17_jobs_waiting", 0): _begin(
        415, "running", _delay(6, on_master=False, on_nodes=["node2.gnt.example"], no_locks=False)
    ),
}
