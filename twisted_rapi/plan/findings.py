"""What those who look whether all is well have found, and how the log of their job tells it."""

from collections.abc import Iterable, Iterator

import attrs

from twisted_rapi.model.opcodes.verify import ClusterVerifyConfig, ClusterVerifyGroup
from twisted_rapi.plan.stage import Finish


@attrs.frozen
class Finding:
    """
    Something that is not as it should be.

    :ivar code: its name in machine-readable form; `kind` and `item`: what it is of.
    :ivar mild: it is no error yet.
    """

    code: str
    kind: str
    item: str
    text: str
    mild: bool = False


Findings = Iterator[Finding]


@attrs.define
class Report:
    """Lines of the log, and whether any is about an error."""

    op: ClusterVerifyConfig | ClusterVerifyGroup
    lines: list[str] = attrs.field(factory=list)
    well: bool = True

    def head(self, text: str, found: Iterable[Finding] = ()) -> None:
        """What is looked at, and what was found."""
        self.lines.append(f"* {text}")
        for finding in found:
            error = not finding.mild and finding.code not in self.op.ignore_errors
            self.well = self.well and not error
            self.lines.append("  - " + self._words(finding, "ERROR" if error else "WARNING"))

    def _words(self, found: Finding, level: str) -> str:
        if self.op.error_codes:
            return f"{level}:{found.code}:{found.kind}:{found.item}:{found.text}"
        item = f" {found.item}" if found.item else ""
        return f"{level}: {found.kind}{item}: {found.text}"

    def note(self, text: str) -> None:
        """Something to know that is no error."""
        self.lines.append(f"  - NOTICE: {text}")

    def finish(self) -> Finish:
        """The end, and whether all is well."""
        return Finish(result=self.well, log=tuple(self.lines))
