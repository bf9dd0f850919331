"""The site of the documents: its lists name every page. `make docs` builds it, and is stricter."""

from __future__ import annotations

import re

import notes
import parsers
import pytest
from commands import capc_help
from documents import PAGE_NAMES, blocks, prose, read

INDEX = "docs/index.md"
TEACHING = ("README.md", "docs/tutorial.md", "docs/how-to/")


def test_every_page_is_in_one_list_of_the_site() -> None:
    listed = [
        name
        for block in blocks(INDEX)
        for name in block.text.splitlines()
        if re.fullmatch(r"[\w./-]+", name)
    ]
    named = [f"docs/{name}.md".replace("docs/../", "") for name in listed]
    assert sorted(named) == sorted(set(PAGE_NAMES) - {INDEX})


def test_every_page_but_the_lists_own_is_named_with_a_purpose() -> None:
    """Readers of the files see no lists of the site, but the tables above them."""
    text = "\n".join(line for _, line in prose(INDEX))
    for page in set(PAGE_NAMES) - {INDEX}:
        link = page.removeprefix("docs/") if page.startswith("docs/") else f"../{page}"
        assert f"]({link})" in text, f"{INDEX} does not say what {page} is for"


@pytest.mark.parametrize("page", [name for name in PAGE_NAMES if name.startswith(TEACHING)])
def test_commands_that_no_test_runs_say_how_long_they_take(page: str) -> None:
    for block in blocks(page):
        if block.info == "sh no-test":
            time = r"\d s\b|second|minute|at once|as long as"
            assert re.search(time, block.above), f"{block}: how long does it take?"


def test_why_a_command_is_not_run_is_shown() -> None:
    source = ["a\n\n  <!-- not run by the tests here: 5 s -->\n  ```sh no-test\n<!-- other -->\n"]
    notes.show_why_not_run(None, "page", source)
    assert source == ["a\n\n  *not run by the tests here: 5 s*\n  ```sh no-test\n<!-- other -->\n"]


def test_each_module_of_the_reference_stands_under_its_name() -> None:
    text = read("docs/reference/python.md")
    found = re.findall(r"^### `([\w.]+)`\n\n```{eval-rst}\n.. automodule:: ([\w.]+)$", text, re.M)
    assert len(found) == text.count("automodule")
    assert all(heading == module for heading, module in found)


def test_the_reference_has_each_command_with_its_parser() -> None:
    found = {" ".join(words): parser for words, parser in parsers.commands()}
    named = re.findall(r"^  ([a-z][\w-]+)  ", capc_help(), re.MULTILINE)
    assert set(named) == {name for name in found if " " not in name}
    for name in ("run", "privacy cost", "party answering", "party init", "graph inspect"):
        parser = found[name]
        assert not isinstance(parser, str)
        flags = {flag for action in parser._actions for flag in action.option_strings}
        said = set(re.findall(r"(?<![\w-])--[\w-]+", capc_help(*name.split())))
        assert said >= flags - {"-h"} and len(flags) > 2, name
    assert isinstance(found["party"], str)
