"""Fencing by real processes: small programs stand in for ipmitool and for what operators configure."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from twisted_rapi.agent.fencing import Fencing
from twisted_rapi.testing.contracts.fencing import NODE, STEP, FencerContract, NoProofContract

CLOCK: Any = reactor
PASSWORD = "kept-from-others"

# What ipmitool 1.8.19 printed for a simulated board (ipmi_sim of OpenIPMI 2.0.33), in each of these cases.
# "present" is not recorded: boards are said to refuse like that to switch off what is off.
IPMITOOL = """#!/bin/sh
cd @FOLDER@
echo "$@" >>arguments
env >>environment
for word; do [ "$last" = -f ] && [ "$(cat "$word")" = @PASSWORD@ ] && known=1; last=$word; done
echo "IANA PEN registry open failed: No such file or directory" >&2
mode=$(cat mode)
[ "$known" ] && [ $mode != silent ] || {
  echo "Error: Unable to establish IPMI v2 / RMCP+ session" >&2; exit 1; }
[ $mode = slow ] && sleep 60
echo "Get HPM.x Capabilities request failed, compcode = d4" >&2
fails() { echo "Set Chassis Power Control to Down/Off failed: $1" >&2; exit 1; }
case $last-$mode in
  status-odd) echo "Chassis Power is unknown"; exit 0;;
  status-*) echo "Chassis Power is $(cat power)"; exit 0;;
  off-weak) fails "Insufficient privilege level";;
  off-stays) ;;
  *) [ $mode = present ] && [ $(cat power) = off ] && fails "Command not supported in present state"
     echo off >power;;
esac
echo "Chassis Power Control: Down/Off"
"""

OUT_OF_BAND = """#!/bin/sh
cd @FOLDER@
[ "$2" = node2.example.com ] || exit 2
echo "asked for $1" >&2
case $1-$(cat mode) in
  power-off-well) echo off >power;;
  power-status-odd) echo '{"powered": "perhaps"}';;
  power-status-*) [ $(cat power) = on ] && echo '{"powered": true}' || echo '{"powered": false}';;
esac
"""

COMMAND = """#!/bin/sh
cd @FOLDER@
env >environment; echo "$@" >arguments
[ $(cat mode) = well ] || { echo "outlet $RAPI_FENCE_PARAM_OUTLET is stuck"; exit 3; }
echo off >power
"""


class FencingBase(NoProofContract, TestCase):
    """A folder with a stand-in, its mode, and whether the machine has power."""

    SETTINGS = ""
    PROGRAM = ""

    def make(self) -> Fencing:
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.write("power", "on")
        self.write("mode", "well")
        text = self.PROGRAM.replace("@FOLDER@", str(self.folder)).replace("@PASSWORD@", PASSWORD)
        self.write("program", text, 0o755)
        self.write("password", PASSWORD + "\n")
        self.write("fencing.toml", self.SETTINGS.replace("@FOLDER@", str(self.folder)))
        run_dir = self.folder / "run"
        return Fencing(self.folder / "fencing.toml", run_dir, CLOCK, CLOCK, deferToThread)

    def write(self, name: str, text: str, mode: int = 0o600) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def has_power(self) -> bool:
        return self.read("power").strip() == "on"

    def stay_on(self) -> None:
        self.write("mode", "weak")


class IpmiTests(FencingBase, FencerContract):
    """``driver = "ipmi"``."""

    PROGRAM = IPMITOOL
    SETTINGS = f"""
    ipmitool = "@FOLDER@/program"
    [nodes."{NODE}"]
    driver = "ipmi"
    address = "192.0.2.102"
    user = "rapi"
    password_file = "password"
    cipher_suite = 17
    """

    async def test_arguments(self) -> None:
        """The board is asked as configured; the password is no argument, in no environment, in no file."""
        proof = await self.fencer.fence(STEP)
        self.assertEqual(proof, "192.0.2.102, asked by ipmitool: Chassis Power is off")
        begun = (
            f"-I lanplus -H 192.0.2.102 -p 623 -U rapi -f {self.folder}/password -L OPERATOR -C 17 -N 2 -R 3"
        )
        lines = [f"{begun} chassis power {word}" for word in ("off", "status")]
        self.assertEqual(self.read("arguments").splitlines(), lines)
        self.assertNotIn(PASSWORD, self.read("environment"))
        self.assertEqual([p for p in (self.folder / "run").rglob("*") if p.is_file()], [])

    async def test_failures(self) -> None:
        """Each way to fail is told with ipmitool's own words, and is no proof."""
        session = "Error: Unable to establish IPMI v2 / RMCP+ session (exit status 1)"
        weak = "Set Chassis Power Control to Down/Off failed: Insufficient privilege level (exit status 1)"
        for mode, told in (
            ("silent", session),
            ("weak", f"{weak}; Chassis Power is on"),
            ("odd", "Chassis Power is unknown"),
        ):
            self.write("mode", mode)
            text = await self.failure()
            self.assertEqual(text, f"192.0.2.102, asked by ipmitool: {told}")
        self.write("mode", "well")
        self.write("password", "another")
        self.assertIn(session, await self.failure())

    async def test_late(self) -> None:
        """A machine that stays on, and a board that is slow, are given up after the seconds there are."""
        self.write("mode", "stays")
        text = await self.failure(replace(STEP, seconds=1.5))
        self.assertRegex(text, "Chassis Power is on|it took too long")  # whichever a slow machine comes to
        self.write("mode", "slow")
        self.assertIn("it took too long", await self.failure(replace(STEP, seconds=0.2)))

    async def test_present_state(self) -> None:
        """A board that refuses to switch off what is off says that it is off."""
        self.write("mode", "present")
        await self.fencer.fence(STEP)
        self.assertIn("Chassis Power is off", await self.fencer.fence(STEP))

    async def test_password_file(self) -> None:
        """Nothing is asked without a password that only its owner can read."""
        self.write("password", PASSWORD, 0o644)
        self.assertIn("others than its owner", await self.failure())
        (self.folder / "password").unlink()
        self.assertIn("No such file", await self.failure())
        self.assertFalse((self.folder / "arguments").exists())

    async def test_no_ipmitool(self) -> None:
        """One that is not installed is named."""
        (self.folder / "program").unlink()
        self.assertIn("not found", await self.failure())


