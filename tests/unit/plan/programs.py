"""Opcodes as hypothesis draws them: for two or three instances, so that they meet each other."""

from typing import Any

from hypothesis import strategies as st

from twisted_rapi.model.opcodes import Opcode, from_wire

NAMES = ("a.example.com", "b.example.com")
names = st.sampled_from([NAMES[0], NAMES[0], "a", NAMES[1]])
MACS = ("aa:00:00:00:00:01", "AA:00:00:00:00:02", "auto")

sizes = st.sampled_from([64, "128M", 1024])
nics = st.fixed_dictionaries({}, optional={"mac": st.sampled_from(MACS), "ip": st.just("192.0.2.7")})

nic_edits: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("add"), st.sampled_from([-1, 0]), nics),
    st.tuples(st.just("remove"), st.sampled_from([-1, 0, "0"]), st.just({})),
    st.tuples(st.just("modify"), st.sampled_from([0, "-1"]), nics),
)
disk_edits: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from([-1, 0]),
        st.fixed_dictionaries({"size": sizes}, optional={"name": st.just("d")}),
    ),
    st.tuples(st.just("remove"), st.sampled_from([-1, 0]), st.just({})),
    st.tuples(st.just("modify"), st.just(0), st.sampled_from([{"mode": "ro"}, {"name": "d"}])),
    st.tuples(st.just("detach"), st.sampled_from([-1, 0, "d"]), st.just({})),
    st.tuples(st.just("attach"), st.sampled_from([-1, 0]), st.just({"name": "d"})),
)


def op(op_id: str, **parameters: Any) -> Opcode:
    """The opcode of this name with these parameters, as a client's request becomes one."""
    return from_wire({"OP_ID": f"OP_{op_id}", **parameters})


def create(name: str = NAMES[0], **parameters: Any) -> Opcode:
    """An instance with one disk and one NIC that is installed and started."""
    usual = {
        "instance_name": name,
        "mode": "create",
        "disk_template": "file",
        "disks": [{"size": 64}],
        "nics": [{}],
        "os_type": "noop+default",
    }
    return op("INSTANCE_CREATE", **{**usual, **parameters})


def _ops(op_id: str, *, required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Opcode]:
    return st.fixed_dictionaries(required or {"instance_name": names}, optional=optional).map(
        lambda values: op(op_id, **values)
    )


creations = st.builds(
    lambda name, values: create(name, **values),
    st.sampled_from(NAMES),
    st.fixed_dictionaries(
        {},
        optional={
            "disks": st.lists(st.fixed_dictionaries({"size": sizes}), max_size=2),
            "nics": st.lists(nics, max_size=2),
            "start": st.booleans(),
            "no_install": st.just(True),
            "pnode": st.just("node2"),
        },
    ),
)

_nic_edits = st.lists(nic_edits.map(list), min_size=1, max_size=2)
_disk_edits = st.lists(disk_edits.map(list), min_size=1, max_size=2)

modifications = st.one_of(
    *(
        _ops("INSTANCE_SET_PARAMS", required={"instance_name": names, **changes})
        for changes in (
            {"nics": _nic_edits},
            {"disks": _disk_edits},
            {"nics": _nic_edits, "disks": _disk_edits, "beparams": st.just({"vcpus": 2})},
            {"osparams": st.just({"dhcp": "yes"}), "nics": _nic_edits},
            {"runtime_mem": st.just(128), "nics": _nic_edits},
            {"offline": st.booleans()},
        )
    )
)

opcodes: st.SearchStrategy[Opcode] = st.one_of(
    creations,
    modifications,
    modifications,
    modifications,
    _ops("INSTANCE_REMOVE", ignore_failures=st.booleans()),
    _ops("INSTANCE_STARTUP", no_remember=st.booleans(), startup_paused=st.booleans()),
    _ops("INSTANCE_SHUTDOWN", no_remember=st.booleans()),
    _ops(
        "INSTANCE_REBOOT",
        required={"instance_name": names, "reboot_type": st.sampled_from(["hard", "soft", "full"])},
    ),
    _ops("INSTANCE_REINSTALL", os_type=st.just("noop+alt"), osparams=st.just({"dhcp": "no"})),
    _ops(
        "INSTANCE_RENAME",
        required={
            "instance_name": names,
            "new_name": st.sampled_from([*NAMES, "C.example.com."]),
        },
    ),
    _ops("INSTANCE_ACTIVATE_DISKS"),
    _ops("INSTANCE_DEACTIVATE_DISKS", force=st.booleans()),
    _ops("INSTANCE_QUERY_DATA", required={"instances": st.lists(names, max_size=2), "static": st.booleans()}),
    *(
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from(["cluster", "instance", "node", "nodegroup"]),
                "name": st.sampled_from([*NAMES, "node1", "default"]),
                "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2),
            }
        ).map(lambda values, op_id=op_id: op(op_id, **values))  # type: ignore[misc]
        for op_id in ("TAGS_SET", "TAGS_DEL")
    ),
    st.just(op("OS_DIAGNOSE", output_fields=["name", "variants"])),
)

DEVICES: dict[str, Any] = {"disks": [{"size": 64}, {"size": 32}], "nics": [{}, {"mac": MACS[0]}]}
beginnings = st.sampled_from([create(), create(start=False, **DEVICES), create(start=False, disks=[])])

programs = st.builds(
    lambda first, rest: [first, *rest], beginnings, st.lists(opcodes, min_size=1, max_size=4)
)
"""One instance first, then opcodes that are mostly about it."""
