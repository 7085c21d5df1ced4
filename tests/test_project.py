"""The project's own promises: pins, true defaults, one direction of imports, two tiers of tests, no traces of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator

import yaml
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from study.config import StudyConfig

PACKAGES = ("study", "analysis", "reports", "hidden_orbits")
# In the order in which a reader meets them. What a package's stages may know of another package follows from it: analysis and
# reports come after all of study, and nothing of study can import them.
STAGES = (
    "study.terminal",
    "study.files",
    "study.data",
    "study.networks",
    "study.config",
    "study.schema",
    "study.harmonics",
    "study.training",
    "study.measurements",
    "study.record",
    "study.tracking",
    "study.execution",
    "study.command_line",
    "study.__main__",
    "analysis.statistics",
    "analysis.dataset",
    "analysis.claims",
    "analysis.states",
    "analysis.study_analysis",
    "analysis.__main__",
    "reports.cells",
    "reports.figures",
    "reports.text",
    "reports.typesetting",
    "reports.pages",
    "reports.live",
    "reports.__main__",
    "hidden_orbits.command",
)
# What the packages that come after may import of `study`: how commands run, files, settings, data, networks, the record and its
# words, and the one part that speaks to MLflow.
FOUNDATIONS = {"study.terminal", "study.files", "study.config", "study.schema", "study.harmonics", "study.command_line"}
KNOWN_OF_STUDY = {
    "analysis": FOUNDATIONS | {"study.data", "study.networks", "study.record", "study.tracking"},
    "reports": FOUNDATIONS | {"study.data", "study.networks", "study.tracking"},
}
EXCEPTIONS = {
    "analysis.dataset.runs": {"study.measurements"},  # the names that a set of measurements has
    "analysis.states.embedding": {"study.measurements"},  # the states of a network, rolled out as they were for measuring
    "reports.figures.interventions": {"study.measurements"},  # how many images and blank rows there were
    "reports.figures.network": {"study.measurements"},  # the names of attractors
    "reports.figures.spectrum": {"study.measurements"},
}


def _requirements() -> list[str]:
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())
    return environment["dependencies"][-1]["pip"]


def test_the_pins_of_conda_lie_in_the_ranges_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins, ranges = ([Requirement(line) for line in lines] for lines in (_requirements(), project["dependencies"]))
    assert [pin.name for pin in pins] == [range_.name for range_ in ranges]
    for pin, range_ in zip(pins, ranges, strict=True):
        [exact] = pin.specifier
        assert exact.operator == "==" and range_.specifier.contains(exact.version), f"{pin} is not in {range_}"
        assert sorted(one.operator for one in range_.specifier) == ["<", ">="], range_
    assert all(minor in SpecifierSet(project["requires-python"]) for minor in ("3.11.0", "3.12.0", "3.13.0"))


def test_mlproject_defaults_are_the_configuration_s():
    declared = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["main"]["parameters"]
    given = {name: value["default"] for name, value in declared.items() if name != "out"}
    assert StudyConfig(**given) == StudyConfig()
    assert set(given) == set(StudyConfig.model_fields)
    readme = (ROOT / "README.md").read_text()
    assert f"| {given['learning_rate']}, {given['batch_size']} |" in readme


def _modules() -> dict[str, ast.Module]:
    """Every module of the three packages by its dotted name."""
    files = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__"): ast.parse((ROOT / file).read_text()) for file in files}


def _imports(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _stage(name: str) -> str | None:
    """The stage that a module, or something in it, belongs to; None for what is not ours, and for the packages themselves."""
    return next((stage for stage in STAGES if f"{name}.".startswith(f"{stage}.")), None)


def test_a_stage_imports_only_stages_before_it():
    modules = _modules()
    assert {_stage(name) for name in modules if name not in PACKAGES} == set(STAGES)
    for name, module in modules.items():
        if name not in PACKAGES:
            later = STAGES[STAGES.index(_stage(name)) + 1 :]
            assert not [found for found in _imports(module) if _stage(found) in later], name


def test_analysis_and_reports_know_of_study_what_they_need():
    """They read what a study stored, and re-run its networks: they know nothing of training, and hardly anything of measuring."""
    for name, module in _modules().items():
        package = name.partition(".")[0]
        if package in KNOWN_OF_STUDY:
            known = KNOWN_OF_STUDY[package] | EXCEPTIONS.get(name, set())
            found = {_stage(imported) for imported in _imports(module) if imported.startswith("study.")}
            assert found <= known, name


def test_no_module_knows_how_large_an_image_of_mnist_is():
    """Rows, pixels per row and classes come from the data set."""
    for name, module in _modules().items():
        numbers = {node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and type(node.value) is int}
        assert not numbers & {27, 28, 784}, name


def test_one_part_of_study_writes_to_mlflow_and_one_of_each_other_package_reads():
    def speakers(package, pattern):
        return {
            str(p.relative_to(ROOT / package)).split("/")[0]
            for p in (ROOT / package).rglob("*.py")
            if re.search(rf"client\.({pattern})", p.read_text())
        }

    writing = "log_|create_|set_|delete_|restore_|update_|rename_"
    reading = "search_|get_|list_|download_"
    assert speakers("study", f"{writing}|{reading}") == {"tracking"}
    assert speakers("analysis", writing) == speakers("reports", writing) == set()
    assert speakers("analysis", reading) == {"dataset"}
    assert speakers("reports", reading) == set()


def test_every_test_is_in_one_of_two_tiers():
    """What `make test` and `make test-slow` run differs in the marker alone, which nobody can misspell; `.ci/run` runs both."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert options["strict_markers"] is True
    assert [line.partition(":")[0] for line in options["markers"]] == ["slow"]
    assert options["testpaths"] == ["tests"]
    assert not re.search(r"-[mk]\b|--(ignore|deselect)", options["addopts"])
    hooks = "pytest_(ignore_collect|collection_modifyitems)|collect_ignore"
    assert not re.search(hooks, (ROOT / "tests" / "conftest.py").read_text())
    told = subprocess.run(["make", "--dry-run", "test-all"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    quick, slow = [line for line in told.splitlines() if " -m pytest " in line]
    chosen, rest = quick.removesuffix(' -m "not slow"'), slow.removesuffix(" -m slow")
    assert chosen == rest != slow
    assert re.fullmatch(r"\S+ -m pytest( --[a-z]+ \w+)+", rest)  # no files, no other choice
    steps = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in steps
    assert steps[-3:] == ["make lint", "make test", "make test-slow"]
    assert re.search(r"```sh\nmake study .*\nmake test ", (ROOT / "README.md").read_text())


def test_no_two_files_of_tests_have_the_same_name():
    """pytest imports them by that name, and would leave one of them out with an error."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    assert not [name for name, count in names.items() if count > 1]


def test_no_tracked_file_is_generated():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "MLproject" in listed
    assert not [name for name in listed if re.search(r"(^|/)(mlruns|mlartifacts|\.venv|__pycache__)/|\.pyc$|mlflow\.db$", name)]
