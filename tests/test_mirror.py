"""Every package has a folder of tests, and every config group belongs to one package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE, TESTS, CONF = ROOT / "src" / "metadialog", ROOT / "tests", ROOT / "conf"

PACKAGES = sorted(
    folder.parent.relative_to(SOURCE) for folder in SOURCE.rglob("__init__.py") if folder.parent != SOURCE
)
GROUPS = sorted({file.parent.relative_to(CONF) for file in CONF.rglob("*.yaml")} - {Path()})
# Groups that set options of other groups, with the package that has their tests.
WITHOUT_CLASS = {Path("debug"): "conf", Path("dataset/cleaning"): "datasets", Path("sweep/space"): "sweeps"}
# Folders of tests that belong to no package: tests of files at the top of the repository, and of the whole program.
WITHOUT_PACKAGE = {"bad_inputs", "conf", "docs", "examples", "experiments", "faults", "fixtures", "fuzz"}


def has_tests(folder: Path) -> bool:
    return any(folder.glob("test_*.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_every_package_has_tests_of_its_own(package: Path) -> None:
    assert has_tests(TESTS / package), f"tests/{package} should hold the tests of src/metadialog/{package}"


def test_every_folder_of_tests_is_of_a_package() -> None:
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")} - {Path()}
    strange = [folder for folder in folders if folder not in PACKAGES and folder.parts[0] not in WITHOUT_PACKAGE]
    assert strange == []


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_every_group_names_classes_of_one_package_that_has_tests(group: Path) -> None:
    targets = {
        target
        for file in (CONF / group).glob("*.yaml")
        for target in re.findall(r"^\s*_target_: metadialog\.(\w+)\.", file.read_text(), re.MULTILINE)
    }
    if group in WITHOUT_CLASS:
        assert targets == set()
        targets = {WITHOUT_CLASS[group]}
    [package] = targets
    assert has_tests(TESTS / package)
