"""Opcodes that only read; parameters as in opcodes.json ("newest")."""

from typing import Any

from twisted_rapi.model.opcodes.base import NonEmpty, Opcode
from twisted_rapi.model.opcodes.words import QueryResource, TagKind


class Query(Opcode, frozen=True, kw_only=True):
    """Query resources by the new query interface."""

    OP_ID = "OP_QUERY"
    SUMMARY = "what"

    what: QueryResource
    use_locking: bool = False
    fields: list[NonEmpty]
    qfilter: list[Any] | None = None


class QueryFields(Opcode, frozen=True, kw_only=True):
    """List fields of a resource."""

    OP_ID = "OP_QUERY_FIELDS"
    SUMMARY = "what"

    what: QueryResource
    fields: list[NonEmpty] | None = None


class ClusterQuery(Opcode, frozen=True, kw_only=True):
    """Cluster-wide information (answer of /2/info)."""

    OP_ID = "OP_CLUSTER_QUERY"


class TagsGet(Opcode, frozen=True, kw_only=True):
    """Read tags."""

    OP_ID = "OP_TAGS_GET"
    SUMMARY = "name"

    kind: TagKind
    name: str | None = None
    use_locking: bool = False


class TagsSearch(Opcode, frozen=True, kw_only=True):
    """Find objects by a pattern of their tags."""

    OP_ID = "OP_TAGS_SEARCH"
    SUMMARY = "pattern"

    pattern: NonEmpty
