"""One Pawl for all tests: PAWL_DEV is the pawl-dev to start, or PAWL_TEST_API one that runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pawlhq as pawl
from pawlhq import _calls

RECIPES = Path(__file__).parents[1] / "recipes"
README = Path(__file__).parents[1] / "README.md"
AGENTS = Path(__file__).parents[3] / "docs" / "agents.md"
POLICY = Path(__file__).with_name("policy.yaml")


class People:
    """Those who decide, by HTTP."""

    def __init__(self, api: str) -> None:
        self.api = api

    def send(self, method: str, path: str, body: Any = None) -> Any:
        doc = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "X-Pawl-Reviewer": "ana"}
        request = urllib.request.Request(self.api + path, doc, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as e:
            e.add_note(f"{method} {path}: {e.read().decode(errors='replace')}")
            raise

    def waiting(self, tool: str) -> list[str]:
        items = self.send("GET", f"/api/requests?limit=100&tool={tool}")["items"]
        return [item["id"] for item in items]

    def wait_for(self, tool: str, count: int = 1) -> list[str]:
        def enough() -> list[str] | None:
            return ids if len(ids := self.waiting(tool)) >= count else None

        return until(enough, what=f"{count} waiting calls of {tool}")

    def approve(self, call_id: str) -> None:
        self.send("POST", f"/api/requests/{call_id}/approve", {})

    def reject(self, call_id: str, notes: str) -> None:
        self.send("POST", f"/api/requests/{call_id}/reject", {"notes": notes})

    def status(self, call_id: str) -> str:
        return str(self.send("GET", f"/api/calls/{call_id}")["status"])

    def result(self, call_id: str) -> Any:
        call = self.send("GET", f"/api/calls/{call_id}")
        assert call["status"] == "executed"
        return call["result"]

    def approve_next(self, tool: str) -> contextlib.AbstractContextManager[None]:
        return self._beside(lambda: self.approve(self.wait_for(tool)[0]))

    def reject_next(self, tool: str, notes: str) -> contextlib.AbstractContextManager[None]:
        return self._beside(lambda: self.reject(self.wait_for(tool)[0], notes))

    def reject_then_approve(self, tool: str, notes: str) -> contextlib.AbstractContextManager[None]:
        """Rejects a call and approves the next attempt."""

        def decide() -> None:
            first = self.wait_for(tool)[0]
            self.reject(first, notes)
            second = until(lambda: [i for i in self.waiting(tool) if i != first])[0]
            assert self.send("GET", f"/api/requests/{second}")["attempt_of"] == first
            self.approve(second)

        return self._beside(decide)

    @contextlib.contextmanager
    def _beside(self, do: Callable[[], None]) -> Iterator[None]:
        """Does something while the block runs. Where that fails, nobody decides what the block may wait
        for: it is interrupted, and the failure is raised."""
        failed: list[BaseException] = []
        lock = threading.Lock()
        interrupt = [threading.main_thread().ident]  # until the block is over

        def decide() -> None:
            try:
                do()
            except BaseException as e:
                failed.append(e)
                with lock:
                    for ident in interrupt:
                        assert ident is not None
                        signal.pthread_kill(ident, signal.SIGINT)

        thread = threading.Thread(target=decide, daemon=True)
        try:
            try:
                thread.start()
                yield
            finally:
                with lock:
                    interrupt.clear()
            thread.join(30)
            assert not thread.is_alive(), "who decides has not ended"
        except BaseException as e:
            if failed:
                raise failed[0] from e
            raise
        if failed:
            raise failed[0]


def until(condition: Callable[[], Any], patience: float = 30, what: str = "it") -> Any:
    """Waits for what condition returns."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about in time")


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("PAWL_TEST_API"):
        yield given
        return
    if not (dev := os.environ.get("PAWL_DEV")):
        pytest.fail("these tests need PAWL_DEV: make build, then PAWL_DEV=…/bin/pawl-dev")
    folder = tmp_path_factory.mktemp("pawl")
    command = [
        dev, "--data", folder / "data", "--policy", POLICY, "--api-listen", "127.0.0.1:0",
        "--temporal-listen", "127.0.0.1:0", "--no-ui", "--sample-tools",
        "--tools", POLICY.with_name("tools.yaml"),
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        stack = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=folder)
        try:
            assert stack.stdout is not None
            line = stack.stdout.readline()
            assert line, (folder / "log").read_text()
            addresses = json.loads(line)
            os.environ["PAWL_TEST_TEMPORAL"] = addresses["temporal"]
            yield addresses["api"]
        finally:
            stack.terminate()
            stack.wait(30)


