"""The site of the documents: its lists name every page. `make docs` builds it, and is stricter."""

from __future__ import annotations

import re

from documents import PAGE_NAMES, blocks, prose, read

INDEX = "docs/index.md"


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


def test_each_module_of_the_reference_stands_under_its_name() -> None:
    text = read("docs/reference/python.md")
    found = re.findall(r"^### `([\w.]+)`\n\n```{eval-rst}\n.. automodule:: ([\w.]+)$", text, re.M)
    assert len(found) == text.count("automodule")
    assert all(heading == module for heading, module in found)
