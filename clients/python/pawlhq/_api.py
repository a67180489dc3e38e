"""Pawl's HTTP API, as far as callers need it: docs/api.md and docs/caller-tools.md.

Everything that talks to the API is written once, as coroutines over IO. A Client's IO blocks and
never suspends, so run() gets through such a coroutine in one step; an AsyncClient's IO awaits.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from ._errors import APIError, Error, UnreachableError, UnsupportedError, text
from ._http import Answer, NoAnswer, Target, exchange, exchange_async

ENDED = ("executed", "rejected", "expired", "blocked", "failed", "outcome_unknown", "cancelled")

GRACE = 15.0  # seconds; how long an answer may take beyond the wait that was asked for
_MOST_PAUSE = 5.0  # seconds

T = TypeVar("T")
View = dict[str, Any]  # a call, or how it ended


class IO(Protocol):
    async def exchange(self, target: Target, method: str, data: bytes, limit: float) -> Answer: ...

    async def sleep(self, seconds: float) -> None: ...


class Blocking:
    async def exchange(self, target: Target, method: str, data: bytes, limit: float) -> Answer:
        return exchange(target, method, data, limit)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251


class Streaming:
    async def exchange(self, target: Target, method: str, data: bytes, limit: float) -> Answer:
        return await exchange_async(target, method, data, limit)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine over Blocking to its end."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a blocking coroutine was suspended")


class Backoff:
    """Pauses between tries: each twice as long as the one before, and cut by up to half at random, so
    that many who failed together don't come back together."""

    def __init__(self) -> None:
        self._next = 0.1

    def next(self, advice: float = 0) -> float:
        pause = self._next
        self._next = min(2 * pause, _MOST_PAUSE)
        return max(advice, pause * random.uniform(0.5, 1))


@dataclass(frozen=True)
class Permit:
    """The right to run a call's tool, once, with these arguments."""

    id: str
    args: dict[str, Any]


