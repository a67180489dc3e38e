"""Functions of asyncio, many waits at once, and interruptions."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from conftest import BAD_ENDS, Fake, People, json_answer, until

import pawlhq as pawl
from pawlhq import _api, _calls

Name = Callable[[str], str]


def test_async_functions(async_client: pawl.AsyncClient, name: Name, people: People) -> None:
    tool = name("ask")

    @async_client.guard(name=tool)
    async def send(to: str) -> str:
        await asyncio.sleep(0)
        return f"sent to {to} as {pawl.call_id()}"

    @async_client.guard(name=name("deny"), on_denied="return")
    async def never(to: str) -> str:
        pytest.fail("it ran")

    @async_client.guard(name=name("free"))
    async def fail() -> None:
        raise ValueError("no such order")

    @async_client.guard(name=name("free") + ".count")
    async def count(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def run() -> None:
        assert (await send("ana")).startswith("sent to ana as pawl-")
        denied = await never("ana")
        assert isinstance(denied, pawl.Denied)
        with pytest.raises(ValueError, match="no such order"):
            await fail()
        assert [i async for i in count(3)] == [0, 1, 2]
        assert await async_client.call("read_docs", page="refunds")
        await async_client.check()

    with people.approve_next(tool):
        asyncio.run(run())


def test_async_generators_that_are_talked_to(
    async_client: pawl.AsyncClient, name: Name, people: People
) -> None:
    """What is sent, thrown and closed reaches the function."""
    ids: list[str] = []
    closed: list[str] = []

    @async_client.guard(name=name("free"))
    async def talk() -> AsyncGenerator[list[Any], Any]:
        ids.append(pawl.call_id())
        said = "begun"
        try:
            while said != "enough":
                try:
                    said = yield [said, pawl.call_id() == ids[-1]]
                    await asyncio.sleep(0)
                except ValueError as e:
                    said = f"caught {e}"
        finally:
            await asyncio.sleep(0)
            closed.append(pawl.call_id())

    async def run() -> None:
        talking = talk()
        with pytest.raises(TypeError):
            await talking.asend("too early")
        assert ids == []
        talking = talk()
        assert await anext(talking) == ["begun", True]
        assert pawl.call_id() == ""  # others run between the items
        assert await talking.asend("more") == ["more", True]
        assert await talking.athrow(ValueError("that")) == ["caught that", True]
        with pytest.raises(StopAsyncIteration):
            await talking.asend("enough")

        talking = talk()
        await anext(talking)
        error = KeyError("not caught")
        with pytest.raises(KeyError) as e:
            await talking.athrow(error)
        assert e.value is error

        talking = talk()
        await anext(talking)
        await talking.aclose()
        assert closed == ids  # when it returns, and not when somebody clears up
        assert pawl.call_id() == ""

        waiting = asyncio.create_task(wait())
        await asyncio.wait_for(begun.wait(), 30)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    async def wait() -> None:
        async for _ in hang():
            pytest.fail("it yields nothing")

    @async_client.guard(name=name("free") + ".hang")
    async def hang() -> AsyncGenerator[int, None]:
        ids.append(pawl.call_id())
        begun.set()
        await asyncio.sleep(3600)
        yield 1

    begun = asyncio.Event()
    asyncio.run(run())
    assert people.result(ids[0]) == [["begun", True], ["more", True], ["caught that", True]]
    assert people.status(ids[1]) == "failed"
    assert until(lambda: people.status(ids[2]) == "outcome_unknown")
    assert until(lambda: people.status(ids[3]) == "outcome_unknown")


def test_cancelled_tasks(async_client: pawl.AsyncClient, name: Name, people: People) -> None:
    ids: list[str] = []
    told: list[pawl.Waiting] = []
    async_client._on_wait = told.append

    @async_client.guard(name=name("ask"))
    async def wait() -> None:
        pytest.fail("it ran")

    @async_client.guard(name=name("free"))
    async def work() -> None:
        ids.append(pawl.call_id())
        await asyncio.sleep(3600)

    async def run() -> None:
        waiting, working = asyncio.create_task(wait()), asyncio.create_task(work())
        while not ids or not told:
            await asyncio.sleep(0.02)
            assert not waiting.done()
        waiting.cancel(), working.cancel()
        for task in (waiting, working):
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())
    assert until(lambda: people.status(ids[0]) == "outcome_unknown")
    assert until(lambda: people.status(told[0].id) == "cancelled")


def test_200_waits(
    async_client: pawl.AsyncClient, name: Name, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, told = name("ask"), []
    async_client._on_wait = told.append
    asked: set[str] = set()
    changed = _api.API.changed

    async def change(self: _api.API, view: _api.View, wait: float) -> _api.View | None:
        asked.add(view["id"])
        return await changed(self, view, wait)

    monkeypatch.setattr(_api.API, "changed", change)

    @async_client.guard(name=tool)
    async def act(n: int) -> int:
        return n

    async def run() -> list[int]:
        tasks = [asyncio.create_task(act(n)) for n in range(200)]
        while len(told) < 200 or len(asked) < 200:
            await asyncio.sleep(0.05)
            assert not [task for task in tasks if task.done()]
        began, cpu = time.monotonic(), _cpu()
        await asyncio.sleep(2)
        assert _cpu() - cpu < 0.5 * (time.monotonic() - began)  # they wait, and don't poll
        await asyncio.to_thread(_approve_all, people, tool)
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == list(range(200))


def test_retry(async_client: pawl.AsyncClient, name: Name, people: People) -> None:
    tool, ran = name("ask"), []

    @async_client.guard(name=tool)
    async def refund(order: int) -> int:
        ran.append(order)
        return order

    with people.reject_then_approve(tool, "less"):
        tried = pawl.retry(1, lambda arguments, rejected: {"order": arguments["order"] - 1})(refund)
        assert asyncio.run(tried(7)) == 6
    assert ran == [6]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _approve_all(people: People, tool: str) -> None:
    cursor = ""
    while True:
        page = people.send("GET", f"/api/requests?limit=50&tool={tool}&cursor={cursor}")
        items = [{"id": item["id"], "digest": item["digest"]} for item in page["items"]]
        answer = people.send("POST", "/api/decisions", {"decision": "approve", "items": items})
        said = {r["outcome"] for r in answer["results"]}
        assert said <= {"resolved", "not_judged_yet"}, answer
        if not (cursor := page["next_cursor"]):
            return


PROGRAM = """
import asyncio, sys, threading
import pawlhq as pawl
from pawlhq import _api, _calls

