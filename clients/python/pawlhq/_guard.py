"""The functions that guard() returns: they look like those that they guard, and ask first."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _about, _schema
from ._api import API, Permit, View, run
from ._arguments import NotApprovedError, Signature, executed
from ._calls import Guarded, result_of
from ._errors import Denied, DeniedError, ResultError, SetupError, Unknown, display

if TYPE_CHECKING:
    from ._client import Core

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*")
_call_id: ContextVar[str] = ContextVar("pawl_call_id", default="")

# An answer that did not come does not say whether what was asked for was done.
UNKNOWN_IF: tuple[type[BaseException], ...] = (TimeoutError, ConnectionError)


def call_id() -> str:
    """The ID of the call that the guarded function runs for: the idempotency key to pass on. It is
    empty outside of one."""
    return _call_id.get()


@contextlib.contextmanager
def within(permit: Permit) -> Iterator[None]:
    """Has call_id say which call runs."""
    token = _call_id.set(permit.id)
    try:
        yield
    finally:
        _call_id.reset(token)


@dataclass(frozen=True)
class Options:
    name: str
    description: str
    key: Callable[..., str] | None
    exclude: Collection[str]
    attach: bool
    idempotent: bool
    unknown_if: tuple[type[BaseException], ...]
    on_denied: str


@dataclass
class _Over:
    """A call that ended without the function's running here."""

    result: Any


@dataclass
class _Running:
    call: Guarded
    bound: inspect.BoundArguments
    permit: Permit
    closed: bool = False  # early, by whoever wanted a generator's items