@pytest.fixture(autouse=True)
def last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """They get through on a busy machine, too: what became of a call then is no matter of chance."""
    monkeypatch.setattr(_calls, "LAST_WORDS", 30.0)


@pytest.fixture
def people(api: str) -> People:
    return People(api)


@pytest.fixture
def client(api: str, tmp_path: Path) -> pawl.Client:
    return pawl.Client(api, token="", agent="tester", dir=tmp_path / "journal")


@pytest.fixture
def async_client(api: str, tmp_path: Path) -> pawl.AsyncClient:
    return pawl.AsyncClient(api, token="", agent="tester", dir=tmp_path / "journal")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Names of tools that only this test has."""
    return lambda kind: f"{kind}.{abs(hash(request.node.nodeid)) % 10**10}"


def blocks(page: Path, *, langchain: bool) -> list[str]:
    """The Python that a document shows, with LangChain or without."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in found if ("langchain" in block) == langchain]


@pytest.fixture
def recipe(client: pawl.Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a recipe, whose tool people are asked about."""
    monkeypatch.setattr(pawl, "_default", lambda: client)

    def load(name: str) -> ModuleType:
        module = ModuleType(name)
        exec(compile((RECIPES / f"{name}.py").read_text(), f"{name}.py", "exec"), module.__dict__)
        return module

    return load


def both(people: People, ask: Callable[[str], str], tool: str = "send_mail") -> None:
    """An agent's tool is rejected, and the model reads why; then it is approved, and runs."""
    with people.reject_next(tool, "not to her"):
        said = ask("ana")
    assert "not to her" in said
    assert "sent to ana" not in said
    with people.approve_next(tool):
        assert "sent to bo" in ask("bo")


class Fake:
    """A server that answers as it is told: by method and path's end, else like an API that allows."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[tuple[str, Any]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                doc = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                route = f"{self.command} {self.path}"
                fake.asked.append((route, json.loads(doc or "null")))
                for end, answer in fake.answers.items():
                    if route.endswith(end):
                        return answer(self)
                return json_answer(200, fake.usual(route))(self)

            do_GET = do_POST = do_PUT = _any

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def usual(self, route: str) -> Any:
        if route.endswith("/version"):
            return {"version": "fake", "features": ["caller"]}
        if route.endswith("/tools"):
            return {"tools": []}
        if route.endswith("/outcome"):
            return {"id": "pawl-1", "status": "executed", "result": None}
        if route.endswith("/cancel"):
            return {"id": "pawl-1", "status": "cancelled"}
        return {"id": "pawl-1", "status": "executing", "args": {"x": 1}, "report_by": "2030-01-01T00:00:00Z"}


def json_answer(status: int, doc: Any) -> Callable[[BaseHTTPRequestHandler], None]:
    return raw_answer(status, json.dumps(doc).encode())


def raw_answer(
    status: int, body: bytes, cut: int = 0, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body) + cut))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.fixture
def fake() -> Iterator[Fake]:
    server = Fake()
    yield server
    server.server.shutdown()
    server.server.server_close()


def say_no() -> None:
    raise ValueError("at its end")


def say_no_again() -> None:
    try:
        say_no()
    except ValueError as e:
        raise KeyError("and at that") from e


def meet_nobody() -> None:
    raise ConnectionRefusedError("nobody is there")


# How a generator may end badly.
BAD_ENDS = [say_no, say_no_again, meet_nobody]
