"""The REST interface, with a real client and a real server."""

import io
import json
import re
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from tests.serving.conftest import Serve, Server

from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel

FOOD = [
    ["what do you eat", "electricity, mostly"],
    ["are you hungry", "always, for electricity"],
    ["what did you have for breakfast", "ten watts of electricity"],
    ["do you like soup", "no, electricity is better"],
]


def adapted(client: httpx.Client, **request: Any) -> dict[str, Any]:
    """Adapt, and wait for the end."""
    begun = client.post("/v1/adaptations", json={"dialogues": FOOD, **request})
    assert begun.status_code == 202, begun.text
    until = time.monotonic() + 60
    while True:
        found: dict[str, Any] = client.get(begun.headers["Location"]).json()
        if found["status"] in ("finished", "failed"):
            return found
        assert time.monotonic() < until
        time.sleep(0.02)


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in response.read().decode().strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def last_event(server: Server, name: str) -> tuple[str, dict[str, Any]]:
    with server.client() as client, client.stream("GET", f"/v1/adaptations/{name}/events") as response:
        return events(response)[-1]


def model_of(server: Server, name: str) -> AdaptableModel:
    model: AdaptableModel = server.app.state.service.models[name]
    return model


def error(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error"]
    sentence = body["error"]
    assert isinstance(sentence, str)
    assert "\n" not in sentence
    return sentence


def test_a_reply_is_the_model_s_own_whole_or_streamed(server: Server) -> None:
    model = model_of(server, "meta")
    with server.client() as client:
        for generation in (
            {},
            {"temperature": 0.7, "top_k": 5, "repetition_penalty": 1.3, "min_tokens": 3, "no_repeat_ngrams": 2},
            {"name": "beam", "beams": 2, "max_tokens": 5, "length_penalty": 0.5},
        ):
            request = {"context": ["hi", "hello", "how are you"], "generation": generation, "seed": 4}
            expected = model.reply(["hi", "hello", "how are you"], generation=generation, seed=4)
            (reply,) = client.post("/v1/replies", json=request).json()["replies"]
            assert reply["text"] == expected
            assert reply["score"] == pytest.approx(expected.score, rel=1e-4)
            with client.stream("POST", "/v1/replies", json={**request, "stream": True}) as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                *tokens, (name, end) = events(response)
            assert "".join(data["text"] for _, data in tokens) == expected == end["text"]
            assert name == "end"


def test_several_replies_and_chinese(server: Server) -> None:
    with server.client() as client:
        request = {"context": "你好", "n": 3, "generation": {"temperature": 1.5, "max_tokens": 8}, "model": "tuned"}
        replies = client.post("/v1/replies", json=request).json()["replies"]
    expected = model_of(server, "tuned").reply("你好", 3, {"temperature": 1.5, "max_tokens": 8})
    assert [reply["text"] for reply in replies] == expected


def test_an_adaptation_from_beginning_to_end(server: Server, tmp_path: Path) -> None:
    with server.client() as client:
        found = adapted(client, model="tuned", held_out=1, steps=4)
        assert [point["step"] for point in found["curve"]] == [0, 1, 2, 3, 4]
        assert found["curve"][-1]["support_loss"] < found["curve"][0]["support_loss"]
        assert all(point["held_out_loss"] is not None for point in found["curve"])
        name = {"adaptation": found["id"]}
        reply = client.post("/v1/replies", json={"context": "are you hungry", **name}).json()["replies"][0]
        score = client.post("/v1/scores", json={"dialogues": FOOD, **name}).json()
        before = client.post("/v1/scores", json={"dialogues": FOOD, "model": "tuned"}).json()
        assert score["loss"] < before["loss"]
        archive = client.get(f"/v1/adaptations/{found['id']}/model")
        zipfile.ZipFile(io.BytesIO(archive.content)).extractall(tmp_path)
        loaded = load_model(tmp_path / "adapted")
        assert loaded.reply("are you hungry") == reply["text"]
        assert loaded.score(FOOD).loss == pytest.approx(score["loss"])
        assert client.delete(f"/v1/adaptations/{found['id']}").status_code == 204
        assert "no such adaptation" in error(client.get(f"/v1/adaptations/{found['id']}"), 404)
        assert "no such adaptation" in error(client.post("/v1/replies", json={"context": "hi", **name}), 404)


def test_an_adaptation_is_followed_step_by_step(server: Server) -> None:
    with server.client() as client:
        begun = client.post("/v1/adaptations", json={"dialogues": FOOD, "steps": 3}).json()
        path = f"/v1/adaptations/{begun['id']}"
        for _ in range(2):  # while it runs, and again after its end
            with client.stream("GET", f"{path}/events") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                *happened, (name, end) = events(response)
            points = [data for kind, data in happened if kind == "point"]
            assert [point["step"] for point in points] == [0, 1, 2, 3]
            assert name == "end"
            assert points == end["curve"]
            assert end == client.get(path).json()
            assert {data["status"] for kind, data in happened if kind == "status"} <= {"waiting", "running"}
        assert server.app.state.service.adaptations.get(begun["id"]).watchers == []
        error(client.get("/v1/adaptations/none/events"), 404)


def test_a_text_is_read_as_a_file_is(server: Server) -> None:
    with server.client() as client:
        text = "\n\n".join("\n".join(turns) for turns in FOOD)
        rows = [f"{number};{'AB'[i % 2]};{text}" for number, turns in enumerate(FOOD) for i, text in enumerate(turns)]
        requests: list[Any] = [{"text": text}, {"text": "\n".join(["id;speaker;text", *rows])}, {"dialogues": FOOD}]
        a, b, c = (client.post("/v1/scores", json=request).json() for request in requests)
        assert a == b == c


def test_deleting_breaks_an_adaptation_off(serve: Serve) -> None:
    server = serve(steps=100_000)
    seen: list[tuple[str, dict[str, Any]]] = []
    with server.client() as client:
        first = client.post("/v1/adaptations", json={"dialogues": FOOD, "steps": 100_000}).json()
        followed = threading.Thread(target=lambda: seen.append(last_event(server, first["id"])))
        followed.start()
        second = client.post("/v1/adaptations", json={"dialogues": FOOD, "steps": 1}).json()
        while client.get(f"/v1/adaptations/{first['id']}").json()["status"] != "running":
            time.sleep(0.01)
        while not server.app.state.service.adaptations.get(first["id"]).watchers:
            time.sleep(0.01)
        error(client.get(f"/v1/adaptations/{first['id']}/model"), 409)
        assert client.delete(f"/v1/adaptations/{first['id']}").status_code == 204
        followed.join(10)
        assert seen == [("error", {"error": "the adaptation was deleted"})]
        until = time.monotonic() + 30
        while client.get(f"/v1/adaptations/{second['id']}").json()["status"] != "finished":
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.parametrize(
    ("path", "request_", "status", "sentence"),
    [
        ("/v1/replies", {"context": []}, 422, "says nothing"),
        ("/v1/replies", {"context": "hi", "model": "none"}, 404, "there is no model"),
        ("/v1/replies", {"context": "hi", "generation": {"max_tokens": 101}}, 400, "max_tokens: 101 is over"),
        (
            "/v1/replies",
            {"context": "hi", "generation": {"name": "greedy", "temperature": 1.0}},
            422,
            "generation.temperature: no such option; options of generation: max_tokens, min_tokens",
        ),
        ("/v1/adaptations", {}, 422, "send either dialogues or text"),
        ("/v1/adaptations", {"dialogues": []}, 422, "holds no dialogue"),
        ("/v1/adaptations", {"dialogues": [["alone"]]}, 422, "no dialogue has two turns"),
        ("/v1/adaptations", {"dialogues": FOOD, "steps": 61}, 400, "steps: 61 is over the limit; send 60"),
        ("/v1/adaptations", {"dialogues": [["a", "b"]] * 51}, 422, "dialogues: 51 is over"),
        ("/v1/adaptations", {"dialogues": [["a"] * 401]}, 422, "turns: 401 is over"),
        ("/v1/adaptations", {"text": "x" * 300_000}, 413, "larger than 0.25 MiB; send fewer or shorter dialogues"),
        ("/v1/replies", {"context": "x" * 300_000}, 413, "larger than 0.25 MiB; send a shorter context"),
        ("/v1/scores", {"text": '[["a", 3]]'}, 422, "turns[1] is 3; it should be a text"),
        ("/v1/scores", {"text": "PK\x03\x04 and so on"}, 422, "text: looks like a file ending in .zip"),
        ("/v1/scores", {"text": "stories:\n- story: one\n"}, 422, "text: looks like a file ending in .yml"),
        ("/v1/scores", {"text": "who,what\na,b\nc,d\n"}, 422, "text:1: has no column 'dialogue_id'"),
        ("/v1/scores", {"text": "a\ud83d\nb"}, 422, ""),
    ],
)
def test_what_is_refused_costs_one_sentence(
    server: Server, path: str, request_: dict[str, Any], status: int, sentence: str
) -> None:
    with server.client() as client:
        body = json.dumps(request_).encode()
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert sentence in error(response, status)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "the request is not valid JSON at character 1: "),
        ('{"context": "hi",}', "the request is not valid JSON at character "),
        ("[]", "the request is []; it should be a JSON object, as /docs describes"),
        ("", "the request has no body; it should be a JSON object, as /docs describes"),
        ("{}", "context: is missing; it should be a text, or a list of turns, the oldest first"),
        ('{"context": NaN}', "context: is NaN; it should be a text, or a list of turns, the oldest first"),
        ('{"context": "\\ud83d"}', "context: holds half of a character (a lone surrogate); write both halves, or"),
        ('{"context": [3]}', 'context.0: is 3; it should be a text, or an object such as {"speaker": "Ann", "text": '),
        ('{"context": [{"speaker": "a"}]}', "context.0.text: is missing; it should be a text"),
        ('{"context": [{"speaker": "", "text": "a"}]}', "context.0.speaker: is empty; it should be a text"),
        ('{"context": [{"text": "a", "who": "b"}]}', "context.0.who: there is no such field; valid: speaker, text"),
        (f'{{"context": "{"x" * 100_001}"}}', "context: has 100,001 characters; it should have 100,000 or fewer"),
        (
            '{"context": "hi", "contxt": ""}',
            "contxt: there is no such field; did you mean context? valid: adaptation",
        ),
        ('{"context": "hi", "model": "a b"}', 'model: is "a b"; it should be a name that GET /v1/models lists, with '),
        ('{"context": "hi", "adaptation": ""}', "adaptation: is empty; it should be the id that POST /v1/adaptations"),
        ('{"context": "hi", "n": "3"}', 'n: is "3"; it should be a whole number'),
        ('{"context": "hi", "n": 99}', "n: is 99; it should be 20 or less"),
        ('{"context": "hi", "seed": 4294967296}', "seed: is 4294967296; it should be less than 4,294,967,296"),
        ('{"context": "hi", "stream": "x"}', 'stream: is "x"; it should be true or false'),
        ('{"context": "hi", "generation": 3}', "generation: is 3; it should be an object of options, such as "),
        ('{"context": "hi", "generation": {"name": 3}}', "generation.name: is 3; it should be 'greedy', 'sampling' or"),
        ('{"context": "hi", "generation": {"temp": 3}}', "generation.temp: there is no such field; did you mean "),
        ('{"context": "hi", "generation": {"temperature": NaN}}', "generation.temperature: is NaN; it should be a fin"),
        ('{"context": "hi", "generation": {"temperature": 0}}', "generation.temperature: is 0; it should be more than"),
    ],
)
def test_a_malformed_request_gets_one_sentence(server: Server, content: str, sentence: str) -> None:
    """The sentence names the field, what is wrong, and what would be right; no name of a Python type is in it."""
    with server.client() as client:
        response = client.post("/v1/replies", content=content, headers={"Content-Type": "application/json"})
        said = error(response, 422)
        assert said.startswith(sentence)
        assert not re.search(r"_target_|constrained|Body|\^|[Ii]nput", said)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"dialogues": "a"}, 'dialogues: is "a"; it should be a list of dialogues, such as [["a turn", "its answer"]]'),
        ({"dialogues": ["a"]}, 'dialogues.0: is "a"; it should be a list of turns, such as ["a turn", "its answer"]'),
        ({"dialogues": [["a", 3]]}, "dialogues.0.1: is 3; it should be a text, or an object such as "),
        ({"dialogues": FOOD, "steps": -1}, "steps: is -1; it should be 0 or more"),
        ({"dialogues": FOOD, "held_out": "all"}, 'held_out: is "all"; it should be "auto", or a whole number, 0 or mo'),
        ({"dialogues": FOOD, "held_out": 4}, "held_out=4: should be below the number of dialogues, 4"),
        ({"dialogues": [*FOOD, ["alone"]], "held_out": 4}, "held_out=4: should be below the number of dialogues, 4"),
        (
            {"dialogues": FOOD, "step": 3},
            "step: there is no such field; did you mean steps or text? valid: ",
        ),
    ],
)
def test_a_malformed_adaptation_is_refused_at_once(server: Server, request_: dict[str, Any], sentence: str) -> None:
    with server.client() as client:
        assert error(client.post("/v1/adaptations", json=request_), 422).startswith(sentence)


