"""Whatever goes wrong before a function may run: nothing runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from conftest import Fake, json_answer, raw_answer, until

import pawlhq as pawl
from pawlhq import _api, _calls, _guard, _http
from pawlhq._errors import display
from pawlhq._journal import Journal, digest_of_call

Act = Callable[[], Any]
Make = Callable[..., tuple[Act, list[int]]]
STARTED = {"id": "pawl-1", "status": "executing", "args": {"x": 1}, "report_by": "2030-01-01T00:00:00Z"}
HTML = b"<html>It works!</html>"


# How long those wait who get no answer, where they need not be told apart from those who wait much less.
# Where other answers are to come, these have time on a busy machine, too.
SILENT = {
    "test_bad_answers": 0.3, "test_nobody_answers": 0.3, "test_pawl_is_away_and_back": 2.0,
    "test_reports_that_get_lost": 2.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(_calls, "PATIENCE", 0.3)
    monkeypatch.setattr(_calls, "FIRST", 0.0)
    test = request.node
    fault = test.callspec.params.get("fault") if hasattr(test, "callspec") else None
    if test.originalname == "test_nobody_answers" or fault == "no answer":
        monkeypatch.setattr(_api, "GRACE", SILENT.get(test.originalname, 60.0))
        monkeypatch.setattr(_calls, "HELD", 0.3)


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes a guarded function of each kind, and the list of its runs."""

    def make(url: str, **options: Any) -> tuple[Act, list[int]]:
        ran: list[int] = []
        client = pawl.Client(url, token="", agent="tester", dir=tmp_path / "journal")

        def sync(x: int) -> int:
            ran.append(x)
            return x

        async def coroutine(x: int) -> int:
            return sync(x)

        def generator(x: int) -> Iterator[int]:
            yield sync(x)

        async def async_generator(x: int) -> Any:
            yield sync(x)

        async def collect(guarded: Any) -> list[int]:
            return [item async for item in guarded(1)]

        if "LangChain" in request.param:
            return _langchain(client, sync, request.param.split()[0], options.get("key")), ran
        guard = client.guard(name="act", **options)
        act: Act
        if request.param == "sync":
            guarded = guard(sync)
            act = lambda: guarded(1)  # noqa: E731
        elif request.param == "async":
            guarded_coroutine = guard(coroutine)
            act = lambda: asyncio.run(guarded_coroutine(1))  # noqa: E731
        elif request.param == "generator":
            guarded_generator = guard(generator)
            act = lambda: list(guarded_generator(1))  # noqa: E731
        else:
            guarded_async = guard(async_generator)
            act = lambda: asyncio.run(collect(guarded_async))  # noqa: E731
        return act, ran

    return make


def _langchain(client: pawl.Client, fn: Any, how: str, key: Any) -> Act:
    from langchain_core.tools import StructuredTool
    from scripted import agent, ask

    tool = StructuredTool.from_function(fn, name="act", description="Acts.")

    def act() -> list[str]:
        with pawl.about(key=key(1)) if key else contextlib.nullcontext():
            return [str(m.content) for m in ask(agent(client, tool, [{"x": 1}]), how)]

    return act


@pytest.mark.parametrize("make", ["generator", "async generator"], indirect=True)
@pytest.mark.parametrize("route", ["version", "tools", "start"])
@pytest.mark.parametrize("fault", ["500", "garbage", "closed"])
def test_generators(make: Make, fake: Fake, route: str, fault: str) -> None:
    test_bad_answers(make, fake, route, fault)


def hang(handler: BaseHTTPRequestHandler) -> None:
    with contextlib.suppress(OSError):
        handler.rfile.read(1)  # until the client has had enough


