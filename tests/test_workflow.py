"""The hosted workflow and the hooks: they cover what is promised, and run what exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
]
README = " ".join((ROOT / "README.md").read_text().split())
MAKEFILE = (ROOT / "Makefile").read_text()


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


def make_targets(job: str) -> set[str]:
    return {name for command in commands(job) for name in re.findall(r"\bmake ([a-z-]+)$", command)}


def parts(target: str) -> set[str]:
    """The parts of `make test` or `make lint`."""
    pattern = r"^BEFORE_PYTHON :=(.*)$" if target == "test" else rf"^{target}:(.*)$"
    (found,) = re.findall(pattern, MAKEFILE, re.MULTILINE)
    return set(found.split()) | ({"test-python"} if target == "test" else set())


def test_every_promised_python_is_tested() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    found = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', project, re.MULTILINE)
    assert found is not None
    promised = [f"3.{minor}" for minor in range(int(found[1]), int(found[2]))]
    for job in ("ubuntu", "wheels"):
        assert JOBS[job]["strategy"]["matrix"]["python"] == promised
    assert f"Python {promised[0]} to {promised[-1]}" in README


def test_every_promised_system_is_tested() -> None:
    found = re.search(r"Debian (\d+), Ubuntu ([\d.]+) or Ubuntu ([\d.]+),", README)
    assert found is not None
    for job in ("debian", "cpp-linters"):
        assert JOBS[job]["container"] == f"debian:{found[1]}"
    for job in ("ubuntu", "sanitizers"):
        matrix = JOBS[job]["strategy"]["matrix"]
        assert matrix["os"] == [f"ubuntu-{found[2]}", f"ubuntu-{found[3]}"]


def test_wheels_are_built_on_the_oldest_ubuntu_and_tried() -> None:
    assert JOBS["wheels"]["runs-on"] == min(JOBS["ubuntu"]["strategy"]["matrix"]["os"])
    assert make_targets("wheels") == {"check-wheel"}
    (kept,) = (step["with"] for step in JOBS["wheels"]["steps"] if "artifact" in str(step))
    assert kept["path"] == "dist/"


def test_the_jobs_together_are_make_test() -> None:
    (check,) = re.findall(r"^check:.*\n\t(.*)$", MAKEFILE, re.MULTILINE)
    done = set.union(*(make_targets(job) for job in JOBS)) | set(check.split())
    done |= {"format-cpp"} if "lint-cpp" in done else set()  # clang-format is a part of it
    assert parts("test") | parts("lint") <= done
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("job", JOBS)
def test_a_job_waits_for_the_quick_check_and_ends(job: str) -> None:
    assert JOBS[job].get("needs") == (None if job == "check" else "check")
    assert 0 < JOBS[job]["timeout-minutes"] <= 60
    for action in (step["uses"] for step in JOBS[job]["steps"] if "uses" in step):
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", action)


def test_the_workflow_may_only_read_and_the_newest_push_counts() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in JOBS.values())
    assert WORKFLOW["concurrency"]["cancel-in-progress"] is True


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: str(hook["id"]))
def test_hooks_fetch_nothing_and_run_what_is_here(hook: dict[str, Any]) -> None:
    assert hook["language"] == "system"
    program = hook["entry"].split()[0]
    installed = (
        program.startswith(".venv/bin/")
        and f'"{Path(program).name}>=' in (ROOT / "pyproject.toml").read_text()
    )
    assert installed or (ROOT / program).is_file()