@pytest.mark.parametrize("header", [{}, {"Content-Type": "text/plain"}])
def test_json_without_its_content_type_is_refused(server: Server, header: dict[str, str]) -> None:
    with server.client() as client:
        said = error(client.post("/v1/replies", content='{"context": "hi"}', headers=header), 422)
        assert said.startswith("the request has no header Content-Type: application/json; send it")


def test_paths_methods_and_encodings_that_do_not_exist_are_refused(server: Server) -> None:
    with server.client() as client:
        assert error(client.get("/v1/reply"), 404) == "there is no such path; /docs lists all paths"
        assert error(client.get("/v1/replies"), 405) == "the method GET is not allowed here; allowed: POST"
        broken = client.post("/v1/replies", content=b"\xff{", headers={"Content-Type": "application/json"})
        assert error(broken, 400).startswith("the request is not JSON in UTF-8")


def test_steps_that_are_chosen_are_limited_too(serve: Serve) -> None:
    with serve(steps=2).client() as client:
        for held_out in (0, 1):
            assert len(adapted(client, held_out=held_out)["curve"]) <= 3


def test_a_full_queue_answers_at_once(serve: Serve) -> None:
    server = serve(waiting_adaptations=1, waiting_replies=1, steps=100_000)
    with server.client() as client:
        running = client.post("/v1/adaptations", json={"dialogues": FOOD, "steps": 100_000}).json()
        began = time.monotonic()
        assert "the server takes 1 adaptation at once" in error(
            client.post("/v1/adaptations", json={"dialogues": FOOD}), 429
        )
        assert time.monotonic() - began < 1
        client.delete(f"/v1/adaptations/{running['id']}")
        full = "the server generates 1 reply at once"
        beam = {"generation": {"name": "beam"}}
        with server.app.state.service.room():
            for path, request in (
                ("/v1/replies", {"context": "hi"} | beam),
                ("/v1/replies", {"context": "hi"}),
                ("/v1/scores", {"dialogues": FOOD}),
            ):
                assert full in error(client.post(path, json=request), 429)
        server.app.state.service.batcher.limit = 0
        assert full.replace("1 reply", "0 replies") in error(client.post("/v1/replies", json={"context": "hi"}), 429)


