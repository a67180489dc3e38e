"""Client and AsyncClient: where Pawl is, and who asks."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, overload

from . import _about
from ._about import About
from ._api import API, Blocking, Streaming, View, run, seconds
from ._arguments import plain
from ._calls import Guarded, Waiting, print_waiting, result_of, wait_for
from ._errors import APIError, Denied, DeniedError, PublishError, SetupError, display
from ._guard import UNKNOWN_IF, Function, Options, wrap
from ._http import Target
from ._journal import default_folder

DEFAULT_URL = "http://127.0.0.1:7295"

P = ParamSpec("P")
R = TypeVar("R")


class Guard(Protocol):
    """Makes a guarded function of one that has its type."""

    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R]: ...


class ReturningGuard(Protocol):
    """The same, for functions that return Denied where they are denied."""

    @overload
    def __call__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | Denied]]: ...

    @overload
    def __call__(self, fn: Callable[P, R], /) -> Callable[P, R | Denied]: ...


class Core:
    """What Client and AsyncClient have in common. Settings that are left out are those of the
    environment.

    url, token: where the API is, and what it knows this program by: PAWL_API, PAWL_TOKEN or
        PAWL_TOKEN_FILE. SSL_CERT_FILE, http_proxy, https_proxy and no_proxy count as everywhere.
    agent: names the agent, to reviewers and in the policy: PAWL_AGENT, or else the program's name.
    team, session: go into every call that has none of its own.
    dir: where calls with a key are kept for a process that comes back: PAWL_DIR, or else a folder of
        this agent's own among the user's files.
    report_within: seconds; how long a function may run before its call counts as lost. Default: ten
        minutes, at most a day.
    on_wait: is told once where a call waits for people, and when Pawl falls silent and answers again.
        Default: says so on standard error.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, agent: str | None = None, *,
        team: str = "", session: str = "", dir: str | os.PathLike[str] | None = None,
        report_within: float | None = None,
        on_wait: Callable[[Waiting], None] = print_waiting,
    ) -> None:  # fmt: skip
        target = Target.of(url or os.environ.get("PAWL_API") or DEFAULT_URL)
        token = _token() if token is None else token
        if any(c <= " " or c > "~" for c in token):
            raise SetupError("the token holds a character that no token has: is it cut, or quoted?")
        self.agent = agent or os.environ.get("PAWL_AGENT") or _program()
        self.folder = Path(dir) if dir is not None else default_folder(target.url, self.agent)
        self.blocking = API(target, token, Blocking())
        self.streaming = API(target, token, Streaming())
        self._common: dict[str, Any] = {"agent": self.agent}
        if team:
            self._common["team"] = team
        if session:
            self._common["session"] = session
        self._report_within = report_within
        self._on_wait = on_wait
        self._tools: dict[str, tuple[View, object]] = {}
        self._checked = False
        self._published: list[View] = []

    @overload
    def guard(self, fn: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def guard(
        self, /, *, name: str = "", description: str = "", key: Callable[..., str] | None = None,
        exclude: Collection[str] = (), attach: bool = False, idempotent: bool = False,
        unknown_if: tuple[type[BaseException], ...] = UNKNOWN_IF,
        on_denied: Literal["raise"] = "raise",
    ) -> Guard: ...  # fmt: skip

    @overload
    def guard(
        self, /, *, name: str = "", description: str = "", key: Callable[..., str] | None = None,
        exclude: Collection[str] = (), attach: bool = False, idempotent: bool = False,
        unknown_if: tuple[type[BaseException], ...] = UNKNOWN_IF,
        on_denied: Literal["return"],
    ) -> ReturningGuard: ...  # fmt: skip

    def guard(self, fn: Any = None, /, **options: Any) -> Any:
        """Guards a function: it may be async, and a generator. See pawlhq.guard."""
        made = make_guard(lambda: self, options)
        return made(fn) if fn is not None else made

    def offer(self, tool: View, where: object) -> None:
        """Takes a tool in. Two functions of one name would be one tool to reviewers."""
        name = tool["name"]
        if self._tools.get(name, (tool, where))[1] != where:
            raise SetupError(f"tool {display(name, 80)} is guarded already: give it another name=")
        self._tools[name] = tool, where

    async def ready(self, api: API, tool: str) -> None:
        """Makes sure that Pawl has what guarding takes, and knows what this agent runs."""
        if not self._checked:
            await api.check()
            self._checked = True
        # A list is made at once: other threads may guard a function meanwhile.
        while self._published != (tools := [tool for tool, _ in list(self._tools.values())]):
            try:
                await api.put_tools(self.agent, tools)
            except APIError as e:
                if e.transient:
                    raise
                raise PublishError(
                    f"Pawl does not take tool {display(tool, 80)}, so no call of it was started: {e}"
                ) from e
            # Others may have sent an older list at the same time: the last to return sends it again.
            now = [tool for tool, _ in list(self._tools.values())]
            self._published = tools if tools == now else []

    async def guarded(
        self, api: API, tool: View, where: object, args: dict[str, Any], about: About, *,
        key: str = "", attach: bool = False, idempotent: bool = False,
    ) -> Guarded:  # fmt: skip
        """A call of a tool that this program runs itself."""
        self.offer(tool, where)
        await self.ready(api, tool["name"])
        body = self._body(tool["name"], args, about)
        body["execution"] = "caller"
        if self._report_within is not None:
            body["report_within"] = seconds(self._report_within)
        return Guarded(
            api, body, key=key, attach=attach and not key, folder=self.folder,
            idempotent=idempotent, wait=about.wait, on_wait=self._on_wait,
        )  # fmt: skip

    def _body(self, tool: str, args: Mapping[str, Any], about: About) -> dict[str, Any]:
        return {"tool": tool, "args": args, **self._common, **about.body()}

    def _plain(self, api: API, tool: str, args: Mapping[str, Any]) -> Guarded:
        about = _about.current()
        body = self._body(tool, plain(args), about)
        return Guarded(api, body, runs=False, key=about.key, wait=about.wait, on_wait=self._on_wait)


class Client(Core):
    """Pawl for programs without asyncio; Core describes its settings. It is safe for many threads, and
    has no connection to close."""

    def call(self, tool: str, args: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Calls a tool that a Pawl worker runs, and returns its result. See pawlhq.call."""
        return run(_called(self._plain(self.blocking, tool, {**(args or {}), **more})))

    def result(self, call_id: str, *, wait: float | None = None) -> Any:
        """Waits for a call that was started before, by whatever process, and returns what it did."""
        call = Guarded(self.blocking, {"tool": ""}, runs=False, wait=wait, on_wait=self._on_wait)
        return result_of(run(wait_for(call, call_id)))

    def cancel(self, call_id: str, notes: str = "") -> None:
        """Withdraws a call, unless its tool is started first."""
        run(self.blocking.cancel(call_id, notes))

    def check(self) -> None:
        """Fails if no API answers, or one that guards nothing. Guarded functions do so themselves."""
        run(self.blocking.check())


class AsyncClient(Core):
    """Client for asyncio."""

    async def call(self, tool: str, args: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
        """Is Client.call."""
        return await _called(self._plain(self.streaming, tool, {**(args or {}), **more}))

    async def result(self, call_id: str, *, wait: float | None = None) -> Any:
        """Is Client.result."""
        call = Guarded(self.streaming, {"tool": ""}, runs=False, wait=wait, on_wait=self._on_wait)
        return result_of(await wait_for(call, call_id))

    async def cancel(self, call_id: str, notes: str = "") -> None:
        """Is Client.cancel."""
        await self.streaming.cancel(call_id, notes)

    async def check(self) -> None:
        """Is Client.check."""
        await self.streaming.check()


def make_guard(client: Callable[[], Core], options: dict[str, Any]) -> Callable[..., Any]:
    defaults: dict[str, Any] = {
        "name": "", "description": "", "key": None, "exclude": (), "attach": False,
        "idempotent": False, "unknown_if": UNKNOWN_IF, "on_denied": "raise",
    }  # fmt: skip

    def guard(fn: Callable[..., Any]) -> Callable[..., Any]:
        return wrap(Function(client, fn, Options(**{**defaults, **options})))

    return guard


async def _called(call: Guarded) -> Any:
    return result_of(await call.end())


def _token() -> str:
    if token := os.environ.get("PAWL_TOKEN"):
        return token
    path = os.environ.get("PAWL_TOKEN_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise SetupError(f"PAWL_TOKEN_FILE can't be read: {type(e).__name__}") from e


def _program() -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(sys.argv[0] if sys.argv else "").stem).strip("-")
    return name if name not in ("", "-c", "-m", "__main__") else "python"


__all__ = ["AsyncClient", "Client", "DeniedError"]
