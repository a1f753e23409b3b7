"""Many concurrent clients: no failures, no data of other clients in responses, and bounded memory."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.serving.conftest import Serve, Server

from metadialog.inference.model import AdaptableModel

CLIENTS = 100


def resident() -> int:
    """Return the memory of this process, in which the server runs, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 // 2**20


class Client:
    """Adapts to its own dialogues, requests replies, and checks that they come from its own adaptation.

    Args:
        server: the server.
        number: number of the client, which determines its dialogues.
        expected: reply of the adapted model.
        until: end time, by `time.monotonic`.
        rounds: maximum number of adaptations.
    """

    def __init__(self, server: Server, number: int, until: float, rounds: int) -> None:
        self.server = server
        self.number = number
        self.until = until
        self.rounds = rounds
        self.dialogues = [[f"who is number {number}", f"number {number} is called {'xyz'[number % 3] * 3}"]] * 2
        self.answers: set[str] = set()
        self.codes: Counter[int] = Counter()

    def run(self) -> None:
        choice = random.Random(self.number)
        with self.server.client(verify=False) as client:
            while time.monotonic() < self.until and self.rounds > 0:
                begun = client.post("/v1/adaptations", json={"dialogues": self.dialogues, "steps": 2})
                self.codes[begun.status_code] += 1
                if begun.status_code != 202:
                    assert begun.status_code == 429
                    time.sleep(0.5 * choice.random())
                    continue
                name = begun.json()["id"]
                if self.wait(client, name):
                    self.talk(client, name)
                    self.rounds -= 1
                if choice.random() < 0.5:
                    self.codes[client.delete(f"/v1/adaptations/{name}").status_code] += 1

    def wait(self, client: httpx.Client, name: str) -> bool:
        while time.monotonic() < self.until:
            found = client.get(f"/v1/adaptations/{name}")
            if found.status_code == 410:  # dropped to make room for others
                return False
            assert found.status_code == 200
            if found.json()["status"] == "finished":
                return True
            time.sleep(0.2)
        return False

    def talk(self, client: httpx.Client, name: str) -> None:
        request = {"context": f"who is number {self.number}", "adaptation": name, "generation": {"max_tokens": 12}}
        for _ in range(3):
            answer = client.post("/v1/replies", json=request)
            self.codes[answer.status_code] += 1
            if answer.status_code == 200:
                self.answers.add(answer.json()["replies"][0]["text"])
            else:
                assert answer.status_code in (410, 429)


@pytest.mark.parametrize(("seconds", "rounds"), [(90, 1), pytest.param(60, 10_000, marks=pytest.mark.slow)])
def test_a_hundred_clients(serve: Serve, seconds: int, rounds: int) -> None:
    server = serve(waiting_adaptations=24, adaptations=16)
    service = server.app.state.service
    before = resident()
    until = time.monotonic() + seconds
    clients = [Client(server, number, until, rounds) for number in range(CLIENTS)]
    most: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            most.append(len(service.adaptations))

    threading.Thread(target=watch, daemon=True).start()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(Client.run, clients))
    stop.set()
    codes = sum((client.codes for client in clients), Counter[int]())
    assert codes[202] > 0
    assert codes[200] > 0
    assert set(codes) <= {200, 202, 204, 404, 410, 429}
    assert max(most) <= 24 + 16
    model: AdaptableModel = service.models["meta"]
    for client in clients:
        if client.answers:  # the reply after adaptation to its own dialogues
            expected = model.adapt(client.dialogues, steps=2).reply(
                f"who is number {client.number}", generation={"max_tokens": 12}
            )
            assert client.answers == {expected}
    assert sum(bool(client.answers) for client in clients) >= CLIENTS // 10
    with server.client() as client_:
        assert client_.get("/healthz").status_code == 200
    settled = time.monotonic() + 30
    while len(service.batcher) or service.adaptations.pending:
        assert time.monotonic() < settled
        time.sleep(0.05)
    assert len(service.adaptations) <= 16
    assert resident() - before < 300