def test_each_of_several_replies_counts_in_the_queue(serve: Serve) -> None:
    server = serve(waiting_replies=4)
    service = server.app.state.service
    several = {"context": "hi", "n": 3, "generation": {"temperature": 1.5}}
    with server.client() as client:
        assert client.post("/v1/replies", json=several).status_code == 200
        with service.room(2):
            assert "the server generates 4 replies at once" in error(client.post("/v1/replies", json=several), 429)
            assert client.post("/v1/replies", json=several | {"n": 2}).status_code == 200
        assert "n: 5 is over the limit; send 4" in error(client.post("/v1/replies", json=several | {"n": 5}), 400)
    assert service.whole == 0


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        ({"n": 2, "generation": {"name": "greedy"}}, "n=2: greedy generation makes 1 different reply"),
        ({"n": 3, "generation": {"name": "beam", "beams": 2}}, "n=3: beam generation makes 2 different replies"),
        ({"n": 2, "stream": True, "generation": {"temperature": 1.0}}, "n: a stream is one reply"),
    ],
)
def test_more_replies_than_there_are_is_refused(server: Server, request_: dict[str, Any], sentence: str) -> None:
    with server.client() as client:
        assert sentence in error(client.post("/v1/replies", json={"context": "hi"} | request_), 422)


