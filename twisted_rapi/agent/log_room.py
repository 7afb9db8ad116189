"""
Room for what scripts print: files that are written are kept short, all the time.  Blocks: for threads.

What is cut off the beginning of such a file gives its room on the disk back; the file stays as long as it
was, so whoever writes it and whoever counts its bytes need not know.
"""

import ctypes
import os
from pathlib import Path

KEPT = 4 * 1024 * 1024  # bytes at the end of a file that are kept in any case
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # linux/falloc.h


def cut(file: Path, kept: int = KEPT) -> None:
    """
    Give the room of all but the last bytes back, if it takes much more; a file that is not there is well.

    Where the file system cannot do that, all that was written so far goes.
    """
    try:
        found = file.stat()
        if found.st_blocks * 512 <= 2 * kept:
            return
        handle = os.open(file, os.O_WRONLY)
    except OSError:
        return  # its folder has gone, or is away: nothing can be done here
    try:
        if not _punch(handle, found.st_size - kept):
            os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _punch(handle: int, size: int) -> bool:
    """Have the first bytes be a hole."""
    libc = ctypes.CDLL(None, use_errno=True)
    mode = _KEEP_SIZE | _PUNCH_HOLE
    return bool(libc.fallocate(handle, mode, ctypes.c_int64(0), ctypes.c_int64(size)) == 0)
