"""The directive `capc-commands`: each subcommand of `capc`, with its flags, from its own parser."""

from __future__ import annotations

import argparse

from docutils import nodes
from parsers import commands
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from capc import cli
from capc.command_line import status_table


class CapcCommands(SphinxDirective):  # type: ignore[misc]
    """A section for each subcommand."""

    def run(self) -> list[nodes.Node]:
        """The sections, in the order of `capc --help`."""
        return [self._section(words, found) for words, found in commands()]

    def _section(self, words: tuple[str, ...], found: argparse.ArgumentParser | str) -> nodes.Node:
        title = " ".join(("capc", *words))
        section = nodes.section(ids=[nodes.make_id(title)], names=[title])
        section += nodes.title(title, title)
        if isinstance(found, str):
            section += _block(found)
            return section
        about = (found.description or cli._COMMANDS[words[0]].help).strip()
        section += nodes.paragraph(about, about)
        if found.epilog:
            section += _block(found.epilog.replace(status_table(), "").strip())
        for group in found._action_groups:
            actions = [action for action in group._group_actions if _is_shown(action)]
            if actions:
                section += _flags(actions, found)
        return section


def _is_shown(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS and not isinstance(
        action, argparse._HelpAction | argparse._SubParsersAction
    )


def _flags(actions: list[argparse.Action], parser: argparse.ArgumentParser) -> nodes.Node:
    """A definition list: each flag, and what its help says."""
    formatter = parser._get_formatter()
    listed = nodes.definition_list()
    for action in actions:
        term = nodes.term()
        words = formatter._format_action_invocation(action)
        term += nodes.literal(words, words)
        said = formatter._expand_help(action) if action.help else ""
        meaning = nodes.definition("", nodes.paragraph(said, said))
        listed += nodes.definition_list_item("", term, meaning)
    return listed


def _block(text: str) -> nodes.Node:
    return nodes.literal_block(text, text, language="text")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("capc-commands", CapcCommands)
    return {"parallel_read_safe": True}
