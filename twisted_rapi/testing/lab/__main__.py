"""
``python -m twisted_rapi.testing.lab``: a lab to play with.

``up``, ``down`` (of every lab, with ``--all``), ``fault NAME [NODE]``, ``cut FROM TO``, ``mend``, ``status``,
``check FAULT…`` (under load, with the checker's judgement), ``run COMMAND…`` (in the client's namespace).
"""

import argparse
import os
import sys
from collections.abc import Callable

from twisted_rapi.testing.lab.asking import Silence
from twisted_rapi.testing.lab.campaign import Campaign
from twisted_rapi.testing.lab.commands import LabError, inside
from twisted_rapi.testing.lab.cutting import EVERYONE, Cut
from twisted_rapi.testing.lab.faults import FAULTS, found
from twisted_rapi.testing.lab.founding import USER, password_of
from twisted_rapi.testing.lab.lab import Lab, opened
from twisted_rapi.testing.lab.layout import API, NAME, Layout
from twisted_rapi.testing.lab.network import has_netem
from twisted_rapi.testing.lab.probe import missing
from twisted_rapi.testing.lab.removal import labs, remove


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _layout(options: argparse.Namespace) -> Layout:
    return Layout(name=options.name)


def greeting(lab: Lab) -> str:
    """What a person has to know to play with a lab that runs."""
    layout, me = lab.layout, f"{sys.executable} -m twisted_rapi.testing.lab"
    me += "" if layout.name == NAME else f" --name {layout.name}"
    nodes = "\n".join(f"  {node.short}  https://{node.address}:{API}  {node.folder}" for node in layout.nodes)
    password, url = password_of(layout), f"https://{layout.addresses[0]}:{API}"
    floating = f"  floating  {url}\n" if layout.floating else ""
    delays = "tc netem" if has_netem(layout.switch) else "a wire of its own (this kernel has no netem)"
    faults = "\n".join(f"  {name:16} {fault.about}" for name, fault in FAULTS.items())
    return f"""
The lab is ready.  Nodes, their addresses and their files:
{nodes}
{floating}User {USER}, password {password}.  Only the lab's namespaces reach these addresses:

  {me} run curl -sk -u {USER}:{password} {url}/2/info
  ip netns exec {layout.client.namespace} bash
  ip netns exec {layout.nodes[0].namespace} bash
  {me} status
  {me} check kill-master cut-master

Faults are caused with "{me} fault NAME [NODE]", and all ended with
"{me} mend"; delays are made by {delays}:

{faults}

"make lab-down" ends everything and leaves nothing."""


def up(options: argparse.Namespace) -> int:
    """Set a lab up."""
    if why := missing(options.clocks, options.guests):
        raise LabError(why)
    layout = Layout(
        name=options.name,
        clocks=options.clocks,
        guests=options.guests,
        floating=not options.no_floating,
    )
    lab = Lab(layout)
    lab.set_up()
    try:
        lab.start()
    except BaseException:
        if not options.keep:
            lab.remove()
        raise
    _say(greeting(lab))
    return 0


def down(options: argparse.Namespace) -> int:
    """Take it down."""
    names = labs() if options.all else [options.name]
    things = [thing for name in names for thing in remove(name)]
    _say("\n".join(things) + "\nremoved." if things else "There was nothing.")
    return 0


def fault(options: argparse.Namespace) -> int:
    """Cause one."""
    lab = opened(_layout(options))
    wanted, whom = found(lab, options.fault, options.node)
    wanted.cause(lab, whom)
    _say(f"{options.fault}: {whom.short}")
    return 0


def cut(options: argparse.Namespace) -> int:
    """Have nothing pass from one place to another."""
    lab = opened(_layout(options))
    ports = {place.port for place in lab.layout.places} | {EVERYONE}
    if not {options.source, options.target} <= ports:
        raise LabError(f"frames pass between {', '.join(sorted(ports))}")
    lab.cut([Cut(options.source, options.target)])
    _say(f"Nothing passes from {options.source} to {options.target}.")
    return 0


def mend(options: argparse.Namespace) -> int:
    """End all."""
    opened(_layout(options)).mend()
    _say("Everything runs.")
    return 0


def status(options: argparse.Namespace) -> int:
    """Say what runs, and who is master."""
    lab = opened(_layout(options))
    for (node, kind), daemon in sorted(lab.daemons.items()):
        _say(f"{node}  {kind:6} {'runs' if daemon.pids() else 'does not run'}")
    info = lab.read("/2/info")
    _say(f"master: {info['master'] if info else 'none answers'}")
    return 0


def check(options: argparse.Namespace) -> int:
    """Cause faults under load, one after the other, and judge what happened."""
    campaign = Campaign(opened(_layout(options)))
    campaign.clear()
    campaign.begin()
    for name in options.faults:
        whom, _ = campaign.cause(name)
        _say(f"{name}: {whom.short}")
        try:
            campaign.await_jobs(4, 20)
        except TimeoutError:
            _say("  no jobs end while that lasts")
        campaign.mend()
    wrong = campaign.judge()
    _say("\n".join(wrong) if wrong else "All that has to hold has held.")
    return 1 if wrong else 0


def run(options: argparse.Namespace) -> int:
    """Be a command in the client's namespace."""
    command = [*inside(_layout(options).client.namespace), *options.command]
    os.execvp(command[0], command)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="lab", description="Three nodes with etcd on one machine, and faults."
    )
    made.add_argument("--name", default=NAME, help=f"of the lab; begins with {NAME}")
    subs = made.add_subparsers(required=True)
    actions: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
        "up": (up, "set a lab up and leave it running"),
        "down": (down, "end it and leave nothing"),
        "fault": (fault, "cause a fault"),
        "cut": (cut, "have nothing pass from one place to another; * is everyone"),
        "mend": (mend, "end all faults"),
        "status": (status, "what runs"),
        "check": (check, "cause faults under load, and judge"),
        "run": (run, "run a command where clients are"),
    }
    sub = {}
    for name, (action, about) in actions.items():
        sub[name] = subs.add_parser(name, help=about)
        sub[name].set_defaults(action=action)
    for option, about in (
        ("--clocks", "have times of day that can be set (libfaketime)"),
        ("--guests", "run real guests, by libvirt"),
        ("--no-floating", "have no floating address: clients ask the nodes"),
        ("--keep", "leave what does not come up for a look"),
    ):
        sub["up"].add_argument(option, action="store_true", help=about)
    sub["down"].add_argument("--all", action="store_true", help="of every name")
    sub["fault"].add_argument("fault", choices=list(FAULTS))
    sub["fault"].add_argument("node", nargs="?", default="")
    for end in ("source", "target"):
        sub["cut"].add_argument(end)
    sub["check"].add_argument("faults", nargs="+", choices=list(FAULTS))
    sub["run"].add_argument("command", nargs=argparse.REMAINDER)
    return made


def main() -> int:
    """Do what the command line says."""
    options = parser().parse_args()
    try:
        done: int = options.action(options)
    except (LabError, TimeoutError, Silence) as e:
        _say(str(e))
        return 1
    return done


if __name__ == "__main__":
    sys.exit(main())
