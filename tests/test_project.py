"""The project's own promises: one list of pins, true defaults, one direction of imports, no traces of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator

import yaml
from conftest import ROOT

from study.config import StudyConfig

PACKAGES = ("study", "analysis", "reports")
# In the order in which a reader meets them. What a package's stages may know of another package follows from it: analysis and
# reports come after all of study, and nothing of study can import them.
STAGES = (
    "study.terminal",
    "study.files",
    "study.data",
    "study.networks",
    "study.config",
    "study.schema",
    "study.periodogram",
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
)


def _requirements() -> list[str]:
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())
    return environment["dependencies"][-1]["pip"]


def test_conda_and_pyproject_name_the_same_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert _requirements() == project["dependencies"]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9.]+", line) for line in _requirements())


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


def test_no_module_knows_how_large_an_image_of_mnist_is():
    """Rows, pixels a row and classes come from the data set."""
    for name, module in _modules().items():
        numbers = {node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and type(node.value) is int}
        assert not numbers & {27, 28, 784}, name


def test_one_part_of_each_package_speaks_to_mlflow():
    def speakers(package):
        return {
            str(p.relative_to(ROOT / package)).split("/")[0]
            for p in (ROOT / package).rglob("*.py")
            if re.search(r"client\.(log_|create_|search_|set_|get_|list_|download_)", p.read_text())
        }

    assert speakers("study") == {"tracking"}
    assert speakers("analysis") == {"dataset"}
    assert speakers("reports") == set()


def test_no_tracked_file_is_generated():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "MLproject" in listed
    assert not [name for name in listed if re.search(r"(^|/)(mlruns|mlartifacts|\.venv|__pycache__)/|\.pyc$|mlflow\.db$", name)]