def test_no_reply_is_longer_than_the_limit_whatever_the_model_would_say(serve: Serve) -> None:
    with serve(tokens=3).client() as client:
        for options in ({}, {"name": "sampling", "temperature": 3.0}, {"name": "beam"}):
            (reply,) = client.post("/v1/replies", json={"context": "hi", "generation": options}).json()["replies"]
            assert reply["tokens"] <= 3


def test_what_is_deleted_leaves_the_queue(serve: Serve) -> None:
    server = serve(waiting_adaptations=2, steps=100_000)
    with server.client() as client:
        request = {"dialogues": FOOD, "steps": 100_000}
        running, waiting = (client.post("/v1/adaptations", json=request).json()["id"] for _ in range(2))
        assert client.post("/v1/adaptations", json=request).status_code == 429
        client.delete(f"/v1/adaptations/{waiting}")
        again = client.post("/v1/adaptations", json=request)
        assert again.status_code == 202
        for name in (running, again.json()["id"]):
            client.delete(f"/v1/adaptations/{name}")


def test_an_address_with_half_a_bracket_is_refused(server: Server) -> None:
    with server.client() as client:
        assert "is not a name of this server" in error(client.get("/healthz", headers={"Host": "["}), 403)
        assert "another site" in error(client.get("/healthz", headers={"Origin": "http://["}), 403)


