"""Mutation testing: how many small changes to the code are detected by a package's own tests?

cosmic-ray makes the changes, of which a sample is tested. For each one this process is forked and imports the module
with the change, so no file is modified and large libraries are imported only once. Survivors are printed as diffs.

    make mutate PACKAGE=statistics SAMPLE=60
"""

import argparse
import difflib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "metadialog"

# Imported once before forking; modules that may be changed are imported in each fork.
HEAVY = (
    *("hydra", "matplotlib.pyplot", "metadialog.learn2learn_interface", "omegaconf", "pandas", "pyarrow.parquet"),
    *("pydantic", "rich.console", "sacrebleu", "scipy.stats", "tokenizers", "torch", "wandb"),
)
# Those of cosmic-ray's changes that resemble real mistakes; changing `+` to `<<`, for instance, does not.
SWAPPED = {"Add": "Sub", "Sub": "Add", "Mul": "Div", "Div": "Mul", "FloorDiv": "Div", "Mod": "Mul", "Pow": "Mul"}
COMPARED = {"Lt": "LtE", "LtE": "Lt", "Gt": "GtE", "GtE": "Gt", "Eq": "NotEq", "NotEq": "Eq", "Is": "IsNot"}
OPERATORS = (
    *(f"ReplaceBinaryOperator_{one}_{other}" for one, other in SWAPPED.items()),
    *(f"ReplaceComparisonOperator_{one}_{other}" for one, other in COMPARED.items()),
    *(
        "AddNot",
        "NumberReplacer",
        "ReplaceAndWithOr",
        "ReplaceOrWithAnd",
        "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue",
    ),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop", "ReplaceUnaryOperator_USub_UAdd"),
)


@dataclass(frozen=True)
class Mutant:
    """A change to a module.

    Attributes:
        path: the module's file.
        operator: cosmic-ray's name for the kind of change.
        occurrence: index among the possible places of the change.
    """

    path: Path
    operator: str
    occurrence: int

    @property
    def module(self) -> str:
        parts = self.path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def code(self) -> str:
        operator = get_operator(f"core/{self.operator}")()
        return str(mutate_code(self.path.read_text(encoding="utf-8"), operator, self.occurrence))

    def difference(self) -> str:
        before, after = self.path.read_text(encoding="utf-8").splitlines(), self.code().splitlines()
        lines = difflib.unified_diff(before, after, n=0, lineterm="")
        changed = [line for line in lines if line[:3] not in ("---", "+++")]
        return "\n".join([f"{self.path.relative_to(ROOT)} {self.operator}", *changed])


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports other code in place of a module."""

    def __init__(self, mutant: Mutant, code: str) -> None:
        self.mutant, self.code = mutant, code

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the signature of the protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        places = [str(self.mutant.path.parent)] if self.mutant.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, self.mutant.path, loader=self, submodule_search_locations=places
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.code, str(self.mutant.path), "exec"), module.__dict__)  # noqa: S102


class FewCases:
    """Keeps only the first and last cases of each test function, so that a survivor does not take minutes."""

    def __init__(self, cases: int) -> None:
        self.cases = cases

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        functions = defaultdict(list)
        for item in items:
            functions[item.nodeid.partition("[")[0]].append(item)
        kept = {item for of in functions.values() for item in (*of[: -(-self.cases // 2)], *of[-(self.cases // 2) :])}
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = [item for item in items if item in kept]


def mutants(package: str) -> list[Mutant]:
    """Return all changes to the modules of a package."""
    results = []
    for path in sorted((SOURCE / package).rglob("*.py")):
        counts: Counter[str] = Counter()
        for node in ast_nodes(get_ast(path.read_text(encoding="utf-8"))):
            for name in OPERATORS:
                counts[name] += sum(1 for _ in get_operator(f"core/{name}")().mutation_positions(node))
        results += [Mutant(path, name, number) for name in OPERATORS for number in range(counts[name])]
    return results


def run(tests: Sequence[str], cases: int, mutant: Mutant | None, seconds: float) -> str:
    """Run tests in a fork, with or without a change; return the result: killed, survived, or too slow."""
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        if mutant is not None:
            sys.meta_path.insert(0, Changed(mutant, mutant.code()))
        arguments = [
            "-x",
            "-q",
            "-m",
            "not slow and not faults and not hard",
            "-p",
            "no:cacheprovider",
            "-W",
            "ignore::pytest.PytestAssertRewriteWarning",
            *tests,
        ]
        os._exit(int(pytest.main(arguments, plugins=[FewCases(cases)]) != 0))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "killed" if status else "survived"
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too slow"


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", help="such as statistics")
    parser.add_argument("--sample", type=int, default=60, help="how many changes to try")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--cases", type=int, default=4, help="of each test function")
    parser.add_argument("--only", default="", help="modules whose path matches this pattern")
    parser.add_argument("tests", nargs="*", help="those of the package, if none are named")
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = options()
    os.chdir(ROOT)
    for name in HEAVY:
        importlib.import_module(name)
    tests = chosen.tests or [f"tests/{chosen.package}"]
    began = time.monotonic()
    if run(tests, chosen.cases, None, 3600) != "survived":
        sys.exit(f"{' '.join(tests)}: fail without any change")
    seconds = time.monotonic() - began
    everything = [one for one in mutants(chosen.package) if re.search(chosen.only, str(one.path))]
    sample = random.Random(chosen.seed).sample(everything, min(chosen.sample, len(everything)))
    print(f"{chosen.package}: {len(sample)} of {len(everything)} changes; the tests take {seconds:.0f} s", flush=True)
    outcomes: Counter[str] = Counter()
    for mutant in sample:
        outcome = run(tests, chosen.cases, mutant, 60 + 5 * seconds)
        outcomes[outcome] += 1
        if outcome == "survived":
            print(mutant.difference(), flush=True)
    noticed = len(sample) - outcomes["survived"]
    print(f"{chosen.package}: {noticed} of {len(sample)} noticed ({noticed / len(sample):.0%}): {dict(outcomes)}")


if __name__ == "__main__":
    main()
