"""Jobs that an opcode submits."""

from msgspec.structs import replace

from twisted_rapi.model.opcodes import Opcode

Jobs = tuple[tuple[Opcode, ...], ...]


def one_after_the_other(jobs: Jobs) -> Jobs:
    """The jobs, each waiting until the one before it has ended well."""
    found: list[tuple[Opcode, ...]] = []
    for n, (first, *rest) in enumerate(jobs):
        depends = [*(first.depends or []), (-1, ["success"])] if n else first.depends
        found.append((replace(first, depends=depends), *rest))
    return tuple(found)