class CommandTests(FencingBase, FencerContract):
    """``driver = "command"``, as the default."""

    PROGRAM = COMMAND
    SETTINGS = """
    [default]
    driver = "command"
    command = ["@FOLDER@/program", "--node={name}", "{uuid}; true"]
    parameters = { outlet = "7" }
    """

    async def test_handed(self) -> None:
        """The program gets the node and the parameters, no shell between, and nothing of the agent's."""
        await self.fencer.fence(STEP)
        self.assertEqual(self.read("arguments"), f"--node={NODE} {STEP.uuid}; true\n")
        names = {line.partition("=")[0] for line in self.read("environment").splitlines()}
        ours = {"RAPI_FENCE_NAME", "RAPI_FENCE_UUID", "RAPI_FENCE_PARAM_OUTLET", "RAPI_FENCING"}
        self.assertEqual(names - {"PWD", "OLDPWD", "SHLVL", "_"}, ours | {"PATH", "LC_ALL"})

    async def test_fails(self) -> None:
        """Another exit status is told with the last line."""
        self.stay_on()
        self.assertIn("program: outlet 7 is stuck (exit status 3)", await self.failure())


class OutOfBandTests(FencingBase, FencerContract):
    """``oob_program`` of a node that the file does not name."""

    PROGRAM = OUT_OF_BAND

    def make(self) -> Fencing:
        fencing = super().make()
        (self.folder / "fencing.toml").unlink()
        self.step = replace(STEP, program=f"{self.folder}/program", seconds=30.0)
        return fencing

    def stay_on(self) -> None:
        self.write("mode", "stays")
        self.step = replace(self.step, seconds=0.5)

    async def test_no_proof(self) -> None:
        """A status that is no answer, and a program that others can write, are no proof."""
        self.write("mode", "odd")
        self.assertIn("no power status", await self.failure())
        self.write("program", OUT_OF_BAND, 0o777)
        self.assertIn("others than root can write it", await self.failure())


class HandTests(FencingBase):
    """``driver = "hand"``, a node that nothing is said of, and files that cannot be meant."""

    SETTINGS = f"""
    [nodes."{NODE}"]
    driver = "hand"
    """

    async def test_no_proof(self) -> None:
        """It always says that somebody has to go there."""
        self.assertIn("is fenced by hand", await self.failure())

    async def test_unknown(self) -> None:
        """A node that nothing is configured for is not fenced."""
        other = replace(STEP, name="node3.example.com")
        self.assertIn("does not say how node3.example.com is fenced", await self.failure(other))

    async def test_refused(self) -> None:
        """A file that others can read, or that says what cannot be meant, is no way to fence."""
        self.write("fencing.toml", self.SETTINGS, 0o640)
        self.assertIn("others than its owner", await self.failure())
        ipmi = 'driver = "ipmi"\naddress = "b"\nuser = "u"\npassword_file = "p"\n'
        for way in (
            "driver = 'teleport'",
            "driver = 'command'\ncommand = []",
            "driver = 'command'\ncommand = ['relative']",
            "driver = 'command'\ncommand = ['/bin/true']\nparameters = { 'a=b' = '1' }",
            ipmi.replace('"b"', '"-b"'),
            ipmi + "port = 0",
            ipmi + "password = 'x'",
        ):
            self.write("fencing.toml", f'[nodes."{NODE}"]\n{way}\n')
            self.assertIn("fencing.toml", await self.failure())
