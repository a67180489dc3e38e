"""The way to the API: certificates and proxies of the environment."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Fake

import pawlhq as pawl
from pawlhq import _calls

HOST = "pawl.example"  # a proxy's to find: machines of the loopback are reached without one


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_calls, "PATIENCE", 0.3)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that signs itself, with its key, for the loopback and HOST."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(HOST)]
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def secured(fake: Fake, certificate: Path) -> Fake:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    fake.server.socket = context.wrap_socket(fake.server.socket, server_side=True)
    return fake


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.listener.close()


class Proxy:
    """Brings whatever is asked for to one server, whatever name it has."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.to = 0
        self.heads: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end may hang up, at any time
            self._bring(client)

    def _bring(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.to)) as server:
            received = b""
            while b"\r\n\r\n" not in received:
                if not (some := client.recv(1 << 16)):
                    return
                received += some
            self.heads.append(received.split(b"\r\n\r\n")[0].decode())
            if received.startswith(b"CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(received.replace(f"http://{HOST}:80".encode(), b"", 1))
            ends = [client, server]
            while True:
                for end in select.select(ends, [], [])[0]:
                    if not (some := end.recv(1 << 16)):
                        return
                    ends[1 - ends.index(end)].sendall(some)


def port(fake: Fake) -> int:
    return int(fake.server.server_address[1])


def run(how: str, url: str) -> list[int]:
    """Calls a guarded function, and returns its runs."""
    ran: list[int] = []
    client = pawl.Client(url, token="secret", agent="tester")

    @client.guard(name="act")
    def act(x: int) -> None:
        ran.append(x)

    @client.guard(name="act_async")
    async def act_async(x: int) -> None:
        ran.append(x)

    try:
        if how == "async":
            asyncio.run(act_async(1))
        else:
            act(1)
    except pawl.UnreachableError as e:
        assert ran == []
        raise e
    return ran


@pytest.mark.parametrize("how", ["sync", "async"])
def test_certificates(secured: Fake, certificate: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    url = f"https://127.0.0.1:{port(secured)}"
    with pytest.raises(pawl.UnreachableError, match=r"can't be trusted .*see SSL_CERT_FILE"):
        run(how, url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run(how, url) == [1]
    with pytest.raises(pawl.UnreachableError, match="can't be trusted"):
        run(how, url.replace("127.0.0.1", "localhost"))  # which the certificate does not name


@pytest.mark.parametrize("how", ["sync", "async"])
def test_proxy(fake: Fake, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    proxy.to = port(fake)
    monkeypatch.setenv("http_proxy", f"http://ana:pw@{proxy.address}")
    assert run(how, f"http://{HOST}") == [1]
    assert proxy.heads[0].startswith(f"GET http://{HOST}:80/api/version HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YW5hOnB3" in proxy.heads[0]
    asked = len(proxy.heads)
    assert run(how, fake.url) == [1]  # nothing on this machine goes through it
    monkeypatch.setenv("no_proxy", HOST)
    with pytest.raises(pawl.UnreachableError):
        run(how, f"http://{HOST}")
    assert len(proxy.heads) == asked


@pytest.mark.parametrize("how", ["sync", "async"])
def test_proxy_before_tls(
    secured: Fake, certificate: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    proxy.to = port(secured)
    monkeypatch.setenv("https_proxy", proxy.address)
    with pytest.raises(pawl.UnreachableError, match="can't be trusted"):
        run(how, f"https://{HOST}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run(how, f"https://{HOST}") == [1]
    assert {head.split("\r\n")[0] for head in proxy.heads} == {f"CONNECT {HOST}:443 HTTP/1.1"}
    assert "secret" not in "".join(proxy.heads)  # the token is the API's alone


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who are you?\r\n\r\n", b"no HTTP\r\n\r\n", b""])
def test_proxies_that_refuse(monkeypatch: pytest.MonkeyPatch, how: str, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, contextlib.suppress(OSError):  # the next one is refused, too
                        client.recv(1 << 16)
                        client.sendall(answer)

        threading.Thread(target=refuse, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(pawl.UnreachableError):
            run(how, f"https://{HOST}")
