"""The texts of generated files, from the Jinja2 templates in `templates/`. Pure.

Their delimiters are `<< … >>` and `<% … %>`: GitHub Actions and just have `{{ … }}` themselves.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import jinja2

_STRINGS: Final = {
    # TOML and YAML read a JSON string as it is: https://toml.io/en/v1.0.0#string,
    # https://yaml.org/spec/1.2.2/#12-overview-of-yaml
    "quoted": lambda text: json.dumps(text, ensure_ascii=False),
    # https://developer.hashicorp.com/terraform/language/expressions/strings#escape-sequences
    "hcl": lambda text: (
        json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
    ),
}


def rendered(name: str, **values: Any) -> str:  # noqa: ANN401  # a template takes any value
    """Return the text of a template.

    Args:
        name: the template's file, without `.j2`.
        values: the values that it names. A missing one is an error.
    """
    return _environment().get_template(f"{name}.j2").render(values)


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # noqa: PLC0415  # costs 20 ms, and only `init` needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("terralive_cli.init.contents"),
        undefined=jinja2.StrictUndefined,
        # The output is no HTML. The templates write texts of a project with a filter of `_STRINGS`.
        autoescape=False,  # noqa: S701
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
    )
    environment.filters.update(_STRINGS)
    return environment
