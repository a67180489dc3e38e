"""A guarded call from the question to its end. Each line may be the last one of the process: what
was decided by then is in the journal or at Pawl."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ._api import API, Backoff, Permit, View, advice, ended
from ._errors import (
    APIError,
    ConflictError,
    Error,
    PendingError,
    ResultError,
    UnreachableError,
    display,
    outcome_error,
    text,
)
from ._journal import Journal, digest_of_call, new_start_id

HELD = 25.0  # seconds; how long the API is asked to hold an answer
FIRST = 1.0  # the same, for the first answer, so that people soon read where to approve
PATIENCE = 30.0  # seconds; how long a start or a report is sent again
LOOK = 5.0  # seconds; how often one who follows another looks whether that one has let the call go
LAST_WORDS = 0.8  # seconds; how long somebody who was interrupted still talks to Pawl

# Codes of refused starts after which the call's state says more. One that somebody else has started is
# followed: that is neither a denial nor done.
_FOLLOW = ("started", "ended", "not_approved", "approval_expired")


@dataclass(frozen=True)
class Waiting:
    """A call that somebody waits for. All texts in it are untrusted."""

    id: str
    tool: str
    status: str  # pending: it waits for people; empty where Pawl does not say it
    url: str  # where people decide
    command: str  # by which they can approve it, too
    deadline: datetime | None
    error: str  # why Pawl does not say the status
    again: bool = False  # Pawl answers again after an error; where to decide was told before

    def __str__(self) -> str:
        if self.error or self.again:
            call = f"{display(self.tool, 80)} ({display(self.id, 80)})"
            why = display(self.error, 300) or "Pawl answers again"
            return f"pawl: still waiting for {call}:\n  {why}"
        until = f" until {self.deadline.astimezone():%Y-%m-%d %H:%M:%S}" if self.deadline else ""
        return (
            f"pawl: {display(self.tool, 80)} waits for approval{until}. Decide at\n"
            f"  {display(self.url, 300)}\n"
            f"or by\n"
            f"  {display(self.command, 300)}"
        )


def print_waiting(waiting: Waiting) -> None:
    """Says on standard error what is waited for: the default of on_wait."""
    print(waiting, file=sys.stderr, flush=True)


@dataclass
class Guarded:
    """One call: of a function that runs here once it is permitted, or, without runs, of a tool that
    somebody else runs, and that is only waited for."""

    api: API
    body: dict[str, Any]  # of POST /api/calls, without what follows
    runs: bool = True
    key: str = ""
    attach: bool = False
    folder: Path | None = None  # of journals; needed with a key
    idempotent: bool = False
    wait: float | None = None  # seconds
    on_wait: Callable[[Waiting], None] = print_waiting
    _journal: Journal | None = None
    _start_id: str = ""
    _asked: View = field(default_factory=dict)  # the body of the start
    _view: View = field(default_factory=dict)
    _told: str = ""  # the address that people were told
    _silent: bool = False  # people were told that Pawl is
    _look: float = 0.0  # seconds after which PendingError ends the waiting, of one who follows
    _permit: Permit | None = None
    _withdrawn: bool = False

    @property
    def tool(self) -> str:
        return str(self.body["tool"])

    async def begin(self) -> Permit | View:
        """Waits until the function may run, or the call has ended: then how it did."""
        if not self.runs:
            return await self._begin()
        if not self.key:
            self._start_id = new_start_id()
            return await self._begin_or_let_go()
        assert self.folder is not None
        self._journal, over = await self._take_up(self.folder)
        if self._journal is None:
            return over
        self._start_id = self._journal.start_id
        try:
            begun = await self._resume(self._journal)
        except BaseException as e:
            self._close(done=isinstance(e, (APIError, ConflictError)))
            raise
        if not isinstance(begun, Permit):
            self._close(done=True)
        return begun

    async def _take_up(self, folder: Path) -> tuple[Journal | None, View]:
        """Opens the key's journal. While another process, or thread, has it, the call is followed: to its
        end, which is returned then, or until that one lets it go."""
        until = None if self.wait is None else time.monotonic() + self.wait
        follower = replace(self, runs=False, _look=LOOK)
        while (journal := Journal.open(folder, self.key)) is None:
            try:
                over = await follower._begin()
                assert isinstance(over, dict)
                return None, over
            except PendingError:
                if until is not None and time.monotonic() >= until:
                    raise
            if until is not None:
                follower.wait = self.wait = until - time.monotonic()
        self._told, self._silent = follower._told, follower._silent
        return journal, {}

    async def end(self) -> View:
        """Waits for the end of a call that somebody else runs."""
        begun = await self.begin()
        assert isinstance(begun, dict)
        return begun

    async def _resume(self, journal: Journal) -> Permit | View:
        asked = digest_of_call(self.tool, self.body["args"])
        # Once the function may have run, nobody asks Pawl any more whether the key is another call's: what
        # that one did stays for it.
        if journal.running and journal.asked not in ("", asked):
            journal.owed = True
            raise ConflictError(journal.call_id)
        if journal.report is None and journal.running and not self.idempotent:
            message = "the process ended while the function ran"
            journal.report = {"status": "outcome_unknown", "error": message}
            journal.write()
        if journal.report is not None:
            return await self._report(journal.call_id, journal.report)
        begun = await self._begin()
        if isinstance(begun, Permit):
            journal.call_id, journal.running, journal.asked = begun.id, True, asked
            journal.write()
        return begun

    async def _begin_or_let_go(self) -> Permit | View:
        try:
            return await self._begin()
        except GeneratorExit:
            raise
        except BaseException as e:
            # Where the waiting ended otherwise than by an error of ours, Pawl may have got a start that it
            # had not answered yet.
            if not isinstance(e, APIError) and (self._view or (self._asked and not isinstance(e, Error))):
                with contextlib.suppress(Exception):  # e says why nobody waits any more
                    await _said_after_all(self._let_go)
            if isinstance(e, PendingError) and self._withdrawn:
                raise self._given_up(e) from None
            raise

    def _given_up(self, e: PendingError) -> PendingError:
        """Says of a call that was withdrawn what would have kept it."""
        undecided = text(self._view, "status") == "pending"
        why = e.message or ("nobody decided in time" if undecided else "it could not start in time")
        why += ". Without a key nobody can take it up later: give it a key= to keep it"
        return PendingError(e.id, e.tool, why, withdrawn=True)

    async def _let_go(self) -> None:
        """Nobody waits for the call any more. Where it may be taken up, the next one who asks the same
        gets it at once. Else nobody could use the answer, and people need not be asked."""
        attached = self.attach
        if not self._view:
            self._view, again = await self.api.find(self._asked, LAST_WORDS)
            attached = attached and again
        call_id, notes = self._view["id"], "its caller does not wait any more"
        not_run = {"start_id": self._start_id, "status": "not_run", "error": notes}
        if attached:
            if self._view["status"] in ("approved", "executing"):  # the start may have got through
                await self._quietly(call_id, not_run)
            await self.api.release(call_id, LAST_WORDS)
            return
        try:
            await self.api.cancel(call_id, notes, LAST_WORDS)
            self._withdrawn = True
        except APIError as e:
            if e.status == 409:  # the tool was started, and the answer did not come
                await self._quietly(call_id, not_run)

    async def _begin(self) -> Permit | View:
        until = None if self.wait is None else time.monotonic() + self.wait
        if not self._view:
            begun = await self._start(until)
            if isinstance(begun, Permit):
                return self._permitted(begun)
            self._view = begun
            self._tell()
        if self._look:
            soon = time.monotonic() + self._look
            until = soon if until is None else min(until, soon)
        pause = Backoff()
        trouble = ""
        while not ended(self._view):
            try:
                if self.runs and self._view["status"] in ("approved", "executing"):
                    permit = await self._start_tool()
                    if permit is not None:
                        return self._permitted(permit)
                left = HELD if until is None else min(HELD, until - time.monotonic())
                # Without a revision it is answered at once: people soon read that Pawl is back.
                known = {"id": self._view["id"]} if trouble else self._view
                now = await self.api.changed(known, max(left, 0))
                self._view = now or self._view
                pause, trouble = Backoff(), ""
                self._tell()
            except (UnreachableError, APIError) as e:
                if isinstance(e, APIError) and not e.transient:
                    raise
                trouble = str(e)
                self._tell(trouble)
                await self.api.io.sleep(pause.next(advice(e)))
            if until is not None and time.monotonic() >= until and not ended(self._view):
                raise PendingError(self._view["id"], self.tool, trouble)
        return self._view

    def _permitted(self, permit: Permit) -> Permit:
        if not self.runs:
            raise self.api.strange("it starts what was not to be started")
        self._permit = permit
        return permit

    async def _start(self, until: float | None) -> Permit | View:
        body = {**self.body, "idempotency_key": self.key or secrets.token_hex(16)}
        if self.attach:
            body["attach"] = True  # what it finds is started in a step of its own
        elif self.runs:
            body["start_id"] = self._start_id
        self._asked = body
        give_up = time.monotonic() + PATIENCE
        give_up = give_up if until is None else min(give_up, until)
        pause, sent = Backoff(), False
        while True:
            try:
                return await self.api.start(body, FIRST)
            except APIError as e:
                if e.code == "idempotency_conflict":
                    raise ConflictError(e.id) from e
                if e.code in _FOLLOW and e.id:
                    return {"id": e.id, "status": ""}  # what follows says what became of it
                if not e.transient:
                    raise
                problem: Error = e
            except UnreachableError as e:
                sent = sent or e.sent
                problem = e
            rest = pause.next(advice(problem))
            if time.monotonic() + rest >= give_up:
                if sent:
                    raise PendingError("", self.tool, str(problem), uncertain=True) from problem
                raise problem
            await self.api.io.sleep(rest)

    async def _start_tool(self) -> Permit | None:
        try:
            return await self.api.start_tool(self._view["id"], self._start_id)
        except APIError as e:
            if e.code not in _FOLLOW:
                raise
        return None

    def _tell(self, trouble: str = "") -> None:
        """Tells people once where the call waits for them, once that Pawl is silent, and once that it
        answers again."""
        view, again = self._view, False
        url = text(view, "url") or f"{self.api.target.url}/requests/{view['id']}"
        if trouble:
            if self._silent:
                return
            self._silent = True
        else:
            again = url == self._told
            if text(view, "status") != "pending" or (again and not self._silent):
                return
            self._told, self._silent = url, False
        status = "" if trouble else "pending"
        command = f"pawl approve {view['id']}" + ("" if self.api.signed_in else " --as YOU")
        waiting = Waiting(view["id"], self.tool, status, url, command, _time(view), trouble, again)
        self.on_wait(waiting)

    async def finish(self, report: View, *, quick: bool = False) -> None:
        """Reports how the function ended that begin permitted. It raises nothing: the function has run."""
        assert self._permit is not None
        try:
            if self._journal:
                self._journal.report = report
                self._journal.write()
        except OSError as e:  # only this process can report then; that may still work
            self._complain(e)
        try:
            if quick:
                last = {**report, "start_id": self._start_id}
                await _said_after_all(functools.partial(self._quietly, self._permit.id, last))
            else:
                await self._report(self._permit.id, report)
        finally:
            self._close(done=not quick)

    async def _quietly(self, call_id: str, report: View) -> None:
        try:
            await self.api.report(call_id, report, LAST_WORDS)
        except Error:
            pass  # it counts as not reported, or the journal has it

    async def _report(self, call_id: str, report: View) -> View:
        """Sends a report until Pawl has it, or time is up, and returns how the call has ended."""
        body = {**report, "start_id": self._start_id}
        give_up = time.monotonic() + PATIENCE
        pause = Backoff()
        while True:
            try:
                got = await self.api.report(call_id, body)
                if ended(got):
                    return got
                rest = 0.0  # the workflow has not read it yet
            except (APIError, UnreachableError) as e:
                rest = pause.next(advice(e))
                final = isinstance(e, APIError) and not e.transient
                if final or time.monotonic() + rest >= give_up:
                    # What the function did is what its caller needs to know. A report that may be taken
                    # later is kept.
                    self._complain(e)
                    if self._journal:
                        self._journal.owed = not (final and isinstance(e, APIError) and e.status == 409)
                    return _said(call_id, self.tool, report)
            await self.api.io.sleep(rest)

    def _complain(self, e: Exception) -> None:
        why = display(str(e), 300)
        print(f"pawl: {display(self.tool, 80)} ran, and Pawl was not told: {why}", file=sys.stderr)

    def _close(self, done: bool) -> None:
        if self._journal:
            self._journal.close(done)
            self._journal = None


async def _said_after_all(words: Callable[[], Awaitable[None]]) -> None:
    """Says the last words of a task that is cancelled. Where several are, asyncio.run cancels those that
    are left once more as soon as one has ended."""
    for _ in range(3):
        with contextlib.suppress(asyncio.CancelledError):
            await words()
            break


def _said(call_id: str, tool: str, report: View) -> View:
    view = {**report, "id": call_id, "tool": tool}
    if "error" in report:
        code = "tool_failed" if report["status"] == "failed" else report["status"]
        view["error"] = {"code": code, "message": report["error"]}
    return view


def _time(view: View) -> datetime | None:
    try:
        return datetime.fromisoformat(text(view, "deadline"))
    except ValueError:
        return None


async def wait_for(call: Guarded, call_id: str) -> View:
    """Waits for the end of a call that was started before."""
    call._view = {"id": call_id, "status": ""}
    return await call.end()


def result_of(view: View) -> Any:
    """What a call returns that ended, or the error that it raises."""
    if error := outcome_error(view):
        raise error
    if "result" not in view:
        raise ResultError(text(view, "id"), text(view, "tool"), "", "only the process that ran it had it")
    return view["result"]
