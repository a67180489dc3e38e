"""Pawl for Python: a guarded function waits until a person lets it run.

    import pawlhq as pawl

    @pawl.guard
    def refund(order: str, cents: int) -> str: ...

See https://github.com/pawlhq/pawl/blob/main/clients/python/README.md
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, overload

from ._about import about
from ._calls import Waiting
from ._client import AsyncClient, Client, Core, Guard, P, R, ReturningGuard, make_guard
from ._errors import (
    APIError,
    BlockedError,
    CancelledError,
    ConflictError,
    Denied,
    DeniedError,
    Error,
    ExpiredError,
    FailedError,
    GoneError,
    OutcomeUnknownError,
    PendingError,
    PublishError,
    RejectedError,
    ResultError,
    SetupError,
    Unknown,
    UnreachableError,
    UnsupportedError,
)
from ._guard import UNKNOWN_IF, call_id
from ._retry import retry


@functools.cache
def _default() -> Client:
    return Client()


@overload
def guard(fn: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def guard(
    *, client: Core | None = None, name: str = "", description: str = "",
    key: Callable[..., str] | None = None, exclude: Collection[str] = (), attach: bool = False,
    idempotent: bool = False, unknown_if: tuple[type[BaseException], ...] = UNKNOWN_IF,
    on_denied: Literal["raise"] = "raise",
) -> Guard: ...  # fmt: skip


@overload
def guard(
    *, client: Core | None = None, name: str = "", description: str = "",
    key: Callable[..., str] | None = None, exclude: Collection[str] = (), attach: bool = False,
    idempotent: bool = False, unknown_if: tuple[type[BaseException], ...] = UNKNOWN_IF,
    on_denied: Literal["return"],
) -> ReturningGuard: ...  # fmt: skip


def guard(fn: Callable[..., Any] | None = None, /, *, client: Core | None = None, **options: Any) -> Any:
    """Guards a function, which may be async, and a generator. It looks as before and asks first: each
    time it is called it waits for policy and people, and runs, here, where they let it. Where anything
    goes wrong before that, it raises, and nothing runs.

    client: whom to ask. Default: one by the environment, see Client.
    name, description: how reviewers and the policy know it. Default: the function's own.
    key: makes the idempotency key of a call, from its arguments; see about. Without one, a process
        that is killed can't take its call up again.
    exclude: arguments that are no part of the call, such as a framework's context.
    attach: take up the same call of this session that waits and that nobody waits for any more.
    idempotent: running it twice for one call_id() does no more than running it once. Default: after a
        crash while it ran, it does not run again.
    unknown_if: exceptions after which it may have done what was asked. Default: TimeoutError and
        ConnectionError. All others say that it did not, except Unknown, which says that for itself.
    on_denied: "return" returns a Denied, which is false, where "raise" raises DeniedError.

    Errors, beside the function's own: DeniedError (RejectedError, ExpiredError, BlockedError,
    CancelledError), PendingError, ConflictError, PublishError, UnreachableError, UnsupportedError,
    SetupError, APIError: it did not run. OutcomeUnknownError, ResultError, GoneError: it ran or may
    have, in an earlier process.
    """
    found = _default if client is None else lambda: client
    made = make_guard(found, options)
    return made(fn) if fn is not None else made


def call(tool: str, args: Mapping[str, Any] | None = None, /, **more: Any) -> Any:
    """Calls a tool that a Pawl worker runs, waits for its end and returns the result. Arguments may be
    given by name. It raises as guarded functions do, and FailedError where the tool failed."""
    return _default().call(tool, args, **more)


__all__ = [
    "APIError", "AsyncClient", "BlockedError", "CancelledError", "Client", "ConflictError", "Denied",
    "DeniedError", "Error", "ExpiredError", "FailedError", "GoneError", "OutcomeUnknownError",
    "PendingError", "PublishError", "RejectedError", "ResultError", "SetupError", "Unknown",
    "UnreachableError", "UnsupportedError", "Waiting", "about", "call", "call_id", "guard", "retry",
]  # fmt: skip

for _name in __all__:
    if isinstance(_public := globals()[_name], type):
        _public.__module__ = __name__  # by which tracebacks name them
