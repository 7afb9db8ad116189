"""
Sessions of processes that end with their agent.  Everything but `command` blocks and belongs in a thread.

Note [No script outlives its agent].  A script, or something it started, that goes on writing to a disk after
its agent was killed would meet the next attempt at the same disk.  The death signal of a process is not
inherited by what it starts, so it is given to a supervisor: the leader of a new session, told by the kernel
when the agent dies, which then kills its whole group.  For the case that the supervisor is killed as well
there is a note, written before the script begins and removed when all of the session has ended; an agent
that starts ends what the notes name.

Note [No stranger is killed].  Process numbers are used again.  The leader is known by the moment it started.
Once it has gone, its number stays taken for as long as a process of its session lives, but a stranger's
session may have it after that; so the others have to have the session's mark in their environment too.
A process that is between being forked and having begun its program shows none at all: it is looked at again.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

SETSID, SETPRIV = "/usr/bin/setsid", "/usr/bin/setpriv"
PATIENCE = 10.0  # seconds for killed processes to be gone

# Called with: log, note, the agent's process, the mark, the script and its arguments.  What a shell adds to
# the environment is not for the script.
_SUPERVISE = """\
note=$1 agent=$2 mark=$3; shift 3
exec </dev/null >>"$0" 2>&1
read -r stat </proc/$$/stat && printf '%s\\n%s\\n' "$stat" "$mark" >"$note" || exit 126
trap 'kill -KILL 0' TERM
[ "$PPID" = "$agent" ] || exit 126
unset PWD OLDPWD SHLVL
"$@" &
wait $!
"""


def command(log: Path, note: Path, script: Sequence[str], mark: str) -> list[str]:
    """
    What this process has to spawn so that `script` runs as said above.

    :param log: gets the output.
    :param note: names the session for `end`; nothing may be there.
    :param mark: a variable of the script's environment that strangers do not have, as ``NAME=value``.
    """
    supervisor = [SETSID, SETPRIV, "--pdeathsig", "TERM", "/bin/sh", "-c", _SUPERVISE]
    return [*supervisor, str(log), str(note), str(os.getpid()), mark, *script]


def end(note: Path) -> bool:
    """
    Kill what is left of the session `note` names, and remove the note; one that is not there is well.

    :returns: whether all is gone; the note stays otherwise.
    """
    try:
        stat, mark = note.read_text(encoding="utf-8").splitlines()
        leader, began = int(stat.split()[0]), _fields(stat)[19]
    except FileNotFoundError:
        return True
    except (ValueError, IndexError):  # killed while it was written: the script did not begin
        note.unlink(missing_ok=True)
        return True
    given_up = time.monotonic() + PATIENCE
    while members := dict(_members(leader, began, mark.encode())):
        ours = [pid for pid, known in members.items() if known]
        if time.monotonic() > given_up:
            if ours:
                return False
            break  # what has no environment for so long is a stranger
        _kill(ours)
        time.sleep(0.02)
    note.unlink(missing_ok=True)
    return True


def _kill(pids: Sequence[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _fields(stat: str) -> list[str]:
    # From the state on: the name before it may have spaces and parentheses.
    return stat.rpartition(")")[2].split()


def _members(leader: int, began: str, mark: bytes) -> Iterator[tuple[int, bool]]:
    """Processes of the session, and whether that is certain."""
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            fields = _fields((folder / "stat").read_text(encoding="utf-8", errors="replace"))
            if fields[3] != str(leader) or fields[0] in "ZX":
                continue
            environment = (folder / "environ").read_bytes()
        except (OSError, IndexError):
            continue
        ours = fields[19] == began if pid == leader else mark in environment.split(b"\0")
        if ours or (pid != leader and not environment):
            yield pid, ours