class Function:
    """What guard() knows of a function."""

    def __init__(self, client: Callable[[], Core], fn: Callable[..., Any], options: Options) -> None:
        self.client = client
        self.fn = fn
        self.where = getattr(fn, "__module__", ""), getattr(fn, "__qualname__", "")
        self.options = options
        self.name = options.name or getattr(fn, "__name__", "")
        if not _NAME.fullmatch(self.name):
            raise SetupError(f"{display(self.name, 80)!r} is no name of a tool: give one with name=")
        self.generates = inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn)
        if options.key is not None and not callable(options.key):
            raise SetupError("key takes a function of the arguments, such as key=lambda order: order")
        if options.on_denied not in ("raise", "return"):
            raise SetupError('on_denied is "raise" or "return"')
        if self.generates and options.on_denied == "return":
            raise SetupError('on_denied="return" is not for generators: they have no result')
        self.signature = Signature(fn, options.exclude)
        self.tool = {"name": self.name, "schema": _schema.of_function(fn, self.signature.exclude)}
        if text := options.description or (inspect.getdoc(fn) or "").split("\n\n")[0]:
            self.tool["description"] = text

    async def enter(self, api: API, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Running | _Over:
        """Asks. Nothing runs unless it returns what is to run."""
        frozen = self.signature.freeze(args, kwargs)
        about = _about.current()
        call = await self.client().guarded(
            api, self.tool, self.where, frozen.sent, about, key=about.key or self.key_of(args, kwargs),
            attach=self.options.attach, idempotent=self.options.idempotent,
        )  # fmt: skip
        begun = await call.begin()
        if not isinstance(begun, Permit):
            return _Over(self.value(begun))
        try:
            bound = self.signature.thaw(frozen, begun.args)
        except NotApprovedError as e:
            await call.finish({"status": "not_run", "error": str(e)})
            raise
        return _Running(call, bound, begun)

    def key_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return self.options.key(*args, **kwargs) if self.options.key else ""

    def value(self, view: View) -> Any:
        try:
            return result_of(view)
        except DeniedError as e:
            if self.options.on_denied == "return":
                return e.denied
            raise

    async def leave(self, running: _Running, e: BaseException) -> None:
        await raised(running.call, e, self.options.unknown_if, running.closed)


async def raised(
    call: Guarded, e: BaseException, unknown_if: tuple[type[BaseException], ...], closed: bool = False
) -> None:
    """Reports a function that raised."""
    unknown = isinstance(e, (Unknown, *unknown_if)) or not isinstance(e, Exception)
    if isinstance(e, ConnectionRefusedError):
        unknown = False
    # One that was closed early says nothing of what it left undone, whatever its end raises.
    unknown = unknown or closed
    said = display(f"{type(e).__name__}: {e}" if str(e) else type(e).__name__, 1000)
    report = {"status": "outcome_unknown" if unknown else "failed", "error": said}
    await call.finish(report, quick=not isinstance(e, Exception))


def wrap(function: Function) -> Callable[..., Any]:
    fn = function.fn
    make = _of_function
    if inspect.iscoroutinefunction(fn):
        make = _of_coroutine
    elif inspect.isasyncgenfunction(fn):
        make = _of_async_generator
    elif inspect.isgeneratorfunction(fn):
        make = _of_generator
    wrapper = functools.wraps(fn)(make(function))
    wrapper.__pawl__ = function  # type: ignore[attr-defined]
    return wrapper


def _of_function(function: Function) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        running = run(function.enter(function.client().blocking, args, kwargs))
        if isinstance(running, _Over):
            return running.result
        try:
            with within(running.permit):
                result = _done(function.fn(*running.bound.args, **running.bound.kwargs))
        except BaseException as e:
            run(function.leave(running, e))
            raise
        run(running.call.finish(executed(result)))
        return result

    return guarded


def _done(result: Any) -> Any:
    """What a plain function returns. One that has only begun, such as a decorated coroutine function,
    would run on behind its report."""
    kinds = inspect.isawaitable, inspect.isgenerator, inspect.isasyncgen
    if not any(of(result) for of in kinds):
        return result
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    raise Unknown(
        f"it returned a {display(type(result).__name__, 80)}, which Pawl can't follow: guard the function "
        "under its other decorators, or write one by async def or with yield"
    )


def _of_coroutine(function: Function) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        running = await function.enter(function.client().streaming, args, kwargs)
        if isinstance(running, _Over):
            return running.result
        try:
            with within(running.permit):
                result = await function.fn(*running.bound.args, **running.bound.kwargs)
        except BaseException as e:
            await function.leave(running, e)
            raise
        await running.call.finish(executed(result))
        return result

    return guarded


def _of_generator(function: Function) -> Callable[..., Any]:
    """Asks when the first item is wanted. Its result is all items, and what it returns is its caller's."""

    def guarded(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        running = run(function.enter(function.client().blocking, args, kwargs))
        if isinstance(running, _Over):
            yield from _items(running.result)
            return None
        items: list[Any] = []
        try:
            returned = yield from _passed(function, running, items)
        except BaseException as e:
            run(function.leave(running, e))
            raise
        run(running.call.finish(executed(items)))
        return returned

    return guarded


def _passed(function: Function, running: _Running, items: list[Any]) -> Generator[Any, Any, Any]:
    """Runs a generator: passes on what it yields, is sent and returns, and keeps the items. It is told of
    its call only while it runs itself: between the items others do."""
    inner = function.fn(*running.bound.args, **running.bound.kwargs)
    go_on = inner.send
    given: Any = None
    while True:
        try:
            with within(running.permit):
                item = go_on(given)
        except StopIteration as end:
            return end.value
        items.append(item)
        try:
            go_on, given = inner.send, (yield item)
        except GeneratorExit:
            running.closed = True
            with within(running.permit):
                inner.close()
            raise
        except BaseException as e:
            go_on, given = inner.throw, e


def _items(result: Any) -> list[Any]:
    """The items of a generator that an earlier process ran."""
    if not isinstance(result, list):
        raise ResultError("", "", "", "it is no list of items")
    return result


def _of_async_generator(function: Function) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        running = await function.enter(function.client().streaming, args, kwargs)
        if isinstance(running, _Over):
            for item in _items(running.result):
                yield item
            return
        items: list[Any] = []
        inner = function.fn(*running.bound.args, **running.bound.kwargs)
        go_on = inner.asend
        given: Any = None
        try:
            while True:  # as in _passed
                with within(running.permit):
                    item = await go_on(given)
                items.append(item)
                try:
                    go_on, given = inner.asend, (yield item)
                except GeneratorExit:
                    running.closed = True
                    with within(running.permit):
                        await inner.aclose()
                    raise
                except BaseException as e:
                    go_on, given = inner.athrow, e
        except StopAsyncIteration:
            pass
        except BaseException as e:
            await function.leave(running, e)
            raise
        await running.call.finish(executed(items))

    return guarded


__all__ = ["UNKNOWN_IF", "Denied", "Function", "Options", "call_id", "within", "wrap"]
