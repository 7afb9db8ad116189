"""
Where PVC's API answers otherwise on purpose.

Every reason has to stand, word for word, as an item of docs/compatibility.rst.
"""

from tests.conformance.pvc.ceph import OF_CEPH
from tests.conformance.pvc.difference import ALL_SERVED, BY_NAME, INSIDE, LIST_OF_ONE, Difference
from tests.conformance.pvc.machines import OF_MACHINES
from tests.conformance.pvc.networks import OF_NETWORKS
from tests.conformance.pvc.unserved import NOT_SERVED

_STATES = (
    "States are answered as the documents say; the first form of the original answers the word ``Test``."
)
_CHOSEN = (
    "Without a selector a node is chosen by its memory, and a selector that is none is refused; the first "
    "form of the original moves the machine to a node that it calls ``None``."
)
_WHOLE = "A token is compared as a whole; the original also takes any part of one, and an empty one."

DIFFERENCES: tuple[Difference, ...] = (
    Difference(ALL_SERVED, "seed", "node-daemon-state", 200),
    Difference(ALL_SERVED, "seed", "node-daemon-state-missing", 404),
    Difference(ALL_SERVED, "seed", "node-coord-post-newname", 200),
    Difference(ALL_SERVED, "v06|v1", "node-coord-post-oldname|seed-path-auth-login", 200),
    Difference(ALL_SERVED, "v06-auth|v1-auth", "node-token-query|login-query", 200),
    Difference(_STATES, "seed", "(node-coordinator|node-domain|vm)-state(-get)?|vm-node-get-nomigr", 200),
    Difference(
        _STATES, "seed", "(node-coordinator|node-domain|vm)-state(-get)?-missing|vm-node-get-missing", 404
    ),
    Difference(
        BY_NAME,
        "seed",
        "node-get-sub",
        200,
    ),
    Difference(
        "A value that is missing or wrong is told in JSON; the first form of the original answers a page.",
        "seed",
        "node-coord-post-bad|vm-state-(bad|missingarg)|vm-node-(bad|no)action|vm-unmigrate-notmigrated",
        400,
    ),
    Difference(ALL_SERVED, "v06|v1", "vm-move-seed-permanent", 200),
    Difference(
        "A flag that is left out is a no; 0.6 of the original fails inside.",
        "v06",
        "node-domain-flush-nowaitarg|vm-migrate-noforcearg",
        200,
    ),
    Difference(_CHOSEN, "seed", "vm-migrate-auto-noselector", 200),
    Difference(_CHOSEN, "seed", "vm-migrate-auto-bogus", 400),
    Difference(_WHOLE, ".*-auth", "login-(empty|partial)|node-session-(empty|partial)", 401),
    Difference(
        "A login that fails is 401 in all forms; the original answers 200 and ``null`` from 0.6 on.",
        "v06-auth|v1-auth",
        "login-bad",
        401,
    ),
    Difference(
        LIST_OF_ONE, "v06", "node-list-limit-prefix|node-list-limit-form-in-get|vm-list-limit-uuid", 200
    ),
    Difference(
        "A machine whose name and UUID both match a pattern is listed once; the original lists it twice.",
        "seed|v06",
        "vm-list-limit-dup",
        200,
    ),
    Difference(
        "The memory of a machine is a number of MiB, whatever unit its definition has; the original's first "
        "form answers a text for some.",
        "seed",
        "vm-list-node",
        200,
    ),
    Difference(
        "A machine that could not be started is stopped, and its job says why; there is no state for it.",
        "seed|v1",
        "vm-list-state-failed|vm-list-negate-state",
        200,
    ),
    Difference(
        "``GET /api/v1/vm/V/dump`` answers the definition, as the first documentation says; no version of "
        "the original has it.",
        "v06|v1",
        "vm-dump-path",
        200,
    ),
    Difference(
        INSIDE,
        "v1",
        "vm-state-get",
        200,
    ),
    Difference("Tags are those of RAPI, and told in order.", "v1", "vm-tags-get", 200),
    Difference(
        "Faults are listed by when they were last reported where nothing else is said, as the documents "
        "promise; the original refuses it.",
        "v1",
        "faults",
        200,
    ),
    Difference(
        "A task that is unknown is told so; the original says of it that it is pending, for ever.",
        "v1",
        "tasks-get",
        404,
    ),
    # Nobody did what the recorded nodes were told, so they flush and unflush for ever.
    Difference(
        "A node without machines that are to leave or come back is flushed or ready at once, also one that "
        "is told so twice.",
        "v1",
        "node-list-coordinator-state",
        200,
    ),
    *NOT_SERVED,
    *OF_NETWORKS,
    *OF_CEPH,
    *OF_MACHINES,
)
