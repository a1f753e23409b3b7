"""Each loader reads the files of its publisher; the archives are hand-made in the publishers' layouts."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import pytest
from rich.console import Console

from metadialog.datasets.crosswoz import CrossWozDataset
from metadialog.datasets.dailydialog import DailyDialogDataset
from metadialog.datasets.dialogue import Dataset
from metadialog.datasets.empathetic import EmpatheticDialoguesDataset
from metadialog.datasets.kdconv import KdConvDataset
from metadialog.datasets.metalwoz import MetaLwozDataset
from metadialog.datasets.multiwoz import MultiWozDataset
from metadialog.datasets.personachat import PersonaChatDataset
from metadialog.datasets.sgd import SgdDataset
from metadialog.datasets.taskmaster import TaskmasterDataset
from metadialog.datasets.wizard import WizardOfWikipediaDataset
from metadialog.downloads.download import download
from metadialog.downloads.fetch import Patience
from metadialog.downloads.sources import sources


class Publisher(Protocol):
    files: dict[str, bytes]

    def url(self, path: str) -> str: ...


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def tarred(members: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            packed.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


def sgd() -> list[bytes]:
    top = "dstc8-schema-guided-dialogue-master"
    turns = [{"speaker": "USER", "utterance": "Hi"}, {"speaker": "SYSTEM", "utterance": "Hello"}]
    members: dict[str, str] = {f"{top}/LICENSE.txt": "", f"{top}/dstc8.md": ""}
    for folder in ("train", "dev", "test"):
        members[f"{top}/{folder}/schema.json"] = json.dumps([{"service_name": "Hotels_1"}])
        record = {"dialogue_id": "1_00000", "services": ["Hotels_1"], "turns": turns}
        members[f"{top}/{folder}/dialogues_001.json"] = json.dumps([record])
    return [zipped(members)]


def dailydialog() -> list[bytes]:
    top = "ijcnlp_dailydialog"
    members: dict[str, str | bytes] = {
        f"{top}/dialogues_text.txt": "Hi . __eou__ Hello . __eou__\nBye . __eou__ See you . __eou__\n",
        f"{top}/dialogues_topic.txt": "1\n2\n",
        f"{top}/train.zip": zipped({"train/dialogues_train.txt": "Bye . __eou__ See you . __eou__\n"}),
        "__MACOSX/._x": b"",
    }
    return [zipped(members)]


def metalwoz() -> list[bytes]:
    def members(name: str) -> dict[str, str]:
        record = {"id": name, "user_id": "u", "bot_id": "b", "domain": "SKI", "task_id": "t", "turns": ["Hi", "Yes"]}
        task = {"task_id": "t", "domain": "SKI", "bot_prompt": "", "user_prompt": ""}
        return {"dialogues/SKI.txt": json.dumps(record), "tasks.txt": json.dumps(task), "LICENSE.pdf": ""}

    held_out = zipped(members("two"))
    return [zipped(members("one")), zipped({"dstc8_metalwoz_heldout.zip": held_out, "pure_task.txt": ""})]


def personachat() -> list[bytes]:
    text = "1 your persona: i ski.\n2 hi\thello\t\ta|b\n"
    return [tarred({f"{part}_self_original.txt": text for part in ("train", "valid", "test")})]


def multiwoz() -> list[bytes]:
    record = {"goal": {"taxi": {"info": {}}, "hotel": {}}, "log": [{"text": "Hi"}, {"text": "Hello"}]}
    content = json.dumps({"SNG01.json": record})
    return [zipped({"MultiWOZ_2.1/data.json": content, "MultiWOZ_2.1/README.txt": "", "__MACOSX/._x": ""})]


def taskmaster(files: int) -> list[bytes]:
    turns = [{"index": 0, "speaker": "USER", "text": "Hi"}, {"index": 1, "speaker": "ASSISTANT", "text": "Hello"}]
    record = {"conversation_id": "c", "instruction_id": "pizza-ordering-1", "utterances": turns}
    return [json.dumps([record]).encode() for _ in range(files)]


def later_taskmaster(release: str) -> list[bytes]:
    turns = [{"index": 0, "speaker": "user", "text": "Hi"}, {"index": 1, "speaker": "assistant", "text": "Hello"}]
    record = {"conversation_id": "c", "vertical": "Movie Tickets", "scenario": "4 exchanges", "utterances": turns}
    members = {f"Taskmaster-master/{folder}/data/data_00.json": "broken" for folder in ("TM-3-2020", "TM-4-2024")}
    members[f"Taskmaster-master/{release}/data/data_00.json"] = json.dumps([record])
    return [zipped(members)]


def kdconv() -> list[bytes]:
    content = json.dumps([{"messages": [{"message": "你好"}, {"message": "你好啊"}], "name": "x"}])
    domains = ("film", "music", "travel")
    return [
        zipped({f"KdConv-master/data/{domain}/{part}.json": content for domain in domains for part in ("train", "dev")})
    ]


def crosswoz() -> list[bytes]:
    messages = [{"content": "你好", "role": "usr"}, {"content": "您好", "role": "sys"}]
    content = json.dumps({"1": {"goal": [[1, "酒店", "名称", "", False]], "messages": messages}})
    return [
        zipped(
            {
                f"CrossWOZ-master/data/crosswoz/{part}.json.zip": zipped({f"{part}.json": content})
                for part in ("train", "val")
            }
        )
    ]


def empathetic() -> list[bytes]:
    header = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
    rows = 'hit:0_conv:1,1,proud,I won,1,I "won_comma_ at last,5|5|5,\nhit:0_conv:1,2,proud,I won,0,Well done,5|5|5,\n'
    return [tarred({f"empatheticdialogues/{part}.csv": header + rows for part in ("train", "valid", "test")})]


def wizard() -> list[bytes]:
    dialog = [{"speaker": "1_Apprentice", "text": "Hi"}, {"speaker": "0_Wizard", "text": "Hello"}]
    content = json.dumps([{"chosen_topic": "Husky", "persona": "x", "dialog": dialog}])
    return [tarred(dict.fromkeys(("train.json", "test_topic_split.json", "data.json"), content))]


READ: dict[str, tuple[Callable[[], list[bytes]], dict[str, int]]] = {
    "taskmaster-3": (lambda: later_taskmaster("TM-3-2020"), {"Movie Tickets": 1}),
    "taskmaster-4": (lambda: later_taskmaster("TM-4-2024"), {"Movie Tickets": 1}),
    "kdconv": (kdconv, {"film": 2, "music": 2, "travel": 2}),
    "crosswoz": (crosswoz, {"酒店": 2}),
    "empathetic": (empathetic, {"proud": 3}),
    "wizard": (wizard, {"Husky": 2}),
    "sgd": (sgd, {"Hotels": 3}),
    "dailydialog": (dailydialog, {"Ordinary Life": 1, "School Life": 1}),
    "dailydialog-train": (dailydialog, {"School Life": 1}),
    "metalwoz": (metalwoz, {"SKI": 1, "heldout SKI": 1}),
    "personachat": (personachat, {"train 0001 i ski": 1, "valid 0001 i ski": 1, "test 0001 i ski": 1}),
    "multiwoz": (multiwoz, {"taxi": 1}),
    "taskmaster-1": (lambda: taskmaster(2), {"pizza-ordering": 2}),
    "taskmaster-2": (
        lambda: taskmaster(7),
        dict.fromkeys(("flights", "food-ordering", "hotels", "movies", "music", "restaurant-search", "sports"), 1),
    ),
}


def loader(name: str, root: str) -> Dataset:
    loaders: dict[str, Dataset] = {
        "sgd": SgdDataset(root=root, topic="domain", multi_domain=False),
        "dailydialog": DailyDialogDataset(root=root, language="en", part="all"),
        "dailydialog-train": DailyDialogDataset(root=root, language="en", part="train"),
        "metalwoz": MetaLwozDataset(root=root, topic="domain"),
        "personachat": PersonaChatDataset(root=root, personas="shared"),
        "multiwoz": MultiWozDataset(root=root, multi_domain=False),
        "taskmaster-3": TaskmasterDataset(root=root, release="tm3"),
        "taskmaster-4": TaskmasterDataset(root=root, release="tm4"),
        "kdconv": KdConvDataset(root=root),
        "crosswoz": CrossWozDataset(root=root, multi_domain=False),
        "empathetic": EmpatheticDialoguesDataset(root=root),
        "wizard": WizardOfWikipediaDataset(root=root),
        "taskmaster-1": TaskmasterDataset(root=root, release="tm1"),
        "taskmaster-2": TaskmasterDataset(root=root, release="tm2"),
    }
    return loaders[name]


@pytest.mark.parametrize("name", READ)
def test_what_is_downloaded_is_read(
    name: str, publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: Patience
) -> None:
    make, expected = READ[name]
    known = {"dailydialog-train": "dailydialog"}.get(name, name)
    source = sources()[known]
    files = []
    for file, content in zip(source.files, make(), strict=True):
        publisher.files[file.name] = content
        here = {"url": publisher.url(file.name), "sha256": hashlib.sha256(content).hexdigest()}
        files.append(file.model_copy(update=here))
    monkeypatch.setitem(sources(), known, source.model_copy(update={"files": tuple(files)}))
    root = download(known, tmp_path, Console(file=io.StringIO()), impatient)
    dataset = loader(name, str(root))
    topics = [dialogue.topic for dialogue in dataset.dialogues()]
    assert {topic: topics.count(topic) for topic in topics} == expected
    about = (root.parent / "about.txt").read_text(encoding="utf-8")
    assert source.licence in about
    assert " ".join(source.citation.split()) in " ".join(about.split())


def test_every_source_is_read() -> None:
    assert {name.removesuffix("-train") for name in READ} == set(sources())
