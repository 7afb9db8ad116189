"""The secret that clusters share."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twisted_rapi.admin.secret import exchange, read_secret
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.state.writer import commit_of
from twisted_rapi.testing.cluster import founding
from twisted_rapi.testing.memory_store import MemoryStore

SECRET = "0123456789abcdef"


class SecretTests(SynchronousTestCase):
    """``rapi-admin domain-secret``."""

    def now(self, work: Any) -> Any:
        """The result of work that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_exchange(self) -> None:
        """It is read, and changed in the cluster's record where another is given."""
        store = MemoryStore()
        records, _ = founding()
        self.now(store.commit(commit_of(records)))
        self.assertEqual(self.now(exchange(store, "")), "")
        for new in (SECRET, SECRET, ""):
            self.assertEqual(self.now(exchange(store, new)), SECRET)

    def test_no_cluster(self) -> None:
        """A store without a cluster has none."""
        d = Deferred.fromCoroutine(exchange(MemoryStore(), SECRET))
        self.failureResultOf(d, ConfigurationError)

    def test_file(self) -> None:
        """A file has it as its only line, long enough not to be guessed."""
        file = Path(self.mktemp())
        for text in (SECRET, f"{SECRET}\n", f" {SECRET} \n"):
            file.write_text(text)
            self.assertEqual(read_secret(file), SECRET)
        for text in ("", "short\n", f"{SECRET}\n{SECRET}\n", f"{SECRET}\x00", f"é{SECRET}"):
            file.write_text(text)
            self.assertRaises(ConfigurationError, read_secret, file)