def test_who_sends_far_too_much_still_gets_the_answer(server: Server) -> None:
    with server.client() as client:
        assert "larger than" in error(client.post("/v1/adaptations", content=b"x" * 2**25), 413)


def test_the_adaptation_used_least_recently_is_dropped_and_it_is_said(serve: Serve) -> None:
    server = serve(adaptations=2)
    with server.client() as client:
        first, second = (adapted(client, steps=1)["id"] for _ in range(2))
        client.get(f"/v1/adaptations/{first}")  # counts as use
        third = adapted(client, steps=1)["id"]
        assert "was dropped: the server keeps 2 adaptations, and" in error(client.get(f"/v1/adaptations/{second}"), 410)
        assert [client.get(f"/v1/adaptations/{name}").status_code for name in (first, third)] == [200, 200]


def test_adaptations_are_limited_by_their_memory_too(serve: Serve) -> None:
    server = serve()
    model = model_of(server, "meta")
    size = model.adapt(FOOD, steps=1).own_bytes
    assert size >= sum(parameter.nbytes for parameter in model.module.parameters())
    server = serve(adaptations_mib=2.5 * size / 2**20)
    with server.client() as client:
        first, second, third = (adapted(client, steps=1)["id"] for _ in range(3))
        dropped = error(client.get(f"/v1/adaptations/{first}"), 410)
        assert "was dropped: the server keeps" in dropped
        assert "MiB of adaptations, and it was used least recently" in dropped
        assert [client.get(f"/v1/adaptations/{name}").status_code for name in (second, third)] == [200, 200]


def test_an_adaptation_that_alone_is_too_large_says_so(serve: Serve) -> None:
    with serve(adaptations_mib=0.001).client() as client:
        found = adapted(client, steps=1)
        assert found["status"] == "failed"
        assert "the server keeps 0.001 MiB of adaptations" in found["error"]
        request = {"context": "hi", "adaptation": found["id"]}
        assert error(client.post("/v1/replies", json=request), 507) == found["error"]


def test_a_token_is_asked_for(serve: Serve) -> None:
    server = serve(token="correct-horse-battery")  # noqa: S106
    with server.client() as client:
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
        assert "token" in error(client.get("/v1/models"), 401)
        assert "token" in error(client.get("/v1/models", headers={"Authorization": "Bearer wrong"}), 401)
        right = {"Authorization": "Bearer correct-horse-battery"}
        assert client.get("/v1/models", headers=right).status_code == 200


