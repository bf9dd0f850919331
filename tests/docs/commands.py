"""The command lines of a document: taken apart, and held to the parsers and files that exist."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from documents import ROOT

from capc.cli import main

DEEPER = {"graph": ("inspect", "prepare"), "privacy": ("cost", "epsilon", "calibrate", "account")}
SCRIPTS = {"run_experiment.py": ("run",), "scripts/train_models.py": ("models",)}
# Programs of others: only the files that they name are looked at.
OTHERS = frozenset(
    (
        *("cat", "cd", "chmod", "cmake", "cp", "ctest", "docker", "export", "git", "install"),
        *("openssl", "pip", "source", "systemctl", "tmux", "useradd"),
    )
)
BUILT = re.compile(r"(build\S*/)?bin/\w+")  # programs of gc-emp-test
PLACES = ("capc/", "config/", "docs/", "gc-emp-test/", "scripts/", "tests/", "models/crypto")


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a shell text, as words: comments, prompts and pipes taken off."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="&;|")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in lexer:
            if re.fullmatch(r"[&;|]+", word):
                yield from [words] if words else []
                words = []
            else:
                words.append(word)
        if words:
            yield words


def check(words: list[str]) -> None:
    """AssertionError, with the reason, for a command that cannot be right."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # VARIABLE=value before a program
        words = words[1:]
    if not words:
        return
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in ("python", "python3"):
        check_python(rest)
    elif program == "capc":
        check_capc(rest)
    elif program == "make":
        check_make(rest)
    else:
        known = program in OTHERS or BUILT.fullmatch(program)
        assert known, f"{program} is no program that these tests know"
    check_files(words)


def check_python(words: list[str]) -> None:
    """Programs of the repository by their flags; those that a page itself shows by name."""
    if words[:2] == ["-m", "pytest"]:
        return
    if words[:2] == ["-m", "capc.cli"]:
        check_capc(words[2:])
    elif words[0] == "-m":
        module = ROOT.joinpath(*words[1].split("."))
        assert module.with_suffix(".py").is_file(), f"there is no module {words[1]}"
    elif words[0] in SCRIPTS:
        check_capc([*SCRIPTS[words[0]], *words[1:]])
    elif words[0].startswith("scripts/"):
        check_flags(words[1:], script_help(words[0]), words[0])
    else:
        assert words[0] in ("server.py", "client.py"), f"python {words[0]} is unknown"


def check_capc(words: list[str]) -> None:
    """The subcommand and its flags, by the parsers."""
    if not words or words in (["--help"], ["--version"]) or words[0] in ("…", "SUBCOMMAND"):
        return
    name, rest = words[0], words[1:]
    subcommands = re.findall(r"^  ([a-z][\w-]+)  ", capc_help(), re.MULTILINE)
    assert name in subcommands, f"capc has no subcommand {name}"
    path: tuple[str, ...] = (name,)
    if name in DEEPER and rest and not rest[0].startswith("-"):
        assert rest[0] in DEEPER[name], f"capc {name} has no {rest[0]}"
        path, rest = (name, rest[0]), rest[1:]
    if name == "learn" and rest and not rest[0].startswith("-"):
        stages = re.search(r"\{(train,[a-z,]+)\}", capc_help("learn"))
        assert stages is not None
        assert rest[0] in (*stages[1].split(","), "…"), f"capc learn has no stage {rest[0]}"
    check_flags(rest, capc_help(*path), f"capc {' '.join(path)}")


def check_flags(words: list[str], text: str, program: str) -> None:
    """Every flag stands in the help `text`."""
    flags = set(re.findall(r"(?<![\w-])--?[\w-]+", text))
    for word in words:
        flag = word.partition("=")[0]
        if re.match(r"--?[a-z]", flag):
            assert flag in flags, f"{program} has no flag {flag}"


@cache
def capc_help(*path: str) -> str:
    """What `--help` of a subcommand prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*path, "--help"])
    logging.captureWarnings(False)
    return printed.getvalue()


@cache
def script_help(script: str) -> str:
    """What `--help` of a script prints."""
    command = [sys.executable, script, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def check_make(words: list[str]) -> None:
    """Targets and variables, by the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", makefile, re.MULTILINE))
    variables = {*re.findall(r"^([A-Z_]+) [?:]?=", makefile, re.MULTILINE), "PYTHON"}
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            assert name in variables, f"the Makefile has no variable {name}"
        else:
            assert name in targets, f"the Makefile has no target {name}"


def check_files(words: list[str]) -> None:
    """Paths of the repository that a command names must be there, but for what it builds."""
    for word in words:
        for path in (word, word.partition("=")[2]):
            if path.startswith(PLACES) and "bin" not in path.split("/"):
                assert (ROOT / path).exists(), f"there is no {path}"
