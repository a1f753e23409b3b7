"""Hostile requests: sent byte by byte, deeply nested, or never completed."""

import asyncio
import json
import socket
from urllib.parse import urlsplit

import pytest
from tests.serving.conftest import Serve, Server

from metadialog.serving.protocol import PromptProtocol

DEPTH = 100_000


class Hurried(PromptProtocol):
    headers_within = body_within = 0.2


@pytest.fixture(scope="module")
def server(serve: Serve) -> Server:
    return serve()


@pytest.fixture(scope="module")
def hurried(serve: Serve) -> Server:
    return serve(protocol=Hurried)


def connected(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=60)


def begun(body: bytes) -> bytes:
    head = f"POST /v1/replies HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {9**5}"
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-", begun(b""), begun(b'{"context": ')])
def test_a_request_that_does_not_come_loses_its_connection(hurried: Server, sent: bytes) -> None:
    clients = [connected(hurried) for _ in range(20)]
    for client in clients:
        client.sendall(sent)
    for client in clients:
        assert b"200" not in client.recv(1000)  # closed or refused before the timeout
        client.close()


def test_more_bytes_do_not_put_the_end_off(hurried: Server) -> None:
    with connected(hurried) as client:
        client.sendall(begun(b""))
        client.settimeout(0.02)
        for _ in range(2000):
            try:
                client.sendall(b" ")
                if client.recv(1000) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:  # the server closed the connection
                break
        else:
            pytest.fail("the connection is still open")


def test_nothing_is_waited_for_once_a_request_is_whole(serve: Serve) -> None:
    made: list[PromptProtocol] = []

    class Kept(PromptProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            made.append(self)

    with serve(protocol=Kept).client() as client:
        assert client.post("/v1/replies", json={"context": "hi"}).status_code == 200
        assert [one.deadline for one in made] == [None]  # the client keeps the connection


@pytest.mark.parametrize(
    "body",
    [
        "[" * DEPTH,
        "[" * DEPTH + "]" * DEPTH,
        '{"context": ' + "[" * DEPTH + "]" * DEPTH + "}",
        '{"a":' * DEPTH + "1" + "}" * DEPTH,
        '{"context": "hi", "seed": ' + "9" * DEPTH + "}",
        '{"context": "hi", "seed": 1e' + "9" * 400 + "}",
        '{"context": "\\ud800"}',
        '{"context": "hi", "context": ["a", "b"]}',
        json.dumps({"text": "[" * DEPTH + "]" * DEPTH}),
    ],
    ids=["open", "list", "in a field", "objects", "digits", "exponent", "surrogate", "twice", "in a text"],
)
@pytest.mark.parametrize("path", ["/v1/replies", "/v1/adaptations", "/v1/scores"])
def test_hostile_json_is_answered(server: Server, path: str, body: str) -> None:
    with server.client() as client:
        answer = client.post(path, content=body.encode(), headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 413, 422), answer.text
        assert answer.status_code == 200 or "error" in answer.json()
        assert len(answer.text) < 2000
        assert client.get("/healthz").status_code == 200


def test_no_secret_of_a_request_is_said_or_kept(
    serve: Serve, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets in headers and queries do not occur in responses or logs, whether or not requests are refused."""
    caplog.set_level("DEBUG")
    token, secret = "t0ken" * 5, "s3cr3t" * 4
    server = serve(token=token)
    headers = {"X-Api-Key": secret, "Cookie": f"session={secret}", "Proxy-Authorization": f"Basic {secret}"}
    with server.client(headers=headers) as client:
        answers = [
            client.post(f"/v1/replies?token={secret}", content=b"{" + secret.encode(), headers={"Authorization": sent})
            for sent in (f"Bearer {secret}", f"Bearer {token}", secret, f"Basic {secret}")
        ]
        answers += [client.get(f"/{secret}"), client.get("/healthz", headers={"Origin": f"http://{secret}"})]
        assert [answer.status_code for answer in answers] == [401, 422, 401, 401, 401, 403]
        answers.append(client.get("/metrics", headers={"Authorization": f"Bearer {token}"}))
        answers.append(client.get("/v1/models", headers={"Authorization": f"Bearer {token}"}))
    assert answers[-1].status_code == answers[-2].status_code == 200
    logged = [
        record.getMessage() for record in caplog.records if not record.name.startswith("http")
    ]  # log messages of the client
    said = "".join([*capfd.readouterr(), *logged, *(f"{answer.headers}{answer.text}" for answer in answers)])
    assert token not in said
    assert secret not in said