def close(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


FAULTS: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "500": json_answer(500, {"code": "internal"}),
    "503": json_answer(503, {"code": "store_unavailable"}),
    "429": raw_answer(429, b"{}", **{"Retry-After": "1"}),
    "403": json_answer(403, {"code": "not_permitted", "detail": "a role is missing"}),
    "redirect": raw_answer(302, b"", Location="http://127.0.0.1:1/"),
    "garbage": raw_answer(200, HTML),
    "nothing": raw_answer(200, b""),
    "a list": raw_answer(200, b"[]"),
    "null": raw_answer(200, b"null"),
    "not text": raw_answer(200, b"\xff\xfe\x00"),
    "cut off": raw_answer(200, b'{"id": "pawl-1"', cut=10),
    "no HTTP": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n") and None,
    "no answer": hang,
    "closed": close,
}
ROUTES = {"version": "/version", "tools": "/tools", "start": "POST /api/calls"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("route", ROUTES)
def test_bad_answers(make: Make, fake: Fake, route: str, fault: str) -> None:
    if route == "tools" and fault in ("garbage", "nothing", "a list", "null", "not text"):
        fake.answers["POST /api/calls"] = FAULTS[fault]
    fake.answers[ROUTES[route]] = FAULTS[fault]
    act, ran = make(fake.url)
    with pytest.raises(pawl.Error):
        act()
    assert ran == []


NOT_STARTED = [
    {"status": "executed"},
    {"status": "executing", "args": {"x": 1}, "report_by": "x"},
    {**STARTED, "args": None},
    {**STARTED, "args": {"x": 2, "y": 1}},
    {**STARTED, "args": {}},
    {**STARTED, "status": "pending"},
    {**STARTED, "id": 7},
    {"id": "pawl-1", "status": "executed", "result": 1, "args": {"x": 1}},
    {"id": "pawl-1", "status": "rejected", "error": {"code": "rejected", "message": "no"}},
    {"id": "pawl-1", "status": "sideways", "error": {"code": "odd", "message": "no"}},
    {"id": "pawl-1", "status": "failed", "error": {"code": "digest_mismatch", "message": "no"}},
]


@pytest.mark.parametrize("answer", NOT_STARTED)
def test_answers_that_start_nothing(make: Make, fake: Fake, answer: Any) -> None:
    fake.answers["POST /api/calls"] = json_answer(200, answer)
    act, ran = make(fake.url)
    with contextlib.suppress(pawl.Error):
        act()
    assert ran == []


ENDED = [
    {"id": "pawl-1", "outcome": {"id": "pawl-1", "status": "rejected"}},
    {"id": "pawl-1", "code": "unknown"},
    {"id": "pawl-1", "outcome": {"id": "pawl-1", "status": "executed", "result": [1]}},
    {"id": "pawl-1", "call": {"id": "pawl-1", "status": "evaluating", "error": {"code": "workflow_gone"}}},
]


@pytest.mark.parametrize("now", ENDED)
def test_ends_while_it_waits(make: Make, fake: Fake, now: Any) -> None:
    fake.answers["POST /api/calls"] = json_answer(202, {"id": "pawl-1", "status": "pending"})
    fake.answers["/wait"] = json_answer(200, {"calls": [now]})
    act, ran = make(fake.url)
    with contextlib.suppress(pawl.Error):
        act()
    assert ran == []


@pytest.mark.parametrize("fault", FAULTS)
def test_pawl_is_away_and_back(make: Make, fake: Fake, fault: str) -> None:
    """A call that waits goes on waiting, and runs once when Pawl is back and says so."""
    fake.answers["POST /api/calls"] = json_answer(202, {"id": "pawl-1", "status": "pending"})
    fake.answers["/wait"] = FAULTS[fault]
    approved = {"calls": [{"id": "pawl-1", "call": {"id": "pawl-1", "status": "approved"}}]}

    def back() -> None:
        until(lambda: len([r for r, _ in fake.asked if r.endswith("/wait")]) > 1)
        fake.answers["/wait"] = json_answer(200, approved)

    act, ran = make(fake.url)
    if fault in ("403", "redirect"):  # answers that are final
        with pytest.raises(pawl.APIError):
            act()
        assert ran == []
        return
    threading.Thread(target=back, daemon=True).start()
    act()
    assert ran == [1]


def test_pawl_is_away_says_it_once(make: Make, fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    """People read where to decide once, unless that changes, and once each that Pawl is away and back."""

    def now(**call: str) -> Callable[[BaseHTTPRequestHandler], None]:
        return json_answer(200, {"calls": [{"id": "pawl-1", "call": {"id": "pawl-1", **call}}]})

    here, there = (
        {"status": "pending", "url": "http://here/1"},
        {"status": "pending", "url": "http://there/1"},
    )
    away, same = FAULTS["500"], json_answer(200, {"calls": []})
    script = iter([
        same, away, away, away, now(**here), same, now(**here, revision="2"),
        away, away, now(**there), same, now(status="approved"),
    ])  # fmt: skip
    fake.answers["POST /api/calls"] = json_answer(202, {"id": "pawl-1", **here})
    fake.answers["/wait"] = lambda handler: next(script)(handler)
    act, ran = make(fake.url)
    act()
    assert ran == [1]
    said = re.findall(r"Decide at\n  (.*)|still waiting for act \(pawl-1\):\n  (.*)", capfd.readouterr().err)
    silent = "the API answered 500"
    assert [where or what for where, what in said] == [
        "http://here/1", silent, "Pawl answers again", silent, "http://there/1",
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["500", "403", "garbage", "no answer", "closed"])
@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("status", ["pending", "approved"])
def test_last_words_that_get_lost(
    make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch, status: str, attach: bool, fault: str
) -> None:
    """Whatever becomes of the release, or the withdrawal, the caller learns why the waiting ended."""
    fake.answers["POST /api/calls"] = json_answer(202, {"id": "pawl-1", "status": status})
    fake.answers["/wait"] = json_answer(200, {"calls": []})
    fake.answers["/start"] = json_answer(409, {"code": "not_approved"})
    last = "/release" if attach else "/cancel"
    fake.answers[last] = fake.answers["/outcome"] = FAULTS[fault]
    act, ran = make(fake.url, attach=attach)
    if fault == "no answer":
        monkeypatch.setattr(_calls, "LAST_WORDS", 0.8)  # of which there are two, while an answer has a minute
    began = time.monotonic()
    with pytest.raises(pawl.PendingError, match="pawl-1"), pawl.about(wait=0.05):
        act()
    assert time.monotonic() - began < 20
    assert ran == []
    asked = [route for route, _ in fake.asked if route.endswith(("/release", "/cancel"))]
    assert asked == [f"POST /api/calls/pawl-1{last}"]
    reports = [body for route, body in fake.asked if route.endswith("/outcome")]
    assert [r["status"] for r in reports] == (["not_run"] if attach and status == "approved" else [])


@pytest.mark.parametrize("key", [None, lambda x: "k"])
def test_nothing_listens(make: Make, key: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        act, ran = make(f"http://127.0.0.1:{free.getsockname()[1]}", key=key)
        with pytest.raises(pawl.UnreachableError, match=r"nothing answers at .*set PAWL_API"):
            act()
    assert ran == []


def test_nobody_answers(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        act, ran = make(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(pawl.UnreachableError, match="no answer in time"):
            act()
    assert ran == []


def test_servers_without_callers(make: Make, fake: Fake) -> None:
    for features in (["events"], [], None, "caller", {"caller": True}):
        fake.answers["/version"] = json_answer(200, {"version": "v0", "features": features})
        act, ran = make(fake.url)
        with pytest.raises(pawl.UnsupportedError, match="upgrade it"):
            act()
        assert ran == []


OURS: list[tuple[Any, str]] = [
    (_api.API, "check"), (_api.API, "put_tools"), (_api.API, "start"), (_http, "_parse"),
    (_calls.Guarded, "begin"),
]  # fmt: skip


@pytest.mark.parametrize("where", [*OURS, (_guard.Signature, "freeze"), (_guard.Signature, "thaw")])
def test_own_exceptions(make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch, where: Any) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(*where, broken)
    act, ran = make(fake.url)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        act()
    assert ran == []


def test_callbacks_that_raise(make: Make, fake: Fake) -> None:
    def broken(*_: Any) -> str:
        raise RuntimeError("a fault of theirs")

    act, ran = make(fake.url, key=broken)
    with pytest.raises(RuntimeError):
        act()
    assert ran == []


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("429",)])
def test_reports_that_get_lost(
    make: Make,
    fake: Fake,
    fault: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The function has run: its caller gets the result. With a key, a later process reports it."""
    fake.answers["/outcome"] = FAULTS[fault]
    act, ran = make(fake.url, key=lambda x: "k")
    assert act() in (1, [1], ["1"])
    assert ran == [1]
    assert "Pawl was not told" in capfd.readouterr().err
    kept = list((tmp_path / "journal").iterdir())
    assert len(kept) == 1
    del fake.answers["/outcome"]
    fake.asked.clear()
    with contextlib.suppress(TypeError):  # the fake's result is none, which a generator can't go through
        act()
    assert ran == [1]
    reports = [body for route, body in fake.asked if route.endswith("/outcome")]
    assert [r["status"] for r in reports] == ["executed"]
    assert list((tmp_path / "journal").iterdir()) == []


class TestLangChain:
    """The same for agents of LangChain's, whose tools are guarded by its own means."""

    pytestmark = pytest.mark.parametrize("make", ["sync LangChain", "async LangChain"], indirect=True)

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("route", ROUTES)
    def test_bad_answers(self, make: Make, fake: Fake, route: str, fault: str) -> None:
        test_bad_answers(make, fake, route, fault)

    # Its tools have names that may be left out, so what was approved with others runs as it was approved.
    @pytest.mark.parametrize("answer", [a for a in NOT_STARTED if a.get("args") != {"x": 2, "y": 1}])
    def test_answers_that_start_nothing(self, make: Make, fake: Fake, answer: Any) -> None:
        test_answers_that_start_nothing(make, fake, answer)

    @pytest.mark.parametrize("now", ENDED)
    def test_ends_while_it_waits(self, make: Make, fake: Fake, now: Any) -> None:
        test_ends_while_it_waits(make, fake, now)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_pawl_is_away_and_back(self, make: Make, fake: Fake, fault: str) -> None:
        test_pawl_is_away_and_back(make, fake, fault)

    @pytest.mark.parametrize("fault", ["500", "no answer"])
    @pytest.mark.parametrize("status", ["pending", "approved"])
    def test_last_words_that_get_lost(
        self, make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch, status: str, fault: str
    ) -> None:
        test_last_words_that_get_lost(make, fake, monkeypatch, status, True, fault)

    def test_nothing_listens(self, make: Make) -> None:
        test_nothing_listens(make, None)

    def test_nobody_answers(self, make: Make) -> None:
        test_nobody_answers(make)

    def test_servers_without_callers(self, make: Make, fake: Fake) -> None:
        test_servers_without_callers(make, fake)

    @pytest.mark.parametrize("where", [*OURS, (None, "plain"), (None, "_thread"), (None, "_permitted")])
    def test_own_exceptions(
        self, make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str]
    ) -> None:
        from pawlhq import langchain

        of, name = where
        test_own_exceptions(make, fake, monkeypatch, (of or langchain, name))

    @pytest.mark.parametrize("fault", ["500", "garbage", "no answer", "closed"])
    def test_reports_that_get_lost(
        self, make: Make, fake: Fake, fault: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        test_reports_that_get_lost(make, fake, fault, capfd, tmp_path)

    def test_arguments_that_were_changed(self, make: Make, fake: Fake) -> None:
        fake.answers["POST /api/calls"] = json_answer(200, {**STARTED, "args": {"x": 2}})
        act, ran = make(fake.url)
        act()
        assert ran == [2]


@pytest.mark.parametrize("kept", ["report", "cut short", "of an earlier version"])
def test_keys_of_other_calls(fake: Fake, tmp_path: Path, kept: str) -> None:
    """What is kept of a call is told to no other one that has its key, and not thrown away for it. The
    fake lets every call run, so only the journal can tell them apart."""
    ran: list[float] = []
    client = pawl.Client(fake.url, token="", agent="tester", dir=tmp_path / "journal")

    @client.guard(key=lambda x: "k")
    def act(x: float) -> None:
        ran.append(x)

    fake.answers["/outcome"] = FAULTS["500"]
    act(1)
    file = next((tmp_path / "journal").iterdir())
    lines = [json.loads(line) for line in file.read_text().split("\n") if line]
    if kept == "cut short":  # just before it could note how it ended
        lines = [line for line in lines if not line["report"]]
    if kept == "of an earlier version":
        for line in lines:
            del line["asked"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    del fake.answers["/outcome"]
    fake.asked.clear()
    if kept != "of an earlier version":
        with pytest.raises(pawl.ConflictError, match="pawl-1"):
            act(2)
        assert [route for route, _ in fake.asked if route.endswith("/outcome")] == []
    act(1.0)  # the same number
    assert ran == [1]
    said = [body["status"] for route, body in fake.asked if route.endswith("/outcome")]
    assert said == ["outcome_unknown" if kept == "cut short" else "executed"]
    assert not file.exists()


@pytest.mark.parametrize("torn", ["", "{", '{"start_id": "cut off"}', "\n", "\n{"])
def test_journals_after_a_crash(tmp_path: Path, torn: str) -> None:
    """A line that was cut short takes none with it that is written later: the function runs once."""

    def opened() -> Journal:
        journal = Journal.open(tmp_path, "k")
        assert journal
        return journal

    begun = opened()
    begun.close(done=False)
    with next(tmp_path.iterdir()).open("a") as file:
        file.write(torn)
    again = opened()
    again.running = True
    again.write()
    again.close(done=False)
    last = opened()
    assert (last.start_id, last.running) == (begun.start_id, True)
    last.close(done=True)


def test_journals_on_a_full_disk(make: Make, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: int, doc: bytes) -> int:
        return write(file, doc if begun else doc[: len(doc) // 2])

    write, begun = os.write, False
    act, ran = make(fake.url, key=lambda x: "k")
    monkeypatch.setattr(os, "write", half)
    with pytest.raises(pawl.SetupError, match="No space left"):
        act()
    assert ran == []
    begun = True
    act()
    assert ran == [1]


@pytest.mark.parametrize("where", ["missing", "shared", "a file"])
def test_folders_that_keep_nothing(make: Make, fake: Fake, tmp_path: Path, where: str) -> None:
    folder = tmp_path / "journal"
    if where == "a file":
        folder.write_text("")
    elif where == "shared":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        folder.symlink_to(tmp_path / "loop")
    act, ran = make(fake.url, key=lambda x: "k")
    with pytest.raises(pawl.SetupError):
        act()
    assert ran == []


@pytest.mark.parametrize(
    "url", ["ftp://x", "127.0.0.1:7295", "http://u:secret@x", "http://x/?a=1", "http://[", ""]
)
def test_addresses(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAWL_API", url or "x")
    with pytest.raises(pawl.SetupError) as e:
        pawl.Client()
    assert "secret" not in str(e.value)


def test_tokens(fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(pawl.SetupError):
        pawl.Client(fake.url, token="a b")
    monkeypatch.setenv("PAWL_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(pawl.SetupError, match="PAWL_TOKEN_FILE"):
        pawl.Client(fake.url)
    (tmp_path / "none").write_text("pawl_secret\n")
    client = pawl.Client(fake.url)
    got: list[str] = []
    version = json_answer(200, {"features": ["caller"]})
    fake.answers["/version"] = lambda handler: (
        got.append(handler.headers["Authorization"]),
        version(handler),
    )[1]
    client.check()
    assert got == ["Bearer pawl_secret"]


def test_numbers_that_are_the_same() -> None:
    assert len({digest_of_call("act", {"x": [x]}) for x in (0, 0.0, -0.0)}) == 1
    assert digest_of_call("act", {"x": 1}) == digest_of_call("act", {"x": 1.0})
    assert digest_of_call("act", {"x": 1}) != digest_of_call("act", {"x": 2})


def test_what_is_drawn_as_nothing_is_written_out() -> None:
    blank = "\u034f\u115f\u17b4\u180b\u2065\u2800\u3164\ufe0f\uffa0\ufff0\U000e0000\U000e0100\U000e01f0"
    for c in blank:
        assert display(f"rm{c} -rf", 80) == f"rm\\u{{{ord(c):04X}}} -rf"
    assert display("Grüße 日本 🙂", 80) == "Grüße 日本 🙂"
