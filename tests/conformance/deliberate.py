"""
Where this cluster answers otherwise on purpose.

Every reason has to stand, word for word, as an item of docs/compatibility.rst.
"""

import json
import re
from collections.abc import Callable

import attrs

from tests.conformance.captures import Capture
from tests.conformance.world import Answer

Holds = Callable[[Capture, Answer], bool]


@attrs.frozen
class Difference:
    """
    A deliberate difference.

    :ivar reason: the item of docs/compatibility.rst.
    :ivar applies: whether it is about this request, and the answer is the one that is meant.
    """

    reason: str
    applies: Holds


def _listed_tags(capture: Capture, answer: Answer) -> bool:
    """A job that sets tags of a list, where the recorded one has none."""
    return answer.status == 200 and capture.name.startswith(("tags put body list", "inst tags put body"))


_SHORT_MEANWHILE = ("node role master-candidate.job", "node modify master_capable true.job")
_OLDER_QUERY = re.compile(r"/2/query/(os|cluster|extstorage)(/fields)?\Z")


def _further_fields(capture: Capture, answer: Answer) -> bool:
    """All fields of nodes, as recorded, and then ours."""
    if (capture.method, capture.path, answer.status) != ("GET", "/2/query/node/fields", 200):
        return False
    recorded, ours = (
        [(f["name"], f["title"], f["kind"]) for f in json.loads(text)["fields"]]
        for text in (capture.answer, answer.body)
    )
    return ours == [*recorded, ("fate", "Fate", "text")]


