"""`metadialog serve` as a process."""

import re
import signal
import subprocess
import sys

import httpx
from tests.conftest import Export


def test_the_command_serves_with_its_own_limits_until_it_is_interrupted(export: Export) -> None:
    command = [sys.executable, "-m", "metadialog", "serve", f"run={export()}", "port=0", "tokens=7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert address is not None, said
            with httpx.Client(base_url=address[0], timeout=60, trust_env=False) as client:
                limits = client.get("/v1/models").json()["limits"]
                assert (limits["tokens"], limits["adaptations_mib"]) == (7, 1024)
                (reply,) = client.post("/v1/replies", json={"context": "hello"}).json()["replies"]
                assert 0 < reply["tokens"] <= 7
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)
        finally:
            process.kill()
