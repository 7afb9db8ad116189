"""Tests of ``OP_INSTANCE_SET_PARAMS``; results and texts as observed on a real cluster."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.plan.programs import DEVICES, NAMES, create, op
from tests.unit.plan.test_create import pair
from tests.unit.plan.test_power import UNKNOWN, changed, world_with
from twisted_rapi.model.records import name_key
from twisted_rapi.model.steps import SetMemory
from twisted_rapi.plan.edits import normal
from twisted_rapi.testing.cluster import NODES
from twisted_rapi.testing.soundness import complaints, picture
from twisted_rapi.testing.world import Ended, World

A, B = NAMES
NOT_ENABLED = "Disk template 'plain' is not enabled in cluster. Enabled disk templates are: "
MAC = "aa:00:00:00:00:01"
Error = tuple[str, str]


def modify(world: World, **parameters: Any) -> Ended:
    """Modify the instance."""
    return world.run(op("INSTANCE_SET_PARAMS", **{"instance_name": A, **parameters}))


def stopped(**parameters: Any) -> World:
    """A world with an instance at rest that has two disks and two NICs."""
    return world_with(**{**DEVICES, "start": False, **parameters})


RESULTS: tuple[tuple[dict[str, Any], list[tuple[str, Any]]], ...] = (
    ({"beparams": {"vcpus": 3}}, [("be/vcpus", 3)]),
    ({"beparams": {"vcpus": "3"}}, [("be/vcpus", 3)]),
    ({"beparams": {"memory": 96}}, [("be/memory", 96)]),
    ({"beparams": {"memory": "1G", "vcpus": "2"}}, [("be/memory", 1024), ("be/vcpus", 2)]),
    ({"beparams": {"vcpus": "default"}}, [("be/vcpus", "default")]),
    ({"offline": True}, [("admin_state", "offline")]),
    ({"os_name": "noop+alt"}, [("os", "noop+alt")]),
    ({"osparams": {"dhcp": 1}}, [("os/dhcp", "1")]),
    ({"osparams_private": {"dhcp": "x"}}, [("os_private/dhcp", "<redacted>")]),
    (
        {"nics": [["add", -1, {"mac": "AA:00:00:1d:9f:AB", "ip": "10.1.2.9"}]]},
        [("nic.2", "add:mac=aa:00:00:1d:9f:ab,ip=10.1.2.9,mode=bridged,link=br0,network=None")],
    ),
    (
        {"nics": [["modify", 0, {"ip": "10.1.2.8"}]]},
        [
            ("nic.ip/0", "10.1.2.8"),
            ("nic.link/0", "br0"),
            ("nic.mode/0", "bridged"),
            ("nic.vlan/0", ""),
        ],
    ),
    ({"nics": [["remove", -1, {}]]}, [("NIC/1", "remove")]),
    ({"nics": [["remove", {}]]}, [("NIC/1", "remove")]),
    ({"disks": [["add", {"size": "1G"}]]}, [("disk/2", "add:size=1024,mode=rw")]),
    ({"disks": [["remove", "1", {}]]}, [("disk/1", "remove")]),
    ({"disks": [[0, {"mode": "ro"}]]}, [("disk.mode/0", "ro")]),
    ({"disks": [["modify", 0, {"name": "data"}]]}, [("disk.name/0", "data")]),
)

REFUSED: tuple[tuple[dict[str, Any], list[Any]], ...] = (
    ({}, ["OpPrereqError", ["No changes submitted", "wrong_input"]]),
    ({"offline": False}, ["OpPrereqError", ["No changes submitted", "wrong_input"]]),
    ({"beparams": {"foo": 1}}, ["TypeEnforcementError", ["Unknown parameter 'foo'"]]),
    (
        {"beparams": {"vcpus": "x"}},
        ["TypeEnforcementError", ["'vcpus' (value x) is not a valid integer"]],
    ),
    (
        {"beparams": {"vcpus": 0}},
        ["OpPrereqError", ["Backend parameter 'vcpus' must be at least 1", "wrong_input"]],
    ),
    (
        {"osparams": {"dhcp": {"a": 1}}},
        ["TypeEnforcementError", ["'dhcp' (value {'a': 1}) is not a valid string"]],
    ),
    ({"runtime_mem": 128}, ["OpPrereqError", [f"Instance '{A}' is not running", "wrong_state"]]),
    (
        {"disk_template": "plain"},
        ["OpPrereqError", [f"{NOT_ENABLED}file,sharedfile,diskless"]],
    ),
    (
        {"nics": [["modify", 9, {}]]},
        ["OpPrereqError", ["NIC index 9 not found", "unknown_entity"]],
    ),
    (
        {"nics": [["remove", "nosuch", {}]]},
        ["OpPrereqError", ["Cannot find NIC with identifier nosuch", "unknown_entity"]],
    ),
    (
        {"nics": [["remove", "--1", {}]]},
        ["OpPrereqError", ["Cannot find NIC with identifier --1", "unknown_entity"]],
    ),
    (
        {"nics": [["remove", "²", {}]]},
        ["OpPrereqError", ["Cannot find NIC with identifier ²", "unknown_entity"]],
    ),
    (
        {"nics": [["add", "x", {}]]},
        [
            "OpPrereqError",
            ["Only positive integer or -1 is accepted as identifier for add, not 'x'", "wrong_input"],
        ],
    ),
    (
        {"nics": [["add", 3, {}]]},
        ["OpPrereqError", ["Got NIC index 3, but there are only 2", "wrong_input"]],
    ),
    (
        {"nics": [["add", {"colour": "red"}]]},
        ["OpPrereqError", ["Unknown NIC parameter 'colour'", "wrong_input"]],
    ),
    ({"nics": [["add", {"mac": 1}]]}, ["OpPrereqError", ["NIC parameter 'mac' must be text", "wrong_input"]]),
    (
        {"nics": [["add", {"mac": MAC}]]},
        ["OpPrereqError", [f"MAC address {MAC} already in use in cluster", "already_exists"]],
    ),
    (
        {"nics": [["turn", 0, {}]]},
        ["OpPrereqError", ["Invalid NIC modification: not an edit: ['turn', 0, {}]", "wrong_input"]],
    ),
    (
        {"nics": [["add", -1, {}]] * 7},
        ["OpPrereqError", ["Too many NICs: at most 8", "wrong_input"]],
    ),
    (
        {"nics": [["modify", 0, {"link": "br9"}]]},
        ["OpPrereqError", ["Missing bridges on node node1.example.com: br9", "environment_error"]],
    ),
    (
        {"disks": [["modify", 0, {"size": 1}]]},
        ["OpPrereqError", ["Disk size change not possible, use grow-disk", "wrong_input"]],
    ),
    (
        {"disks": [["add", -1, {"size": 1}]] * 15},
        ["OpPrereqError", ["Too many disks: at most 16", "wrong_input"]],
    ),
    (
        {"disks": [["add", {"size": "1T"}], ["add", {"size": 1}]]},
        [
            "OpPrereqError",
            [
                (
                    "Not enough disk space on target node node1.example.com: required 1048577 MiB, "
                    "available 1048480 MiB"
                ),
                "insufficient_resources",
            ],
        ],
    ),
)


class JudgingTests(SynchronousTestCase):
    """What is told of changes, and what is refused."""

    def test_results(self) -> None:
        """Each change is told as observed."""
        for parameters, result in RESULTS:
            world = stopped()
            ended = modify(world, **parameters)
            self.assertEqual((pair(ended), ended.result), (None, result), repr(parameters))
            self.assertEqual((complaints(world), ended.log), ([], []), repr(parameters))
            self.assertEqual(world.instance(A).serial_no, 2)

    def test_back_online(self) -> None:
        """One that was marked offline is down afterwards."""
        world = stopped()
        changed(world, admin_state="offline")
        self.assertEqual(modify(world, offline=False).result, [("admin_state", "down")])

    def test_refused(self) -> None:
        """Each is refused with its class, text and code, and nothing has changed."""
        self.assertEqual(pair(modify(World(), instance_name="nosuch")), UNKNOWN)
        for parameters, error in REFUSED:
            world = stopped()
            before = picture(world)
            ended = modify(world, **parameters)
            self.assertEqual((pair(ended), ended.steps), (error, []), repr(parameters))
            self.assertEqual(picture(world), before)

    def test_running(self) -> None:
        """Disks are not taken from a guest that runs, nor is one marked offline."""
        for parameters, doing in (
            ({"disks": [["remove", 0, {}]]}, "remove disks"),
            ({"offline": True}, "change the state to offline"),
        ):
            self.assertEqual(
                pair(modify(world_with(), **parameters)),
                ["OpPrereqError", [f"Instance '{A}' is marked to be up, cannot {doing}", "wrong_state"]],
            )

    def test_memory_bounds(self) -> None:
        """A guest is ballooned between its bounds, or beyond by force."""
        world = world_with(beparams={"minmem": 128, "maxmem": 512})
        self.assertEqual(
            pair(modify(world, runtime_mem=1024)),
            ["OpPrereqError", [f"Instance {A} must have memory between 128 and 512 MiB", "wrong_input"]],
        )
        ended = modify(world, runtime_mem=1024, force=True)
        self.assertEqual(ended.result, [("runtime_memory", 1024)])
        self.assertEqual(ended.log, ["Changing the memory of the guest"])
        step = world.nodes.nodes[NODES[0]].done[-1]
        assert isinstance(step, SetMemory)
        self.assertEqual(step.memory, 1024)

    def test_more_memory_than_there_is(self) -> None:
        """A change that a guest that is up could not be started with is refused, but for force."""
        world = world_with()
        parameters: dict[str, Any] = {"beparams": {"maxmem": "64G"}}
        self.assertEqual(
            pair(modify(world, **parameters)),
            [
                "OpPrereqError",
                [
                    (
                        "This change will prevent the instance from starting, due to "
                        "32768 MiB of memory missing on its primary node"
                    ),
                    "insufficient_resources",
                ],
            ],
        )
        self.assertEqual(pair(modify(world, **parameters, force=True)), None)

    def test_bridge_gone(self) -> None:
        """A NIC whose bridge has gone hinders only changes of that NIC."""
        world = stopped(nics=[{}])
        changed(world, nics=tuple(replace(n, params={"link": "br9"}) for n in world.instance(A).nics))
        self.assertEqual(pair(modify(world, beparams={"vcpus": 2})), None)
        self.assertEqual(
            pair(modify(world, nics=[["modify", 0, {"ip": "192.0.2.1"}]])),
            ["OpPrereqError", ["Missing bridges on node node1.example.com: br9", "environment_error"]],
        )
        self.assertEqual(pair(modify(world, nics=[["modify", 0, {"link": "default"}]])), None)

    def test_verified(self) -> None:
        """Changed OS parameters are checked by the OS definition before anything changes."""
        world = stopped()
        before = picture(world)
        world.faults = {world.steps: "fails"}
        ended = modify(world, osparams={"dhcp": "x"})
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual((ended.steps, picture(world)), (["os.verify"], before))

    def test_default(self) -> None:
        """The value ``default`` takes a custom value back."""
        world = stopped(beparams={"vcpus": 4}, osparams={"dhcp": "no"})
        modify(world, beparams={"vcpus": "default"}, osparams={"dhcp": "default"})
        self.assertEqual((world.instance(A).beparams, world.instance(A).osparams), ({}, {}))

    @given(
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4)
    )
    def test_any_edit(self, values: Any) -> None:
        """Whatever is given as an edit has one of the forms or is refused as none."""
        edit = values if isinstance(values, list) else [values]
        try:
            action, _, _ = normal(edit)
        except ValueError as e:
            self.assertEqual(str(e), f"not an edit: {edit!r}")
        else:
            self.fail(f"{edit} has no values: {action}")


class CarryingOutTests(SynchronousTestCase):
    """How disks and addresses come and go."""

    def test_stages(self) -> None:
        """New disks are made before the record names them; old ones go when it no longer does."""
        world = stopped()
        ended = modify(world, disks=[["add", 0, {"size": 8}], ["remove", 1, {}]])
        self.assertEqual(ended.stages, ["judged", "made", "recorded", "removed"])
        self.assertEqual(ended.steps, ["volume.create", "volume.delete"])
        self.assertEqual([d.size for d in world.instance(A).disks], [8, 32])

    def test_addresses(self) -> None:
        """MAC addresses are reserved before a NIC has them, and freed when it no longer has."""
        world = stopped()
        uuid = world.instance(A).uuid
        modify(
            world, nics=[["modify", 1, {"mac": "aa:00:00:00:00:07"}], ["add", {"mac": "aa:00:00:00:00:08"}]]
        )
        self.assertNotIn(name_key("mac", MAC), world.names)
        for mac in ("aa:00:00:00:00:07", "aa:00:00:00:00:08"):
            self.assertEqual(world.names[name_key("mac", mac)], uuid)
        modify(world, nics=[["remove", 2, {}]])
        self.assertNotIn(name_key("mac", "aa:00:00:00:00:08"), world.names)
        self.assertEqual(complaints(world), [])

    def test_own_address(self) -> None:
        """A NIC keeps its address if that is given again, however it is written."""
        world = stopped()
        self.assertEqual(pair(modify(world, nics=[["modify", 1, {"mac": MAC.upper(), "name": "x"}]])), None)
        self.assertEqual(world.instance(A).nics[1].mac, MAC)

    def test_race(self) -> None:
        """Of two that want one address at the same time one gets it; the other fails without a trace."""
        world = stopped()
        world.run(create(B, start=False, nics=[]))
        edit = [["add", -1, {"mac": "aa:00:00:00:00:05"}]]
        told: list[Ended] = []
        world.meanwhile["judged"] = lambda: told.append(
            world.run(op("INSTANCE_SET_PARAMS", instance_name=B, nics=edit), 9)
        )
        self.assertEqual(pair(modify(world, nics=edit)), None)
        self.assertEqual(
            pair(told[0]),
            [
                "OpPrereqError",
                [
                    "What it is about is in use: changed by someone else: name/mac/aa:00:00:00:00:05",
                    "wrong_state",
                ],
            ],
        )
        self.assertEqual((world.instance(B).nics, complaints(world)), ((), []))
        self.assertEqual(
            pair(modify(world, instance_name=B, nics=edit)),
            ["OpPrereqError", ["MAC address aa:00:00:00:00:05 already in use in cluster", "already_exists"]],
        )

    def test_earlier_reservations(self) -> None:
        """An instance of an earlier version, whose addresses are not reserved, is modified as any other."""
        world = stopped()
        for nic in world.instance(A).nics:
            del world.names[name_key("mac", nic.mac)]
        self.assertEqual(pair(modify(world, nics=[["remove", 0, {}], ["modify", 0, {"mac": "auto"}]])), None)
        self.assertEqual(complaints(world), [])

    def test_others_changes(self) -> None:
        """What changed meanwhile in other fields of the record is kept."""
        world = stopped()
        world.meanwhile["judged"] = lambda: changed(world, tags=("x",))
        modify(world, beparams={"vcpus": 2})
        self.assertEqual((world.instance(A).tags, world.instance(A).beparams), (("x",), {"vcpus": 2}))

    def test_disks_fail(self) -> None:
        """A disk that cannot be made leaves all as it was, and the new addresses free."""
        world = stopped()
        before = picture(world)
        world.faults = {world.steps + 1: "fails late"}
        ended = modify(world, disks=[["add", {"size": 8}], ["add", {"size": 9}]], nics=[["add", {}]])
        self.assertEqual(pair(ended), ["OpExecError", ["Node node1.example.com: a planted fault"]])
        self.assertEqual((picture(world), world.leftovers), (before, {}))

    def test_left_over(self) -> None:
        """A disk that could not be removed is told of, and removed once its node is back."""
        world = stopped()
        world.faults = {world.steps: "dies"}
        ended = modify(world, disks=[["remove", 0, {}]])
        self.assertEqual((pair(ended), ended.result), (None, [("disk/0", "remove")]))
        self.assertEqual(
            ended.log, [f" - WARNING: disks taken from {A}: work is left for node node1.example.com"]
        )
        world.settle()
        self.assertEqual((complaints(world), world.leftovers), ([], {}))

    @settings(max_examples=30)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("add"), st.integers(-1, 3), st.just({})),
                st.tuples(st.just("remove"), st.integers(-1, 3), st.just({})),
                st.tuples(st.just("modify"), st.integers(-1, 3), st.just({"mac": "auto"})),
            ),
            min_size=1,
            max_size=5,
        )
    )
    def test_any_edits(self, edits: list[tuple[str, int, dict[str, str]]]) -> None:
        """Edits do what they would do to a list, all or none of them."""
        world = stopped()
        want: list[str | None] = [n.uuid for n in world.instance(A).nics]
        had = list(want)
        for action, at, _ in edits:
            if action == "add":
                if at > len(want):
                    want = list(had)
                    break
                want.insert(len(want) if at == -1 else at, None)
            elif not want or at >= len(want):
                want = list(had)
                break
            elif action == "remove":
                del want[at]
        modify(world, nics=[list(edit) for edit in edits])
        got = [n.uuid if n.uuid in had else None for n in world.instance(A).nics]
        self.assertEqual((got, complaints(world)), (want, []))
