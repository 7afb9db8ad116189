"""Keys for exports to other clusters: made on the instance's node, good for a day (behaviour.md §6)."""

import datetime
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed

BITS = 2048
_NAME = re.compile(r"x509-[A-Za-z0-9_-]{1,100}", re.ASCII)


class Certificates:
    """
    Keys with self-signed certificates, in a folder each.

    :param now: seconds since the epoch.
    """

    def __init__(self, folder: Path, now: Callable[[], float], in_thread: InThread) -> None:
        self._folder, self._now, self._in_thread = folder, now, in_thread

    async def make(self, common_name: str, validity: float, name: str = "") -> tuple[str, str]:
        """
        A key for `validity` seconds; answers its name and its certificate as PEM.

        Those that are no longer valid are removed.

        :param name: what it is to be called: one that is there is answered.  Empty: a new one.
        """
        made: tuple[str, str] = await self._run(self._make, common_name, validity, name)
        return made

    async def files(self, name: str) -> tuple[str, str]:
        """
        The files with the certificate and the key of this name.

        :raises StepFailed: kind ``storage``: there are none.
        """
        found: tuple[str, str] = await self._run(self._files, name)
        return found

    async def remove(self, name: str) -> None:
        """Remove a key; one that is not there is well."""
        await self._run(lambda: _remove(self._named(name)))

    async def _run(self, work: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(work, *args)
        except OSError as e:
            raise StepFailed(f"{e.filename or self._folder}: {e.strerror or e}", "storage") from e

    # In a thread.

    def _named(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StepFailed(f"{name!r} cannot name a key", "storage")
        return self._folder / name

    def _files(self, name: str) -> tuple[str, str]:
        folder = self._named(name)
        if not (folder / "cert").is_file():
            raise StepFailed(f"there is no key {name}, or it is no longer valid", "storage")
        return str(folder / "cert"), str(folder / "key")

    def _make(self, common_name: str, validity: float, name: str) -> tuple[str, str]:
        now = self._now()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_expired(now)
        if name and (self._named(name) / "cert").is_file():
            return name, (self._named(name) / "cert").read_text(encoding="ascii")
        folder = self._new_folder(name, now)
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        certificate = _self_signed(key, common_name, now, validity)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        handle = os.open(folder / "key", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(secret)
        # Last, and whole at once: a key with a certificate is one that can be used.
        (folder / "cert.new").write_bytes(certificate)
        (folder / "cert.new").rename(folder / "cert")
        return folder.name, certificate.decode()

    def _new_folder(self, name: str, now: float) -> Path:
        if not name:
            stamp = time.strftime("x509-%Y-%m-%d_%H_%M_%S-", time.gmtime(now))
            return Path(tempfile.mkdtemp(prefix=stamp, dir=self._folder))
        folder = self._named(name)
        _remove(folder)  # half of one
        folder.mkdir(mode=0o700)
        return folder

    def _remove_expired(self, now: float) -> None:
        for file in self._folder.glob("x509-*/cert"):
            try:
                found = x509.load_pem_x509_certificate(file.read_bytes())
            except ValueError:
                continue
            if found.not_valid_after_utc.timestamp() < now:
                _remove(file.parent)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)


def _self_signed(key: rsa.RSAPrivateKey, common_name: str, now: float, validity: float) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    begins = datetime.datetime.fromtimestamp(now, datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - datetime.timedelta(minutes=5))
        .not_valid_after(begins + datetime.timedelta(seconds=validity))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
