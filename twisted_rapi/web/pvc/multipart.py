"""Forms as browsers send them with files (RFC 7578): what their fields hold."""

import re
from collections.abc import Iterator

from twisted_rapi.errors import BadRequest

_BOUNDARY = re.compile(r";\s*boundary=(?:\"([^\"\\]{1,70})\"|([^\s\";]{1,70}))", re.IGNORECASE)
_NAME = re.compile(rb"^content-disposition:[^\r\n]*;\s*name=(?:\"([^\"\r\n]*)\"|([^\s\";]+))", re.I | re.M)


def parts_of(media_type: str, body: bytes, most: int) -> Iterator[tuple[str, str]]:
    """
    Names and texts of the fields.

    :param media_type: with the boundary of the parts.
    :raises BadRequest: it is no such form, has more fields than `most`, or one that is no UTF-8.
    """
    found = _BOUNDARY.search(media_type)
    if found is None:
        raise BadRequest("The form has no boundary")
    boundary = (found[1] or found[2]).encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, most + 2)
    if len(pieces) > most + 2 or not pieces[-1].startswith(b"--"):
        raise BadRequest("The form is not whole, or has too many values")
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if not blank or name is None:
            raise BadRequest("A value of the form has no name")
        try:
            yield (name[1] or name[2] or b"").decode("utf-8"), content.decode("utf-8")
        except UnicodeDecodeError as e:
            raise BadRequest("A value is no UTF-8") from e
