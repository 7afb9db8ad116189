"""
A process that carries one disk's bytes from a node to another: the program, run with a file of JSON.

It blocks, so that reading, compressing and writing go as fast as the slowest of them and no faster, and
nothing of it is on the agent's reactor.  It is one end of a TLS connection; both ends show certificates.
After the handshake the sender says the token it was given, then the bytes, then that they are all (TLS
``close_notify``), and waits until the receiver says the same: only then is all of it stored.

Between clusters each end knows the other's very certificate (``peer``) instead of an authority, and the
receiver asks its agent before it says that all is stored.

It imports the standard library only, so that it starts in no time.
"""

import hmac
import json
import os
import socket
import ssl
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any

BLOCK = 1024 * 1024
PIECE = 64 * 1024  # of zeros that are left out
LISTENER = 3  # the descriptor a receiver finds its listening socket at
LINE = 4  # and, from another cluster, the line to its agent
PATIENCE = 180.0  # seconds for the other end to appear
INTRODUCTION = 10.0  # seconds to say who one is
LOST = 120  # seconds that what was sent may go without being received
SILENCE = 3600.0  # seconds without a byte after which the other end counts as gone
LEVELS = {"gzip": 6, "gzip-fast": 1, "gzip-slow": 9}


class Broken(Exception):
    """The transfer cannot go on; the text says why."""


def _say(text: str) -> None:
    """Tell the agent, which reads it when this process has failed."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _context(spec: dict[str, Any], server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(spec["certificate"], spec["key"])
    if "peer" in spec:
        context.load_verify_locations(cadata=spec["peer"])
    else:
        context.load_verify_locations(spec["authority"])
    context.check_hostname = False  # set below, where the other end has a name
    context.verify_mode = ssl.CERT_REQUIRED
    if not server and spec.get("name"):
        context.check_hostname = True
    return context


def _check_peer(connection: ssl.SSLSocket, spec: dict[str, Any]) -> None:
    """The other end is a node, where that is to be, or the very one that is known."""
    if "peer" in spec and connection.getpeercert(True) != ssl.PEM_cert_to_DER_cert(spec["peer"]):
        raise Broken("the other end has another certificate")
    shown: dict[str, Any] = dict(connection.getpeercert() or {})
    subject = dict(pair for part in shown.get("subject", ()) for pair in part)
    wanted = spec.get("unit")
    if wanted and subject.get("organizationalUnitName") != wanted:
        raise Broken(f"the other end has no certificate of a {wanted}")


def _watched(plain: socket.socket, seconds: float) -> None:
    """Have a connection end whose other machine is gone."""
    plain.settimeout(seconds)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LOST * 1000)


def _introduction(spec: dict[str, Any]) -> bytes:
    """What the sender says first; between clusters it is the field's form of the magic value."""
    token: str = spec["token"]
    return f"M={token}".encode() if "peer" in spec else token.encode()


def _accept(spec: dict[str, Any]) -> ssl.SSLSocket:
    """The first connection that is right; others are turned away."""
    context = _context(spec, server=True)
    listener = socket.socket(fileno=LISTENER)
    listener.settimeout(spec.get("patience", PATIENCE))
    while True:
        plain, _ = listener.accept()
        connection = _admitted(context, plain, spec)
        if connection is not None:
            listener.close()
            return connection


def _admitted(context: ssl.SSLContext, plain: socket.socket, spec: dict[str, Any]) -> ssl.SSLSocket | None:
    """The connection, if its other end is right; others are turned away, and do not keep us long."""
    _watched(plain, INTRODUCTION)
    connection: ssl.SSLSocket | None = None
    try:
        connection = context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
        _check_peer(connection, spec)
        token = _introduction(spec)
        if not hmac.compare_digest(_exactly(connection, len(token)), token):
            raise Broken("it does not have the token")
    except (OSError, Broken) as e:
        _say(f"a connection was turned away: {e}")
        (connection or plain).close()
        return None
    connection.settimeout(SILENCE)
    return connection


def _connect(spec: dict[str, Any]) -> ssl.SSLSocket:
    plain = socket.create_connection((spec["host"], spec["port"]), timeout=spec.get("patience", PATIENCE))
    _watched(plain, SILENCE)
    name = spec.get("name") or None
    connection = _context(spec, server=False).wrap_socket(
        plain, server_hostname=name, suppress_ragged_eofs=False
    )
    _check_peer(connection, spec)
    connection.sendall(_introduction(spec))
    return connection


