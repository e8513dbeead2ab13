"""Lambda functions of a plan, instance by instance. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from terralive_stub.shared.json_documents import Json, as_object, items, section, text
from terralive_terraform.discovery.declared import FUNCTION_TYPE
from terralive_terraform.evaluation.document import Evaluated, Evaluation, call_names
from terralive_terraform.evaluation.planned import PlannedFunction

# Words of the handlers that layers of vendors bring -> the variables that name the team's handler.
# Where a word says more than another one, it comes first.
_WRAPPERS: Final = {
    # https://docs.datadoghq.com/serverless/aws_lambda/installation/
    "datadog_lambda": ("DD_LAMBDA_HANDLER",),
    "datadog-lambda-js": ("DD_LAMBDA_HANDLER",),
    # https://docs.newrelic.com/docs/serverless-function-monitoring/aws-lambda-monitoring/
    "newrelic_lambda_wrapper": ("NEW_RELIC_LAMBDA_HANDLER",),
    "newrelic-lambda-wrapper": ("NEW_RELIC_LAMBDA_HANDLER",),
    "newrelic-esm-lambda-wrapper": ("NEW_RELIC_LAMBDA_HANDLER",),
    # https://github.com/lumigo-io/serverless-lumigo-plugin
    "lumigo-auto-instrument": ("LUMIGO_ORIGINAL_HANDLER",),
    "lumigo_tracer": ("LUMIGO_ORIGINAL_HANDLER",),
    # https://docs.sentry.io/platforms/python/integrations/aws-lambda/manual-layer/
    "init_serverless_sdk": ("SENTRY_INITIAL_HANDLER", "INITIAL_HANDLER"),
    # https://www.ibm.com/docs/en/instana-observability/current?topic=lambda-aws-native-tracing-nodejs
    "instana-aws-lambda-auto-wrap": ("LAMBDA_HANDLER",),
    "instana.lambda_handler": ("LAMBDA_HANDLER",),
    # https://github.com/thundra-io/serverless-plugin-thundra
    "thundra.handler": ("thundra_agent_lambda_handler", "THUNDRA_AGENT_LAMBDA_HANDLER"),
    # https://github.com/epsagon/epsagon-python
    "epsagon.": ("EPSAGON_HANDLER",),
    # https://github.com/open-telemetry/opentelemetry-lambda
    "otel_wrapper": ("ORIG_HANDLER",),
}
# A part of the names of variables that other layers may use for the same.
_HANDLER: Final = "HANDLER"

_IGNORE_HASH: Final = "ignore_source_code_hash"


def planned_functions(evaluation: Evaluation) -> Iterator[PlannedFunction]:
    """Yield the functions that exist after an apply. `count = 0` makes none."""
    for item in evaluation.instances(FUNCTION_TYPE):
        block = evaluation.block(item.address)
        planned = _planned(item, evaluation.directory, block)
        yield replace(planned, code_elsewhere=_code_elsewhere(evaluation, item.module))


def _planned(item: Evaluated, directory: Path, block: Mapping[str, Json]) -> PlannedFunction:
    values = item.values
    file: Path | None = None
    filename = _known(values, "filename")
    if filename:
        file = (directory / filename).resolve()
    names, names_known = _environment(item)
    handler = _known(values, "handler")
    return PlannedFunction(
        address=item.address,
        module=item.module,
        name=_known(values, "function_name"),
        handler=handler or _image_command(values),
        wrapped_handler=_wrapped_handler(handler or "", item),
        named_handlers=_named_handlers(item),
        region=_known(values, "region"),
        provider=text(block, "provider_config_key"),
        runtime=_known(values, "runtime"),
        package_type=_known(values, "package_type"),
        architecture=_architecture(values),
        timeout=_seconds(values),
        filename=file,
        s3_bucket=_known(values, "s3_bucket"),
        s3_key=_known(values, "s3_key"),
        image_uri=_known(values, "image_uri"),
        starts_otherwise=_starts_otherwise(item),
        code_hash=_known(values, "source_code_hash"),
        is_set=frozenset(name for name, value in values.items() if _has_value(value)),
        unknown=item.unknown,
        declared=frozenset(section(block, "expressions")),
        environment_names=names,
        environment_known=names_known,
    )


def _code_elsewhere(evaluation: Evaluation, module: str) -> bool:
    """Tell whether a module is told that something else deploys its function's code.

    https://registry.terraform.io/modules/terraform-aws-modules/lambda/aws#input_ignore_source_code_hash
    """
    call = evaluation.call(module)
    expression = section(section(call, "expressions"), _IGNORE_HASH)
    if expression.get("constant_value") is True:
        return True
    match items(expression, "references"):
        case [str() as reference] if len(call_names(module)) == 1:
            return evaluation.variables().get(reference.removeprefix("var.")) is True
        case _:
            return False


def _known(values: Mapping[str, Json], name: str) -> str | None:
    """Return a text; None for "" too, which the provider treats as not set."""
    return text(values, name) or None


def _has_value(value: Json) -> bool:
    """Tell whether a value is set: blocks that are not there are empty lists."""
    return value not in (None, "", [], {}, False)


def _seconds(values: Mapping[str, Json]) -> int | None:
    timeout = values.get("timeout")
    if isinstance(timeout, int):
        return timeout
    return None


def _architecture(values: Mapping[str, Json]) -> str | None:
    match items(values, "architectures"):
        case [str() as architecture]:
            return architecture
        case _:
            return None


def _wrapped_handler(handler: str, item: Evaluated) -> str | None:
    """Return the team's own handler, which a variable names for a layer's handler; None for none.

    `AWS_LAMBDA_EXEC_WRAPPER` names no handler: such a layer leaves the function's own.
    """
    values = _variables(item)
    for name, variables in _WRAPPERS.items():
        if name not in handler:
            continue
        for variable in variables:
            wrapped = text(values, variable)
            if wrapped:
                return wrapped
    return None


def _named_handlers(item: Evaluated) -> tuple[str, ...]:
    """Return the values of variables that may name a handler for a layer's."""
    values = _variables(item)
    return tuple(text(values, name) for name in values if _HANDLER in name.upper())


def _variables(item: Evaluated) -> Mapping[str, Json]:
    """Return the environment variables of a function, as far as they are known."""
    for block in items(item.values, "environment"):
        return section(as_object(block), "variables")
    return {}


def _image_command(values: Mapping[str, Json]) -> str | None:
    """Return the handler in an image's command; with more than one word, the first is a program.

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html#images-parms
    """
    match items(values, "image_config"):
        case [{"command": [str() as handler]}]:
            return handler
        case _:
            return None


def _starts_otherwise(item: Evaluated) -> bool:
    """Tell whether `image_config` has, or may have, a command or an entry point."""
    if "image_config" in item.unknown:
        return True
    for block in items(item.values, "image_config"):
        config = as_object(block)
        if config.get("command") or config.get("entry_point"):
            return True
    return False


def _environment(item: Evaluated) -> tuple[frozenset[str], bool]:
    """Return the names of the environment variables, and whether these are all.

    Values that are not known yet have a name all the same, unless the whole map is not known.
    """
    names: set[str] = set()
    is_known = True
    for block in items(item.values, "environment"):
        names.update(section(as_object(block), "variables"))
    unknown = item.unknown_values.get("environment")
    if unknown is True:
        return frozenset(), False
    for block in unknown if isinstance(unknown, list) else []:
        variables = as_object(block).get("variables")
        if variables is True:
            is_known = False
        else:
            names.update(as_object(variables))
    return frozenset(names), is_known