_calls.LAST_WORDS = float(sys.argv[5])
client = pawl.Client(sys.argv[1], agent="tester", on_wait=lambda w: print(w.id, flush=True))

@client.guard(name=sys.argv[2], attach=sys.argv[4] == "attach")
DEF act():
    print("ran")

async def many():
    await asyncio.gather(*(act() for _ in range(20)))

if sys.argv[3] == "sync":
    act()
elif sys.argv[3] == "async":
    asyncio.run(many())
else:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
"""


@pytest.mark.parametrize("attach", ["", "attach"])
@pytest.mark.parametrize("how", ["sync", "thread", "async"])
def test_ctrl_c(api: str, name: Name, people: People, how: str, attach: str) -> None:
    program = PROGRAM.replace("DEF", "async def" if how == "async" else "def")
    tool = name("ask")
    # All of the last words must get through on a busy machine, too; test_faults.py has some that don't.
    child = subprocess.Popen(
        [sys.executable, "-c", program, api, tool, how, attach, "10"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ},
    )  # fmt: skip
    assert child.stdout is not None
    call_ids = [child.stdout.readline().strip() for _ in range(20 if how == "async" else 1)]
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=15)  # Pawl holds its answer for 25
    assert "ran" not in said
    assert child.returncode != 0
    if how == "thread":
        return
    if attach:
        assert set(_taken_up(api, people, tool, len(call_ids))) == set(call_ids)
        return
    for call_id in call_ids:
        assert until(lambda call_id=call_id: people.status(call_id) == "cancelled"), call_id


@pytest.mark.parametrize("attach", [False, True])
def test_the_last_words_of_many(fake: Fake, monkeypatch: pytest.MonkeyPatch, attach: bool) -> None:
    """The first task that ends has asyncio.run cancel the others again: theirs get through all the same."""
    began, heard = itertools.count(), []

    def last(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.5 if next(began) else 0)
        json_answer(200, {"id": "pawl-1", "status": "cancelled"})(handler)
        heard.append(handler.path)

    fake.answers["POST /api/calls"] = json_answer(202, {"id": "pawl-1", "status": "pending"})
    fake.answers["/wait"] = json_answer(200, {"calls": []})
    fake.answers["/release"] = fake.answers["/cancel"] = last
    told = []

    def tell(waiting: pawl.Waiting) -> None:
        told.append(waiting)
        if len(told) == 5:
            signal.raise_signal(signal.SIGINT)

    @pawl.Client(fake.url, token="", agent="tester", on_wait=tell).guard(name="ask", attach=attach)
    async def act() -> None:
        pytest.fail("it ran")

    async def many() -> None:
        await asyncio.gather(*(act() for _ in range(5)))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(many())
    assert len(heard) >= 5


def _taken_up(api: str, people: People, tool: str, count: int = 1) -> list[str]:
    """The calls that another process gets that asks the same: it approves what it waits for."""
    other = pawl.Client(api, token="", agent="tester", on_wait=lambda waiting: people.approve(waiting.id))

    @other.guard(name=tool, attach=True)
    async def act() -> str:
        return pawl.call_id()

    async def run() -> list[str]:
        return await asyncio.gather(*(act() for _ in range(count)))

    return asyncio.run(run())


@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_interrupted_before_the_first_answer(
    api: str, name: Name, people: People, monkeypatch: pytest.MonkeyPatch, how: str, attach: bool
) -> None:
    monkeypatch.setattr(_calls, "FIRST", 20.0)
    tool, ids = name("ask"), []

    def interrupt() -> None:
        ids.extend(people.wait_for(tool))
        signal.pthread_kill(main, signal.SIGINT)

    def never() -> None:
        pytest.fail("it ran")

    async def never_async() -> None:
        never()

    main = threading.get_ident()
    guard = pawl.Client(api, token="", agent="tester").guard(name=tool, attach=attach)
    with pytest.raises(KeyboardInterrupt), people._beside(interrupt):
        guard(never)() if how == "sync" else asyncio.run(guard(never_async)())
    if attach:
        monkeypatch.setattr(_calls, "FIRST", 0.05)
        assert _taken_up(api, people, tool) == ids
    else:
        assert until(lambda: people.status(ids[0]) == "cancelled")
    assert people.waiting(tool) == []


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("end", ["time is up", "exception", "cancelled"])
def test_release(
    api: str, name: Name, people: People, monkeypatch: pytest.MonkeyPatch, how: str, end: str
) -> None:
    """Whoever stops waiting gives the call back: the next one who asks the same takes it up at once."""
    monkeypatch.setattr(_calls, "FIRST", 0.05)
    tool, told = name("ask"), []

    def tell(waiting: pawl.Waiting) -> None:
        told.append(waiting.id)
        if end == "exception":
            raise ValueError("nobody is to be told")
        if end == "cancelled" and how == "async":
            task.cancel()
        elif end == "cancelled":
            raise KeyboardInterrupt

    def never() -> None:
        pytest.fail("it ran")

    async def never_async() -> None:
        never()

    async def run() -> None:
        nonlocal task
        task = asyncio.create_task(guard(never_async)())
        await task

    task: asyncio.Task[None]
    guard = pawl.Client(api, token="", agent="tester", on_wait=tell).guard(name=tool, attach=True)
    cancelled = asyncio.CancelledError if how == "async" else KeyboardInterrupt
    raised = {"time is up": pawl.PendingError, "exception": ValueError, "cancelled": cancelled}[end]
    with pytest.raises(raised), pawl.about(wait=5 if end == "time is up" else None):
        guard(never)() if how == "sync" else asyncio.run(run())
    assert len(told) == 1
    assert _taken_up(api, people, tool) == told


@pytest.mark.parametrize("end", BAD_ENDS)
def test_async_generators_that_end_badly(
    async_client: pawl.AsyncClient, name: Name, people: People, end: Callable[[], None]
) -> None:
    ids = []

    @async_client.guard(name=name("free"))
    async def count() -> AsyncGenerator[int, None]:
        ids.append(pawl.call_id())
        try:
            yield 1
        finally:
            end()

    async def run() -> None:
        counting = count()
        await anext(counting)
        with pytest.raises((ValueError, KeyError, ConnectionRefusedError)):
            await counting.aclose()
        with pytest.raises((ValueError, KeyError, ConnectionRefusedError)):
            _ = [i async for i in count()]

    asyncio.run(run())
    assert [people.status(i) for i in ids] == ["outcome_unknown", "failed"]
