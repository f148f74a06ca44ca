"""Sphinx's configuration: ``tox run -e docs`` builds the pages."""

from __future__ import annotations

import os
import re
from argparse import SUPPRESS
from typing import Any

import django
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from docutils import nodes
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import cereal_methods

settings.configure(INSTALLED_APPS=["cereal_methods", "cereal_methods.records"])
django.setup()

project = "django-cereal-methods"
author = "the django-cereal-methods contributors"
project_copyright = "the django-cereal-methods contributors, under the MIT License"
version = release = cereal_methods.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cereal_methods {release}"
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "native"

myst_heading_anchors = 4

# Copy only what a reader types, without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88

# The overloads are for type checkers. Readers get one signature, that of the page.
for module in ("sending.canvas", "sending.model_task", "sending.task", "testing.recorder"):
    analyzer = ModuleAnalyzer.for_module(f"cereal_methods.{module}")
    analyzer.analyze()
    analyzer.overloads.clear()


class CommandHelp(SphinxDirective):
    """The help of a management command, without the options that all commands have."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the text of the command's help."""
        command = load_command_class(get_commands()[self.arguments[0]], self.arguments[0])
        command.requires_system_checks = []
        parser = command.create_parser("manage.py", self.arguments[0])
        base = BaseCommand().create_parser("manage.py", "")._option_string_actions
        for option, action in parser._option_string_actions.items():
            if option in base and option != "--help":
                action.help = SUPPRESS
        text = parser.format_help()
        return [nodes.literal_block(text, text, language="text")]


def leave_out(app: Any, docname: str, source: list[str]) -> None:
    """Remove links to files outside docs/."""
    if "/" not in docname:
        source[0] = re.sub(r"\[([^]]+)\]\(\.\./[^)]+\)", r"\1", source[0])


def leave_out_signatures(app: Any, kind: str, *about: Any) -> tuple[str, None] | None:
    """Hide the arguments of errors, which are the same for all."""
    return ("", None) if kind == "exception" else None


def setup(app: Any) -> None:
    """Register what the pages need."""
    os.environ["COLUMNS"] = "84"
    app.connect("autodoc-process-signature", leave_out_signatures)
    app.connect("source-read", leave_out)
    app.add_directive("command-help", CommandHelp)