def _exactly(connection: ssl.SSLSocket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise Broken("the other end left before it had said who it is")
        found += part
    return found


def _script(call: dict[str, Any], keep: ExitStack, **streams: Any) -> subprocess.Popen[bytes]:
    """A script of an OS definition, whose end is waited for by who uses it."""
    size = keep.enter_context(open(os.devnull, "wb"))  # noqa: SIM115 -- closed with `keep`
    environment = {**call["environment"], "EXP_SIZE_FD": str(size.fileno())}
    if "RAPI_STREAM" in os.environ:  # by which what belongs to this transfer is found and ended
        environment["RAPI_STREAM"] = os.environ["RAPI_STREAM"]
    return subprocess.Popen(  # noqa: S603 -- what the agent says
        call["command"],
        env=environment,
        cwd=call["folder"],
        pass_fds=(size.fileno(),),
        **{"stdin": subprocess.DEVNULL, **streams},
    )


def _ended(script: subprocess.Popen[bytes]) -> None:
    status = script.wait()
    if status:
        raise Broken(f"the script exited with {status}")


# From.


def _source(spec: dict[str, Any], keep: ExitStack) -> tuple[IO[bytes], Callable[[], None]]:
    source = spec["source"]
    if source["kind"] == "nothing":
        return keep.enter_context(open(os.devnull, "rb")), lambda: None
    if source["kind"] == "file":
        handle = os.open(source["path"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return keep.enter_context(os.fdopen(handle, "rb", buffering=0)), lambda: None
    script = _script(source, keep, stdout=subprocess.PIPE)
    assert script.stdout is not None
    return script.stdout, lambda: _ended(script)


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def send(spec: dict[str, Any]) -> None:
    """Send all of the source, and wait until the receiver has stored it."""
    with ExitStack() as keep:
        connection = keep.enter_context(_connect(spec))
        stream, check = _source(spec, keep)
        level = LEVELS.get(spec["compress"])
        packer = None if level is None else zlib.compressobj(level, zlib.DEFLATED, 31)
        for block in _blocks(stream):
            connection.sendall(block if packer is None else packer.compress(block))
        check()
        if packer is not None:
            connection.sendall(packer.flush())
        _close(connection)
        _mark(spec)


def _mark(spec: dict[str, Any]) -> None:
    """Have it known, whatever dies now, that all is done."""
    if "mark" not in spec:
        return
    folder = os.path.dirname(spec["mark"])
    os.makedirs(folder, mode=0o700, exist_ok=True)
    os.close(os.open(spec["mark"], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for path in (folder, os.path.dirname(folder)):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _close(connection: ssl.SSLSocket) -> None:
    try:
        connection.unwrap()
    except (OSError, ValueError):
        raise Broken("the other end did not say that it has stored everything") from None


# To.


class _File:
    """A file that is written; blocks of zeros are left out of one that has only zeros."""

    def __init__(self, sink: dict[str, Any]) -> None:
        new = os.O_CREAT | os.O_EXCL if sink["kind"] == "new" else 0
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | new
        self._file = os.fdopen(os.open(sink["path"], flags, 0o600), "wb", buffering=0)
        self._sparse, self._most = sink.get("sparse", False), sink.get("most")
        self._empty = sink.get("empty", False)
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write the next bytes."""
        self._size += len(data)
        if self._most is not None and self._size > self._most:
            raise Broken(f"more than {self._most} bytes came")
        for at in range(0, len(data), PIECE):
            self._put(data[at : at + PIECE])

    def _put(self, piece: bytes) -> None:
        if self._sparse and not piece.strip(b"\0"):
            self._file.seek(len(piece), os.SEEK_CUR)
            return
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]

    def finish(self) -> None:
        """All of it is on the disk."""
        if self._most is not None and self._size != self._most and (self._size or not self._empty):
            raise Broken(f"{self._size} bytes came instead of {self._most}")
        os.fsync(self._file.fileno())
        self._file.close()


class _ToScript:
    """The standard input of a script."""

    def __init__(self, call: dict[str, Any], keep: ExitStack) -> None:
        self._script = _script(call, keep, stdin=subprocess.PIPE)

    def write(self, data: bytes) -> None:
        """Give it the next bytes."""
        assert self._script.stdin is not None
        try:
            self._script.stdin.write(data)
        except BrokenPipeError:
            _ended(self._script)
            raise Broken("the script did not read all of the data") from None

    def finish(self) -> None:
        """It has read all and ended well."""
        assert self._script.stdin is not None
        self._script.stdin.close()
        _ended(self._script)


class _Nowhere:
    """Keeps nothing, for simulated volumes."""

    def write(self, data: bytes) -> None:
        """Drop it."""

    def finish(self) -> None:
        """All is well."""


def _sink(sink: dict[str, Any], keep: ExitStack) -> _File | _ToScript | _Nowhere:
    if sink["kind"] == "nothing":
        return _Nowhere()
    return _ToScript(sink, keep) if sink["kind"] == "script" else _File(sink)


def receive(spec: dict[str, Any]) -> None:
    """Store all that comes, and say so."""
    with ExitStack() as keep:
        connection = keep.enter_context(_accept(spec))
        sink = _sink(spec["sink"], keep)
        unpacker = zlib.decompressobj(31) if spec["compress"] in LEVELS else None
        while data := connection.recv(BLOCK):
            for plain in [data] if unpacker is None else _unpacked(unpacker, data):
                sink.write(plain)
        if unpacker is not None and not unpacker.eof:
            raise Broken("the data ended too early")
        sink.finish()
        _await_confirmation(spec)
        _close(connection)
        _mark(spec)


def _await_confirmation(spec: dict[str, Any]) -> None:
    """Tell the agent that all is stored, and wait until the other cluster may know, if it is another."""
    if "peer" not in spec:
        return
    with socket.socket(fileno=LINE) as line:
        line.sendall(b"y")
        line.settimeout(SILENCE)
        if not line.recv(1):
            raise Broken("the agent has gone")


def _unpacked(unpacker: Any, data: bytes) -> Iterator[bytes]:
    """What compressed data holds, in parts that are no larger than a block."""
    while data:
        yield unpacker.decompress(data, BLOCK)
        data = unpacker.unconsumed_tail


def main(file: str) -> int:
    """Carry out what the file says; an error is printed."""
    with open(file, encoding="utf-8") as f:
        spec: dict[str, Any] = json.load(f)
    work: Callable[[dict[str, Any]], None] = {"send": send, "receive": receive}[spec["role"]]
    try:
        work(spec)
    except TimeoutError:
        _say("the other end did not appear, or was silent for too long")
        return 1
    except (Broken, OSError, zlib.error) as e:
        _say(str(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
