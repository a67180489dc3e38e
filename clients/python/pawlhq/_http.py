"""HTTP/1.1 over a socket or an asyncio stream: one request for each connection.

The standard library's clients are either not asynchronous or follow redirects, which would carry
token and arguments to somebody else. A connection of its own for each request makes sure that a
request that was not answered was not sent twice either.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from ._errors import Error, SetupError

MAX_ANSWER = 16 << 20  # bytes
_CONNECT = 10.0  # seconds
_SLICE = 0.5  # seconds; how often a thread looks whether its program ends


class NoAnswer(Error):
    """No answer came. ``sent`` is false where certainly nothing was sent."""

    def __init__(self, why: str, sent: bool) -> None:
        super().__init__(why)
        self.sent = sent


class ProgramEnds(Error):
    """The main thread has ended, so nobody needs the answer."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Target:
    """Where the API is, and how to get there. Proxies and certificates are those of the environment:
    ``http_proxy``, ``https_proxy``, ``no_proxy``, ``SSL_CERT_FILE``."""

    url: str
    tls: ssl.SSLContext | None
    host: str
    port: int
    path: str
    proxy: tuple[str, int] | None
    proxy_auth: str

    @classmethod
    def of(cls, url: str) -> Target:
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            parts, port, host = urlsplit(""), None, None
        # Never quoted: the address may hold a password.
        if parts.scheme not in ("http", "https") or not host:
            raise SetupError("the API's address must look like http://127.0.0.1:7295")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise SetupError("the API's address holds a user, query or fragment: leave them out")
        tls = ssl.create_default_context() if parts.scheme == "https" else None
        proxy, proxy_auth = _proxy(parts.scheme, host)
        return cls(
            url.rstrip("/"), tls, host, port or (443 if tls else 80),
            parts.path.rstrip("/"), proxy, proxy_auth,
        )  # fmt: skip

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        where = self.path + path
        lines = {"Host": self.authority, **headers, "Connection": "close"}
        if self.proxy and not self.tls:
            where = f"http://{self.authority}{where}"
            if self.proxy_auth:
                lines["Proxy-Authorization"] = self.proxy_auth
        if body:
            lines["Content-Type"] = "application/json"
        if body or method != "GET":
            lines["Content-Length"] = str(len(body))
        head = f"{method} {where} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        return head.encode("latin-1") + b"\r\n" + body

    def tunnel(self) -> bytes | None:
        """What to ask a proxy first, where one is between us and TLS."""
        if not (self.proxy and self.tls):
            return None
        auth = f"Proxy-Authorization: {self.proxy_auth}\r\n" if self.proxy_auth else ""
        return f"CONNECT {self.authority} HTTP/1.1\r\nHost: {self.authority}\r\n{auth}\r\n".encode()


def _proxy(scheme: str, host: str) -> tuple[tuple[str, int] | None, str]:
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    address = urllib.request.getproxies().get(scheme)
    if local or not address or urllib.request.proxy_bypass(host):
        return None, ""
    parts = urlsplit(address if "://" in address else f"http://{address}")
    if parts.scheme != "http" or not parts.hostname:
        raise SetupError(f"the proxy for {scheme} must be an http:// address")
    auth = ""
    if parts.username:
        secret = f"{parts.username}:{parts.password or ''}"
        auth = "Basic " + base64.b64encode(secret.encode()).decode()
    return (parts.hostname, parts.port or 80), auth


class _Bytes:
    """What http.client takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parse(data: bytes, method: str) -> Answer:
    try:
        answer = http.client.HTTPResponse(_Bytes(data), method=method)  # type: ignore[arg-type]
        answer.begin()
        return Answer(answer.status, answer.headers, answer.read())
    except (http.client.HTTPException, ValueError) as e:
        raise NoAnswer(f"what came is no whole HTTP answer: {type(e).__name__}", True) from e


def _tunnelled(head: bytes) -> None:
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or status[1] != b"200":
        raise NoAnswer("the proxy made no connection", False)


def exchange(target: Target, method: str, data: bytes, limit: float) -> Answer:
    """Sends one request and reads its answer, within limit seconds."""
    until = time.monotonic() + limit
    sent = False
    try:
        where = target.proxy or (target.host, target.port)
        with socket.create_connection(where, timeout=min(limit, _CONNECT)) as plain:
            if ask := target.tunnel():
                plain.sendall(ask)
                _tunnelled(_receive(plain, until, b"\r\n\r\n"))
            with _secured(plain, target) as connection:
                sent = True
                connection.settimeout(limit)
                connection.sendall(data)
                received = _receive(connection, until, b"")
    except OSError as e:
        raise NoAnswer(_trouble(e), sent) from e
    return _parse(received, method)


def _secured(plain: socket.socket, target: Target) -> socket.socket:
    if target.tls is None:
        return plain
    return target.tls.wrap_socket(plain, server_hostname=target.host)


def _receive(connection: socket.socket, until: float, end: bytes) -> bytes:
    """Reads until the other end closes, or end has come. A thread that is not the main one can't be
    interrupted, so it looks every now and then whether the program ends."""
    aside = threading.current_thread() is not threading.main_thread()
    received = bytearray()
    while not (end and end in received):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(min(left, _SLICE) if aside else left)
        try:
            some = connection.recv(1 << 16)
        except TimeoutError:
            if not threading.main_thread().is_alive():
                raise ProgramEnds("the program ends") from None
            continue
        if not some:
            break
        received += some
        if len(received) > MAX_ANSWER:
            raise NoAnswer(f"the answer is larger than {MAX_ANSWER} bytes", True)
    return bytes(received)


async def exchange_async(target: Target, method: str, data: bytes, limit: float) -> Answer:
    """Is exchange for asyncio."""
    sent = False
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(limit):
            host, port = target.proxy or (target.host, target.port)
            ask = target.tunnel()
            direct = None if ask else target.tls
            async with asyncio.timeout(_CONNECT):
                reader, writer = await asyncio.open_connection(host, port, ssl=direct)
                if ask:
                    writer.write(ask)
                    _tunnelled(await reader.readuntil(b"\r\n\r\n"))
                    assert target.tls is not None
                    await writer.start_tls(target.tls, server_hostname=target.host)
            sent = True
            writer.write(data)
            await writer.drain()
            received = bytearray()
            while some := await reader.read(1 << 16):
                received += some
                if len(received) > MAX_ANSWER:
                    raise NoAnswer(f"the answer is larger than {MAX_ANSWER} bytes", True)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as e:
        raise NoAnswer(_trouble(e), sent) from e
    finally:
        if writer is not None:
            writer.transport.abort()
    return _parse(bytes(received), method)


def _trouble(e: Exception) -> str:
    if isinstance(e, ssl.SSLCertVerificationError):
        return f"its certificate can't be trusted ({e.verify_message}); see SSL_CERT_FILE"
    if isinstance(e, TimeoutError):
        return "no answer in time"
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    return str(e) or type(e).__name__
