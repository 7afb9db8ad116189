"""Tests of `twisted_rapi.web.pvc.gate`, `tokens` and `session`."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.http import Answer, parse
from tests.unit.web.pvc.http import TOKEN, PvcBrowser
from twisted_rapi.admin.tokens import add_token, remove_token
from twisted_rapi.errors import ConfigurationError
from twisted_rapi.testing.cluster import make_cluster
from twisted_rapi.web.pvc.session import SECONDS, of_cookies, open_session, token_of
from twisted_rapi.web.pvc.tokens import find, new_token, parse_tokens

OTHER = "ea2f4c1e-77d1-4a62-b8f5-3a1b0e9a0002"
ASKED = "/node"


class FileTests(SynchronousTestCase):
    """What is kept of tokens."""

    def test_kept(self) -> None:
        """Only a digest is in the file, which nobody else may read; comments stay."""
        file = Path(self.mktemp())
        file.write_text("# mine\n")
        new = add_token(file, TOKEN, "web of the lab")
        add_token(file, OTHER, "")
        text = file.read_text()
        self.assertNotIn(TOKEN, text)
        self.assertTrue(text.startswith("# mine\n"))
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertEqual([t.description for t in parse_tokens(text).values()], ["web of the lab", ""])
        self.assertRaises(ConfigurationError, add_token, file, TOKEN, "again")
        remove_token(file, new.id)
        self.assertEqual(find(parse_tokens(file.read_text()), TOKEN), "")
        self.assertRaises(ConfigurationError, remove_token, file, new.id)
        self.assertRaises(ConfigurationError, remove_token, file, "")

    def test_bad(self) -> None:
        """What could be guessed or not be sent is no token."""
        for token in ("", "short", "x" * 40, "with blanks in it, and long", "ümläuts-are-not-sent-by-all"):
            self.assertRaises(ConfigurationError, new_token, token, "")
        self.assertRaises(ConfigurationError, new_token, TOKEN, "two\nlines")

    @given(st.text(), st.text())
    def test_only_whole(self, text: str, given_token: str) -> None:
        """Nothing but the whole token finds it; lines that are none are passed over."""
        tokens = parse_tokens(f"{text}\n{new_token(TOKEN, '').line()}")
        self.assertEqual(bool(find(tokens, given_token)), given_token == TOKEN)
        self.assertTrue(find(tokens, TOKEN))


class SessionTests(SynchronousTestCase):
    """Signed cookies."""

    def test_good(self) -> None:
        """It is good until its end, with the key it was made with."""
        value = open_session(b"key", "abc", 1000.0)
        self.assertEqual(token_of(b"key", value, 1000.0 + SECONDS - 1), "abc")
        self.assertEqual(token_of(b"key", value, 1000.0 + SECONDS), "")
        self.assertEqual(token_of(b"other", value, 1000.0), "")
        self.assertEqual(of_cookies(f"a=b; session={value}; c"), value)

    @given(st.text())
    def test_forged(self, text: str) -> None:
        """Nothing that was not signed is one."""
        self.assertEqual(token_of(b"key", text, 0.0), "")
        until, token, signature = open_session(b"key", "abc", 0.0).split(".")
        self.assertEqual(token_of(b"key", f"{int(until) + 1}.{token}.{signature}", 0.0), "")


class GateTests(SynchronousTestCase):
    """Who gets in."""

    def setUp(self) -> None:
        """The API with two tokens."""
        self.browser = PvcBrowser(Path(self.mktemp()), authentication=True, tokens=(TOKEN, OTHER))

    def login(self, path: str = "/auth/login", token: str = TOKEN) -> Answer:
        """The answer to a login."""
        return self.browser.ask("POST", path, form={"token": token})

    def session(self, answer: Answer) -> str:
        """The cookie of an answer."""
        cookie = answer.headers["set-cookie"]
        for attribute in ("HttpOnly", "Secure", "SameSite=Strict", "Path=/"):
            self.assertIn(attribute, cookie)
        return cookie.partition(";")[0]

    def test_open(self) -> None:
        """The root and the form need nothing, and the form shows nothing of what was sent."""
        self.assertEqual(self.browser.ask("GET", "").status, 209)
        form = self.browser.ask("GET", "/auth/login", {"token": "<script>", "next": "<b>"})
        self.assertEqual((form.status, form.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b'name="token"', form.body)
        self.assertNotIn(b"script", form.body)

    def test_refused(self) -> None:
        """Without a token, and with a wrong one, each form has its own words."""
        wanted = {
            "": "Authentication required",
            "pvc/0.6": "X-Api-Key Authentication required",
            "pvc/1.0": "X-Api-Key Authentication required.",
        }
        for agent, text in wanted.items():
            found = self.browser.ask("GET", ASKED, User_Agent=agent)
            self.assertEqual((found.status, found.json()), (401, {"message": text}))

    def test_wrong(self) -> None:
        """A part of a token is none, nor is an empty one; each failure lets the next wait."""
        for query in ({"token": TOKEN[:8]}, {"token": ""}):
            browser = PvcBrowser(Path(self.mktemp()), authentication=True)
            found = browser.ask("GET", ASKED, query)
            self.assertEqual((found.status, found.json()), (401, {"message": "Authentication failed"}))
            slow = browser.rapi.raw
            sent = slow(f"GET /api/v1{ASKED}?token={TOKEN} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            self.assertEqual(sent, b"")
        found = self.browser.ask("GET", ASKED, X_Api_Key="")
        self.assertEqual(found.json(), {"message": "X-Api-Key Authentication failed"})

    def test_right(self) -> None:
        """The value in query or form, and the header; either token."""
        self.assertEqual(self.browser.ask("GET", ASKED, {"token": TOKEN}).status, 200)
        self.assertEqual(self.browser.ask("GET", ASKED, form={"token": OTHER}).status, 200)
        self.assertEqual(self.browser.ask("GET", ASKED, X_Api_Key=TOKEN).status, 200)

    def test_session(self) -> None:
        """A login opens a session which a wrong token beside it does not harm; a logout ends it."""
        found = self.login()
        self.assertEqual((found.status, found.headers["location"]), (302, "/api/v1"))
        cookie = self.session(found)
        self.assertEqual(self.browser.ask("GET", ASKED, {"token": "wrong"}, Cookie=cookie).status, 200)
        ended = self.browser.ask("GET", "/auth/logout", Cookie=cookie)
        self.assertEqual((ended.status, ended.headers["location"]), (302, "/api/v1"))
        self.assertEqual(self.session(ended), "session=")
        self.assertEqual(self.browser.ask("GET", ASKED, Cookie="session=").status, 401)

    def test_later_session(self) -> None:
        """Later forms answer with a message; a login that fails is refused."""
        found = self.login("/login")
        self.assertEqual((found.status, found.json()), (200, {"message": "Authentication successful"}))
        self.assertEqual(self.browser.ask("GET", ASKED, Cookie=self.session(found)).status, 200)
        found = self.browser.ask("POST", "/logout")
        self.assertEqual((found.status, found.json()), (200, {"message": "Deauthentication successful"}))
        found = self.login("/login", "0")
        self.assertEqual((found.status, found.json()), (401, {"message": "Authentication failed"}))

    def test_failover(self) -> None:
        """A session goes on under the next master; it ends when its token does."""
        cookie = self.session(self.login())
        self.browser.cluster.stop()
        cluster = make_cluster(self.browser.cluster.store)
        next_master = PvcBrowser(Path(self.mktemp()), cluster, authentication=True)
        next_master.file.write_text(self.browser.file.read_text())
        next_master.refresh()
        self.assertEqual(next_master.ask("GET", ASKED, Cookie=cookie).status, 200)
        next_master.file.write_text("")
        next_master.refresh()
        self.assertEqual(next_master.ask("GET", ASKED, Cookie=cookie).status, 401)

    def test_large(self) -> None:
        """A large body of who has shown nothing is not even looked at."""
        big = b"x=" + b"y" * 300_000 + f"&token={TOKEN}".encode()
        self.assertEqual(parse(self.browser.raw("GET", f"/api/v1{ASKED}", big)).status, 401)
        self.assertEqual(parse(self.browser.raw("GET", f"/api/v1{ASKED}", big, X_Api_Key=TOKEN)).status, 200)

    def test_other_sites(self) -> None:
        """What another site has a browser send changes nothing and logs nobody in, with or without tokens."""
        cookie = self.session(self.login())
        path, form = "/node/node2.example.com/coordinator-state", {"coordinator-state": "primary"}
        foreign = ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"})
        for headers in (*foreign, {"Origin": "https://x", "Sec_Fetch_Site": "same-site"}):
            for browser in (self.browser, PvcBrowser(Path(self.mktemp()))):
                for one, values in ((path, form), ("/auth/login", {"token": TOKEN})):
                    found = browser.ask("POST", one, None, values, Cookie=cookie, **headers)
                    self.assertEqual((found.status, list(found.json())), (403, ["message"]), headers)
                    self.assertNotIn("set-cookie", found.headers)
                self.assertEqual(browser.ask("GET", ASKED, None, None, Cookie=cookie, **headers).status, 200)
        for own in ({"Origin": "https://x"}, {"Sec_Fetch_Site": "same-origin"}, {"Sec_Fetch_Site": "none"}):
            found = self.browser.ask("POST", "/auth/login", None, {"token": TOKEN}, **own)
            self.assertEqual(found.status, 302, own)

    def test_disabled(self) -> None:
        """Where it is disabled all are let in, and logins say so."""
        browser = PvcBrowser(Path(self.mktemp()))
        for method in ("GET", "POST"):
            for path in ("/auth/login", "/auth/logout"):
                found = browser.ask(method, path, form={"token": "x"} if path == "/auth/login" else None)
                self.assertEqual(
                    (found.status, found.json()), (200, {"message": "Authentication is disabled."})
                )
        found = browser.ask("POST", "/login", form={"token": "x"})
        self.assertEqual((found.status, found.headers["location"]), (302, "/api/v1/"))
        self.assertEqual(browser.ask("GET", ASKED).status, 200)
