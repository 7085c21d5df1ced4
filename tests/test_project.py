"""The project's own promises: one list of pins, true defaults, one direction of imports, no traces of a machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib

import pytest
import yaml
from conftest import ROOT

from study.config import StudyConfig

ALLOWED = {"study": {"study"}, "analysis": {"analysis", "study"}, "reports": {"reports", "analysis", "study"}}


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


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_in_one_direction(package):
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
            imported = {str(module).split(".")[0] for module in modules if isinstance(node, ast.Import | ast.ImportFrom)}
            assert not (imported & set(ALLOWED)) - ALLOWED[package], f"{path} imports {imported}"


def test_one_part_of_each_package_speaks_to_mlflow():
    def speakers(package):
        return {str(p.relative_to(ROOT / package)).split("/")[0] for p in (ROOT / package).rglob("*.py")
                if re.search(r"client\.(log_|create_|search_|set_|get_|list_|download_)", p.read_text())}

    assert speakers("study") == {"tracking"}
    assert speakers("analysis") == {"runs.py"}
    assert speakers("reports") == set()


def test_no_tracked_file_is_generated():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "MLproject" in listed
    assert not [name for name in listed if re.search(r"(^|/)(mlruns|mlartifacts|\.venv|__pycache__)/|\.pyc$|mlflow\.db$", name)]