def _checks_off(capture: Capture, answer: Answer) -> bool:
    """A job whose opcode has the other default, and is the same but for that."""
    names = ("inst create inst1 (name_check default).job", "inst rename defaults.job")
    return capture.name in names and '"name_check": false' in answer.body and '"success"' in answer.body


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "Unknown instances, nodes, groups and networks are 404 wherever they stand in a URI of a direct read"
        " (role, tags, console); the original answers 500 there.",
        lambda c, a: a.status == 404 and c.status == 500 and c.path.endswith(("/role", "/tags", "/console")),
    ),
    Difference(
        "Adding a network tells of each node's address once, by the names of nodes; the original tells of"
        " the primary address again as a failed reservation of the secondary one.",
        lambda c, a: c.name == "net add with conflict.job" and '"success"' in a.body,
    ),
    Difference(
        "DELETE of /2/instances/[instance_name]/export removes the export, as the newest release documents;"
        " the original release has no such method yet.",
        lambda c, a: c.status == 501 and a.status == 401 and c.method == "DELETE" and "/export" in c.path,
    ),
    Difference(
        "That the pool of master candidates is short is said when it is so after a change, not while one is"
        " being made.",
        lambda c, a: c.name in _SHORT_MEANWHILE and '"success"' in a.body,
    ),
    Difference(
        "An unknown job is 404, as the documents say; the original answers 200 with nothing but nulls.",
        lambda c, a: a.status == 404 and c.path.startswith("/2/jobs/") and '"ops": null' in c.answer,
    ),
    Difference(
        "``lock=1`` on a read is 400 instead of 500: reads never lock.",
        lambda c, a: a.status == 400 and c.status == 500 and c.query == "lock=1",
    ),
    Difference(
        "``POST /2/jobs`` submits a job of any opcodes; the original has no such resource.",
        lambda c, _: (c.method, c.path) == ("POST", "/2/jobs") and c.status == 501,
    ),
    Difference(
        "505 for 2.0 and above, 400 for other versions, with headers and in HTTP/1.1, where the original"
        " answers without headers.",
        lambda c, a: c.file == "04_protocol" and not c.answer_headers and a.status == c.status,
    ),
    Difference(
        "Where the original closes the connection without an answer, the request is served if it is meant"
        " well, or refused in the API's error form.",
        lambda c, a: c.status is None and a.status in (200, 400, 408, 414, 431),
    ),
    Difference(
        "A malformed header, also of the body's length, is refused; the original ignores it.",
        lambda c, a: c.file == "04_protocol" and a.status == 400 and '"Bad header"' in a.body,
    ),
    Difference(
        "JSON that no other reader could hold (NaN, infinities, halves of surrogate pairs) is no JSON: 400.",
        lambda c, a: a.status == 400 and (c.body or "") == "NaN",
    ),
    Difference(
        "So is an object that has a key twice, of which the original takes the last.",
        lambda _, a: a.status == 400 and "a key is given twice" in a.body,
    ),
    Difference(
        "The media type of a body may be ``application/json; charset=utf-8``; common client libraries send"
        " that.",
        lambda c, a: (
            c.status == 415 and a.status != 415 and "json" in dict(c.headers).get("Content-Type", "")
        ),
    ),
    Difference(
        "``/2/os`` is answered from the nodes' reports, so it also works while the queue is drained.",
        lambda c, a: c.name == "os while drained" and a.status == 200,
    ),
    Difference(
        "``name_check`` and ``ip_check`` are off unless asked for, as in the newest release.",
        _checks_off,
    ),
    Difference(
        "A MAC address that is generated is not written into the job's opcode.",
        lambda c, a: c.name == "inst modify nics add.job" and '["add", -1, {"ip": "10.1.2.9"}]' in a.body,
    ),
    Difference(
        "``custom_nicparams`` has what was given; a modification does not fill in the rest.",
        lambda c, a: c.name == "inst get inst2 after modify" and a.status == 200,
    ),
    Difference(
        "A body is as long as its ``Content-Length`` says, and without one there is none.",
        lambda c, _: c.name in ("body without content-length", "body longer than content-length"),
    ),
    Difference(
        "A lock's row is shown only while somebody has the lock or waits for it; there are no locks of"
        " lock sets.",
        lambda c, a: c.path == "/2/query/lock" and a.status == 200 and "pending" in c.query,
    ),
    Difference(
        "``GET /2/jobs/N/wait`` answers ``null`` when nothing changed in 10 seconds, as the documents say.",
        lambda c, a: c.path.endswith("/wait") and a.status == 200 and a.body == "null\n",
    ),
    Difference(
        "An unknown job is 404, as the documents say; the original answers 200 with nothing but nulls.",
        lambda c, a: c.path == "/2/jobs/999999/wait" and a.status == 404,
    ),
    Difference(
        "The flags of a node in a stored opcode are those that were asked for, not what became of them.",
        lambda c, a: (
            c.name in ("node role regular.job", "node role regular force.job") and '"success"' in a.body
        ),
    ),
    Difference(
        "An evacuation never fails because instances came and went while it was planned.",
        lambda c, a: c.name == "node evacuate with instances.job" and '"success"' in a.body,
    ),
    Difference(
        "``DELETE /2/instances/N/export`` is served, as the newest release has it.",
        lambda c, a: (c.method, a.status) == ("DELETE", 401) and c.path.endswith("/export"),
    ),
    Difference(
        "Why a node could not be asked for its storage is in the master's log, not in the job's.",
        lambda c, a: c.name == "noded down: node storage.job" and "Can't get storage data" in a.body,
    ),
    Difference(
        "Which of several equal nodes an allocator picks depends on the figures of the moment.",
        lambda c, a: c.name == "malloc name alias.job" and '"success"' in a.body,
    ),
    Difference(
        "``OP_CLUSTER_VERIFY`` looks at what there is here: files on nodes are not compared, and there are no"
        " lines about them.",
        lambda c, a: c.name.startswith(("wait with log", "job with oplog")) and '"success"' in a.body,
    ),
    Difference(
        "There is no separate job daemon that could be away: what the original answers with 504 is served.",
        lambda c, a: c.file == "16_down" and c.status == 504 and a.status == 200,
    ),
    Difference(
        "The OS definitions that are shipped are among those listed.",
        lambda c, a: c.path == "/2/os" and c.status == a.status == 200 and "minimal" in a.body,
    ),
    Difference(
        "``HEAD`` is 501 as in the original, but without a body, as HTTP wants it.",
        lambda c, a: c.method == "HEAD" and a.status == 501 and not a.body,
    ),
    Difference(
        "A cluster is founded, and a node joins, without a job; the first job is the first one submitted.",
        lambda c, a: c.path in ("/2/jobs/1", "/2/jobs/01", "/2/jobs/1/wait") and a.status in (200, 404),
    ),
    Difference(
        "Tags may be given as a JSON list, as the documents promise; the original ignores the list.",
        _listed_tags,
    ),
    Difference(
        "Without any tag the request is refused instead of becoming a job that does nothing.",
        lambda c, a: a.status == 400 and "/tags" in c.path and "tag=" not in c.query.removesuffix("tag="),
    ),
    Difference(
        "Without any tag the request is refused instead of becoming a job that does nothing.",
        lambda c, a: (
            a.status == 404
            and c.name in ("tags put body dict.job", "tags put none.job", "tags put empty.job")
        ),
    ),
    Difference(
        "A tag of other letters than ASCII is refused in its job, as other bad tags are; the original fails.",
        lambda c, a: c.name == "tags put unicode" and a.status == 200,
    ),
    Difference(
        "Where the original fails inside on a missing or odd body (500), the request is 400, or means the"
        " same as an empty one.",
        lambda c, a: (
            c.status == 500
            and a.status in (200, 400)
            and ("NoneType" in c.answer or "not iterable" in c.answer or "indices must be" in c.answer)
        ),
    ),
    Difference(
        "``os``, ``cluster`` and ``extstorage`` can be queried over HTTP, as releases up to 2.6 had it; the"
        " original answers 500 or 502 there.",
        lambda c, a: a.status == 200 and bool(_OLDER_QUERY.match(c.path)) and c.status in (500, 502),
    ),
    Difference(
        "A filter that compares values of different types is 400 instead of 500, and so is one with an"
        " unknown field or operator, a bad regular expression, or more levels, terms or parts than"
        " ``twisted_rapi.model.query`` allows.",
        lambda c, a: a.status == 400 and c.status == 500 and c.path.startswith("/2/query/"),
    ),
    Difference(
        "A filter rule that cannot be meant (predicates, action, reason) is 400 instead of 502.",
        lambda c, a: a.status == 400 and c.status == 502 and c.path.startswith("/2/filters"),
    ),
    Difference(
        "A filter rule to put whose name is no UUID is 400, one to delete that is not there is 404; not 500.",
        lambda c, a: a.status == 400 and c.status == 500 and c.path == "/2/filters/not-a-uuid",
    ),
    Difference(
        "Nodes have one more field to query, ``fate`` (node-death.rst); it is listed after all others.",
        _further_fields,
    ),
    Difference(
        "An evacuation plans with the instances its node has when it has its locks; the original fails when "
        "they changed while it waited.",
        lambda c, a: c.name == "node evacuate with instances.job" and '"status": "success"' in a.body,
    ),
)
