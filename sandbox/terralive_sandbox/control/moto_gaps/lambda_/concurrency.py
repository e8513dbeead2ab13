"""The account's concurrency: its settings, which moto lacks, and the limit of reservations."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

from moto.awslambda import urls as lambda_urls
from moto.awslambda.exceptions import InvalidParameterValueException
from moto.awslambda.models import LambdaBackend
from moto.awslambda.responses import LambdaResponse

from terralive_sandbox.control.moto_gaps.replacements import Replacements

_JsonAnswer: TypeAlias = tuple[int, dict[str, int], str]

# AWS keeps so many executions that no function may reserve.
_NEVER_RESERVED: Final = 100
# Quotas of code, in bytes: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_CODE_LIMITS: Final = {
    "TotalCodeSize": 80_530_636_800,
    "CodeSizeUnzipped": 262_144_000,
    "CodeSizeZipped": 52_428_800,
}


def declare(replacements: Replacements, limit: int) -> None:
    """Declare the replacements.

    Args:
        replacements: the list that gets them.
        limit: how many executions an account may have at once in a region.
    """
    moto_put = LambdaBackend.put_function_concurrency

    def put(self: LambdaBackend, function_name: str, reserved_concurrency: str) -> str:
        """Reserve concurrency, as long as enough of it remains for all other functions.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
        """
        others = _reserved(self, but=function_name)
        kept = min(_NEVER_RESERVED, limit)
        if int(reserved_concurrency) and limit - others - int(reserved_concurrency) < kept:
            message = (
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{kept}]."
            )
            raise InvalidParameterValueException(message)
        return moto_put(self, function_name, reserved_concurrency)

    def get_account_settings(self: LambdaResponse) -> _JsonAnswer:
        """Answer GetAccountSettings.

        https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html
        """
        functions = list(self.backend.list_functions())
        size = sum(function.code_size for function in functions)
        answer: dict[str, Any] = {
            "AccountLimit": {
                **_CODE_LIMITS,
                "ConcurrentExecutions": limit,
                "UnreservedConcurrentExecutions": limit - _reserved(self.backend),
            },
            "AccountUsage": {"TotalCodeSize": size, "FunctionCount": len(functions)},
        }
        return 200, {"status": 200}, json.dumps(answer)

    path = r"{0}/(?P<api_version>[^/]+)/account-settings/?$"
    replacements.add_path(lambda_urls.url_paths, path, LambdaResponse.dispatch)
    replacements.add(LambdaResponse, "get_account_settings", get_account_settings)
    replacements.replace(LambdaBackend, "put_function_concurrency", put)


def _reserved(backend: LambdaBackend, *, but: str = "") -> int:
    """Return the concurrency that the functions of a region have reserved, without one of them."""
    reserved = 0
    for function in backend.list_functions():
        if function.reserved_concurrency is not None and function.function_name != but:
            reserved += int(function.reserved_concurrency)
    return reserved
