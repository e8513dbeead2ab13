"""Keep out what moto imports and the sandbox never uses. Call it before moto is imported.

It takes several megabytes, and imports that take part of the sandbox's start.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

# moto checks OpenAPI documents with this package, which brings pydantic. The sandbox has its own
# import of documents (moto_gaps/api_gateway).
_VALIDATOR: Final = "openapi_spec_validator"
_ERRORS: Final = f"{_VALIDATOR}.validation.exceptions"


def keep_out() -> None:
    """Put empty modules in the place of those that are not used."""
    if _VALIDATOR in sys.modules:
        return
    validator = ModuleType(_VALIDATOR)
    errors = ModuleType(_ERRORS)
    vars(validator)["validate"] = _unused
    vars(errors)["OpenAPIValidationError"] = ValueError
    validation = ModuleType(f"{_VALIDATOR}.validation")
    for module in (validator, validation, errors):
        sys.modules[module.__name__] = module


def _unused(document: object) -> None:
    del document
    raise NotImplementedError("the sandbox imports OpenAPI documents itself")