class API:
    def __init__(self, target: Target, token: str, io: IO) -> None:
        self.target = target
        self.io = io
        self._headers = {"Accept": "application/json", "User-Agent": "pawl-python"}
        self.signed_in = bool(token)
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    async def ask(self, method: str, path: str, body: Any = None, wait: float = 0, limit: float = 0) -> View:
        """Sends one request. Errors: APIError, UnreachableError."""
        got, _ = await self._send(method, path, body, wait, limit)
        return got

    async def _send(
        self, method: str, path: str, body: Any, wait: float, limit: float
    ) -> tuple[View, Answer]:
        doc = b"" if body is None else json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        data = self.target.request(method, path, self._headers, doc)
        try:
            answer = await self.io.exchange(self.target, method, data, limit or wait + GRACE)
        except NoAnswer as e:
            why = f"the connection broke at {self.target.url}: {e}"
            if not e.sent:
                why = f"nothing answers at {self.target.url}: {e}. Start Pawl, or set PAWL_API to where it is"
            raise UnreachableError(why, e.sent) from None
        try:
            got = json.loads(answer.body)
        except ValueError:
            got = None
        if not 200 <= answer.status <= 299:
            raise _problem(answer, got)
        if not isinstance(got, dict):
            raise self.strange("its answer is no JSON object")
        return got, answer

    def strange(self, why: str) -> UnreachableError:
        """What is no answer of Pawl's: it says nothing for sure, so it permits nothing."""
        return UnreachableError(f"what answers at {self.target.url} is not Pawl's API: {why}", True)

    async def check(self) -> None:
        """Makes sure that the API has what guarding takes."""
        version = await self.ask("GET", "/api/version")
        features = version.get("features")
        if not isinstance(features, list) or "caller" not in features:
            raise UnsupportedError(
                f"the API at {self.target.url} offers no calls that their callers run: upgrade it"
            )

    async def put_tools(self, agent: str, tools: list[View]) -> None:
        await self.ask("PUT", f"/api/agents/{quote(agent, safe='')}/tools", {"tools": tools})

    async def start(self, call: View, wait: float) -> View | Permit:
        body = {**call, "wait": seconds(wait)}
        return self._begun(await self.ask("POST", "/api/calls", body, wait))

    async def find(self, call: View, limit: float) -> tuple[View, bool]:
        """The call of a start whose answer did not come. False: it is a new one, since the API had not got
        that, or had taken up a call of another key."""
        body = {name: value for name, value in call.items() if name != "start_id"}
        got, answer = await self._send("POST", "/api/calls", {**body, "wait": "0s"}, 0, limit)
        if not text(got, "status") or not text(got, "id"):
            raise self.strange("its answer is about no call")
        return got, answer.headers.get("Pawl-Attached") == "true"

    async def start_tool(self, call_id: str, start_id: str) -> Permit:
        body = {"start_id": start_id}
        begun = self._begun(await self.ask("POST", _path(call_id, "start"), body))
        if not isinstance(begun, Permit) or begun.id != call_id:
            raise self.strange("its answer starts no call")
        return begun

    def _begun(self, got: View) -> View | Permit:
        status, call_id = text(got, "status"), text(got, "id")
        if not status or not call_id:
            raise self.strange("its answer is about no call")
        if "report_by" not in got:
            return got
        args = got.get("args")
        if status != "executing" or not isinstance(args, dict):
            raise self.strange("its answer starts no call")
        return Permit(call_id, args)

    async def changed(self, view: View, wait: float) -> View | None:
        """The call as it is now, as soon as it differs from view; None if it does not."""
        asked = {"id": view["id"], "revision": text(view, "revision")}
        body = {"calls": [asked], "wait": seconds(wait)}
        got = (await self.ask("POST", "/api/calls/wait", body, wait)).get("calls")
        if not isinstance(got, list):
            raise self.strange("its answer is about no call")
        if not got:
            return None
        now = got[0] if isinstance(got[0], dict) else {}
        if now.get("code") == "unknown":
            raise APIError(404, "unknown", "there is no such call", view["id"])
        news = now.get("outcome") or now.get("call")
        if not isinstance(news, dict) or not text(news, "status"):
            raise self.strange("its answer is about no call")
        return {**news, "id": view["id"]}

    async def get(self, call_id: str) -> View:
        got = await self.ask("GET", _path(call_id))
        if not text(got, "status"):
            raise self.strange("its answer is about no call")
        return got

    async def report(self, call_id: str, report: View, limit: float = 0) -> View:
        return await self.ask("POST", _path(call_id, "outcome"), report, limit=limit)

    async def cancel(self, call_id: str, notes: str, limit: float = 0) -> View:
        return await self.ask("POST", _path(call_id, "cancel"), {"notes": notes}, limit=limit)

    async def release(self, call_id: str, limit: float) -> None:
        await self.ask("POST", _path(call_id, "release"), limit=limit)


def ended(view: View) -> bool:
    """Whether nothing more will become of the call. One that was cut off in Temporal has an error, and
    no status of its own."""
    return view["status"] in ENDED or bool(view.get("error"))


def advice(e: Error) -> float:
    return e.retry_after if isinstance(e, APIError) else 0


def seconds(wait: float) -> str:
    return f"{max(int(wait * 1000), 0)}ms"


def _path(call_id: str, *more: str) -> str:
    return "/".join(["/api/calls", quote(call_id, safe=""), *more])


def _problem(answer: Answer, got: Any) -> APIError:
    detail = text(got, "detail") or text(got, "title")
    if 300 <= answer.status < 400:
        detail = f"the API answered {answer.status}, a redirect, which is never followed"
    after = answer.headers.get("Retry-After", "")
    wait = float(after) if after.isdecimal() and len(after) < 6 else 0
    return APIError(answer.status, text(got, "code"), detail, text(got, "id"), wait)
