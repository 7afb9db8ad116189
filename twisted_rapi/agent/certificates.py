"""Keys for exports to other clusters: made on the instance's node, good for a day (behaviour.md §6)."""

import datetime
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from twisted_rapi.agent.term import InThread
from twisted_rapi.errors import StepFailed

BITS = 2048


class Certificates:
    """
    Keys with self-signed certificates, in a folder each.

    :param now: seconds since the epoch.
    """

    def __init__(self, folder: Path, now: Callable[[], float], in_thread: InThread) -> None:
        self._folder, self._now, self._in_thread = folder, now, in_thread

    async def make(self, common_name: str, validity: float) -> tuple[str, str]:
        """
        A new key for `validity` seconds; answers its name and its certificate as PEM.

        Those that are no longer valid are removed.
        """
        try:
            made: tuple[str, str] = await self._in_thread(self._make, common_name, validity)
        except OSError as e:
            raise StepFailed(f"{e.filename or self._folder}: {e.strerror or e}", "storage") from e
        return made

    def _make(self, common_name: str, validity: float) -> tuple[str, str]:
        now = self._now()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_expired(now)
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        certificate = _self_signed(key, common_name, now, validity)
        stamp = time.strftime("x509-%Y-%m-%d_%H_%M_%S-", time.gmtime(now))
        folder = Path(tempfile.mkdtemp(prefix=stamp, dir=self._folder))
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        handle = os.open(folder / "key", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as f:
            f.write(secret)
        (folder / "cert").write_bytes(certificate)
        return folder.name, certificate.decode()

    def _remove_expired(self, now: float) -> None:
        for file in self._folder.glob("x509-*/cert"):
            try:
                found = x509.load_pem_x509_certificate(file.read_bytes())
            except ValueError:
                continue
            if found.not_valid_after_utc.timestamp() < now:
                for part in file.parent.iterdir():
                    part.unlink()
                file.parent.rmdir()


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