def test_other_sites_and_names_are_refused(server: Server) -> None:
    with server.client() as client:
        foreign = client.post("/v1/replies", json={"context": "hi"}, headers={"Origin": "http://evil.example"})
        assert "another site" in error(foreign, 403)
        assert "is not a name of this server" in error(client.get("/v1/models", headers={"Host": "evil.example"}), 403)
        own = client.post("/v1/replies", json={"context": "hi"}, headers={"Origin": server.url})
        assert own.status_code == 200


def test_a_request_without_a_length_is_measured_too(server: Server) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 10_000

    with server.client() as client:
        response = client.post("/v1/replies", content=body(), headers={"Content-Type": "application/json"})
        assert "larger than" in error(response, 413)


def test_clients_do_not_see_each_other(server: Server) -> None:
    topics = [[[f"who are you {number}", f"number {number} {number} {number}"]] for number in range(6)]

    def use(dialogues: list[list[str]]) -> tuple[str, str]:
        with server.client() as client:
            found = adapted(client, dialogues=dialogues, steps=8)
            request = {"context": dialogues[0][0], "adaptation": found["id"]}
            reply = client.post("/v1/replies", json=request).json()["replies"][0]["text"]
            expected = model_of(server, "meta").adapt(dialogues, steps=8).reply(dialogues[0][0])
            return reply, expected

    with ThreadPoolExecutor(6) as pool:
        for reply, expected in pool.map(use, topics):
            assert reply == expected


def test_a_client_that_goes_away_leaves_nothing_behind(serve: Serve) -> None:
    server = serve(tokens=100_000)
    batcher = server.app.state.service.batcher
    with server.client() as client:
        request = {"context": "hi", "stream": True, "generation": {"temperature": 3.0, "max_tokens": 100_000}}
        with client.stream("POST", "/v1/replies", json=request) as response:
            next(response.iter_bytes())
    until = time.monotonic() + 30
    while len(batcher):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_replies_at_the_same_time_share_their_steps(server: Server) -> None:
    batcher = server.app.state.service.batcher
    barrier = threading.Barrier(8)
    steps, tokens = batcher.counts.steps, batcher.counts.tokens

    def ask(number: int) -> str:
        with server.client() as client:
            barrier.wait()
            request = {"context": f"hi {number}", "generation": {"temperature": 2.0, "max_tokens": 80}}
            text: str = client.post("/v1/replies", json=request).json()["replies"][0]["text"]
            return text

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(ask, range(8)))
    model = model_of(server, "meta")
    expected = [model.reply(f"hi {n}", generation={"temperature": 2.0, "max_tokens": 80}) for n in range(8)]
    assert replies == expected
    assert batcher.counts.tokens - tokens > 1.5 * (batcher.counts.steps - steps)


def test_counts_are_told(server: Server) -> None:
    with server.client() as client:
        client.post("/v1/replies", json={"context": "hi"})
        client.get("/v1/models")
        told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in told.text.splitlines() if not line.startswith("#"))
    assert float(lines["metadialog_replies_total"]) >= 1
    assert float(lines['metadialog_responses_total{path="/v1/models",status="200"}']) >= 1
    assert "metadialog_first_token_seconds_sum" in lines


def test_paths_that_clients_make_up_are_counted_together(server: Server) -> None:
    with server.client() as client:
        for number in range(3):
            client.get(f"/v1/made-up-{number}")
        assert "made-up" not in client.get("/metrics").text


@pytest.mark.filterwarnings("ignore")  # warnings of schemathesis
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_interface_keeps_to_its_own_description(server: Server, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    codes: Counter[int] = Counter()
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) == 10
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # without a body nothing can be wrong

        @settings(max_examples=20, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(mode))
        def exercise(case: Any) -> None:  # noqa: ANN401
            response = case.call_and_validate(
                checks=[
                    checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ]
            )
            codes[response.status_code] += 1

        exercise()
    assert codes[422] > 0
    assert set(codes) <= {200, 202, 204, 400, 404, 405, 409, 410, 413, 422, 429}
