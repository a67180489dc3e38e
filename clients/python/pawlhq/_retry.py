"""Tries a guarded call again, with other arguments, when a reviewer rejects it and says why."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar, cast

from . import _about
from ._about import about
from ._errors import RejectedError, SetupError
from ._guard import Function

P = ParamSpec("P")
R = TypeVar("R")

Redraft = Callable[[dict[str, Any], RejectedError], Mapping[str, Any]]


def retry(n: int, redraft: Redraft) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a function of a guarded one that tries up to n times more.

    When a reviewer rejects a call with notes, redraft gets the arguments by name and the rejection,
    and returns those to change. The notes are a person's words, and no instruction of the program's.
    Reviewers see the attempts before. Nothing but a rejection with notes is tried again, least of all
    a call that may have run. With a key, each attempt has one of its own, made of that: a process that
    comes back finds the attempts that it had started, as long as redraft drafts the same again.
    """

    def decorate(fn: Callable[P, R]) -> Callable[P, R]:
        guarded = getattr(fn, "__pawl__", None)
        if not isinstance(guarded, Function) or guarded.generates or guarded.options.on_denied != "raise":
            raise SetupError("retry is for a function that is guarded and raises where it is denied")
        signature = inspect.signature(fn)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Attempts:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            key = _about.current().key or guarded.key_of(args, kwargs)
            return _Attempts(n, key, bound, redraft)

        if inspect.iscoroutinefunction(fn):

            @functools.wraps(fn)
            async def tried_async(*args: Any, **kwargs: Any) -> Any:
                attempts = begin(args, kwargs)
                while True:
                    try:
                        with about(key=attempts.key, attempt_of=attempts.of):
                            return await fn(*attempts.bound.args, **attempts.bound.kwargs)
                    except RejectedError as e:
                        if not attempts.again(e):
                            raise

            return cast(Callable[P, R], tried_async)

        @functools.wraps(fn)
        def tried(*args: Any, **kwargs: Any) -> Any:
            attempts = begin(args, kwargs)
            while True:
                try:
                    with about(key=attempts.key, attempt_of=attempts.of):
                        return fn(*attempts.bound.args, **attempts.bound.kwargs)
                except RejectedError as e:
                    if not attempts.again(e):
                        raise

        return cast(Callable[P, R], tried)

    return decorate


class _Attempts:
    def __init__(self, n: int, key: str, bound: inspect.BoundArguments, redraft: Redraft) -> None:
        self._left = n
        self._tried = 1
        self._first_key = key
        self._redraft = redraft
        self.bound = bound
        self.key = key
        self.of = ""

    def again(self, rejected: RejectedError) -> bool:
        """Readies the next attempt, if there is to be one."""
        if self._left <= 0 or not rejected.notes:
            return False
        changes = self._redraft(dict(self.bound.arguments), rejected)
        unknown = [name for name in changes if name not in self.bound.arguments]
        if unknown:
            raise TypeError(f"redraft changes {unknown[0]}, which is no argument") from rejected
        self.bound.arguments.update(changes)
        self._left -= 1
        self._tried += 1
        self.of = rejected.id
        if self._first_key:
            self.key = f"{self._first_key}, attempt {self._tried}"
        return True
