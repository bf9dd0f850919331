"""The documents keep their word: examples run, commands parse, links and paths resolve.

A block ```sh runs; ```sh no-test is only parsed, and a comment above it says why it does not run.
```python runs in the same way. ```python worked and ```cpp worked belong to test_extending.py.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from commands import capc_help, check, commands
from documents import PAGE_NAMES, ROOT, Block, anchors, blocks, prose, section
from free_ports import free_ports

from capc.command_line import STATUS_MEANINGS

BLOCKS = [block for page in PAGE_NAMES for block in blocks(page)]
SHELL = [block for block in BLOCKS if block.info.split(" ")[0] == "sh"]
RUN = [block for block in SHELL if block.info == "sh"]
PYTHON = [block for block in BLOCKS if block.info == "python"]
FLOORS_PAGE = "docs/architecture.md"
INFOS = {"sh", "sh no-test", "python", "python no-test", "python worked", "cpp worked", "text"}
DIRECTIVES = {"{capc-commands}", "{eval-rst}", "{toctree}"}  # of the site alone


def test_there_is_something_to_test() -> None:
    assert len(RUN) >= 5
    assert len(SHELL) >= 20
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.info in INFOS | DIRECTIVES, f"{block}: ```{block.info}"
    if block.info.endswith("no-test"):
        assert re.fullmatch(r"\s*<!-- not run by the tests.*: .+ -->", block.above), (
            f"{block}: no comment says why it does not run"
        )


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_commands_stand_in_fences(page: str) -> None:
    """An indented block would escape these tests."""
    before = ""
    for number, line in prose(page):
        is_code = line.startswith("    ") and not before.strip()
        assert not is_code, f"{page}:{number}: an indented block; use a fence"
        before = line


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_name_what_exists(block: Block) -> None:
    text = block.text.replace("<this repository>", "repository").replace("…", "")
    for words in commands(text):
        check(words)


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_commands_within_sentences_name_what_exists(page: str) -> None:
    if page == "CHANGELOG.md":  # it names what was, too
        return
    text = "\n".join(line for _, line in prose(page))
    for span in re.findall(r"`([^`]+)`", text):
        words = span.split()
        if words[0] in ("capc", "make") and len(words) > 1 and words[1].isascii():
            check([word.strip("'\"") for word in words])


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the repository, where results may be left."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("config", "models", "scripts", "run_experiment.py", "capc"):
        (folder / name).symlink_to(ROOT / name)
    programs = folder / ".bin"
    programs.mkdir()
    for name, words in (("capc", "-m capc.cli"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=str)
def test_shell_examples_run(block: Block, workplace: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{workplace / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=workplace,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, f"{block}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert done.stdout or "export" in block.text


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_examples_run(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where an example leaves its files
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})


@pytest.mark.slow
def test_the_two_programs_of_he_transformer_run_together(tmp_path: Path) -> None:
    server, client = (
        block.text.replace("35000", str(free_port()))
        for block in blocks("docs/he-transformer.md")
        if block.text.startswith(("# server.py", "# client.py"))
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "capc" / "he_transformer"))),
    }
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", text],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for text in (server, client)
    ]
    said = [program.communicate(timeout=60)[0] for program in programs]
    assert [program.returncode for program in programs] == [0, 0]
    assert said[0].strip() == "[[nan nan nan nan]]"
    results = [float(number) for number in re.findall(r"[\d.]+", said[1])]
    assert results == pytest.approx([6, 12, 18, 24], abs=0.01)


@cache
def free_port() -> int:
    """One port for both programs."""
    return free_ports(1)[0]


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_links_resolve(page: str) -> None:
    for number, line in prose(page):
        for target in re.findall(r"\]\(([^)\s]+)\)", line):
            if re.match(r"https?://", target):
                continue
            path, _, anchor = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), f"{page}:{number}: there is no {target}"
            if anchor:
                linked = str(file.resolve().relative_to(ROOT))
                assert anchor in anchors(linked), f"{page}:{number}: no heading for {target}"


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_paths_in_the_text_exist(page: str) -> None:
    """Files of the repository between backticks."""
    folders = ("capc", "config", "docs", "gc-emp-test", "scripts", "tests")
    for number, line in prose(page):
        for path in re.findall(rf"`((?:{'|'.join(folders)})/[\w./-]*)`", line):
            built = path.startswith(("gc-emp-test/bin", "capc/gc/_engine."))
            assert built or (ROOT / path).exists(), f"{page}:{number}: there is no {path}"


@pytest.mark.parametrize("page", PAGE_NAMES)
def test_names_in_the_text_exist(page: str) -> None:
    """Modules between backticks, and what is named of them."""
    if page == "CHANGELOG.md":  # it names what was, too
        return
    for number, line in prose(page):
        for name in re.findall(r"`(capc(?:\.[A-Za-z_]\w*)+)`", line):
            assert names_something(name), f"{page}:{number}: there is no {name}"


def names_something(name: str) -> bool:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
        return True
    module, _, attribute = name.rpartition(".")
    with contextlib.suppress(ImportError):
        return hasattr(importlib.import_module(module), attribute)
    return False


def test_the_table_of_floors_is_the_one_that_is_held() -> None:
    source = (ROOT / "tests" / "test_architecture.py").read_text()
    held = re.search(r"^FLOORS = (\(.*?^\))", source, re.MULTILINE | re.DOTALL)
    assert held is not None
    rows = re.findall(
        r"^\| `capc/(\w+)(?:/|\.py)` \|", section(FLOORS_PAGE, "Floors"), re.MULTILINE
    )
    assert tuple(rows) == ast.literal_eval(held[1])


def test_the_table_of_exit_statuses_is_the_one_that_is_used() -> None:
    text = section("docs/running.md", "Exit statuses")
    listed = {int(number): meaning for number, meaning in re.findall(r"\| (\d+) \| (.+) \|", text)}
    assert listed == {status.value: meaning for status, meaning in STATUS_MEANINGS.items()}


def test_every_flag_of_a_run_is_in_the_table_of_flags() -> None:
    table = set(re.findall(r"`(--\w+)`", section("docs/running.md", "Flags")))
    flags = set(re.findall(r"^  (--\w+)", capc_help("run"), re.MULTILINE))
    assert flags - table == set()
