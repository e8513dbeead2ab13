"""What the extensions of AWS decide: whose they are, how long they keep answers, which flags."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_testing.drivers.workers import local_function
from terralive_workers.extensions.answers import Question, document
from terralive_workers.extensions.appconfig import flags_of
from terralive_workers.extensions.aws import WorkerClients
from terralive_workers.extensions.cache import Cache, CacheSettings
from terralive_workers.extensions.kinds import (
    APPCONFIG,
    PARAMETERS_AND_SECRETS,
    extension_of,
    extensions_of,
)
from terralive_workers.extensions.parameters_and_secrets import has_token
from terralive_workers.function import LayerPart
from terralive_workers.runtime_api.http_messages import Request

PREFIX = "arn:aws:lambda:eu-west-1"
SECRETS_LAYER = f"{PREFIX}:015030872274:layer:AWS-Parameters-and-Secrets-Lambda-Extension-Arm64:12"
APPCONFIG_LAYER = f"{PREFIX}:434848589818:layer:AWS-AppConfig-Extension:120"


@pytest.mark.parametrize(
    ("arn", "extension"),
    [
        (SECRETS_LAYER, PARAMETERS_AND_SECRETS),
        (APPCONFIG_LAYER, APPCONFIG),
        ("arn:aws-cn:lambda:cn-north-1:1:layer:AWS-AppConfig-Extension:1", APPCONFIG),
        (f"{PREFIX}:464622532012:layer:Datadog-Extension:65", None),
        (f"{PREFIX}:1:layer:AWS-AppConfig-Extension", None),
        ("", None),
    ],
)
def test_a_layer_tells_the_extension_that_it_brings(arn: str, extension: object) -> None:
    assert extension_of(arn) is extension


def test_a_function_has_the_extensions_of_its_layers(tmp_path: Path) -> None:
    parts = tuple(LayerPart(tmp_path, arn=arn) for arn in (APPCONFIG_LAYER, SECRETS_LAYER))
    function = replace(local_function(tmp_path), layers=(LayerPart(tmp_path), *parts))
    assert extensions_of(function) == (PARAMETERS_AND_SECRETS, APPCONFIG)
    assert extensions_of(local_function(tmp_path)) == ()


def test_a_port_of_the_users_own_for_local_runs_stays_as_it_is(tmp_path: Path) -> None:
    function = replace(
        local_function(tmp_path),
        layers=(LayerPart(tmp_path, arn=APPCONFIG_LAYER),),
        variables=((APPCONFIG.port_variable, "9000"),),
    )
    assert extensions_of(function) == ()


@pytest.mark.parametrize(
    ("variables", "settings"),
    [
        ({}, CacheSettings(1000, 300, 300)),
        ({"PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE": "5"}, CacheSettings(size=5)),
        ({"PARAMETERS_SECRETS_EXTENSION_CACHE_SIZE": "2000"}, CacheSettings(size=1000)),
        ({"PARAMETERS_SECRETS_EXTENSION_CACHE_ENABLED": "FALSE"}, CacheSettings(size=0)),
        (
            {"SECRETS_MANAGER_TTL": "0", "SSM_PARAMETER_STORE_TTL": "20"},
            CacheSettings(secrets_s=0, parameters_s=20),
        ),
        ({"SECRETS_MANAGER_TTL": "900", "SSM_PARAMETER_STORE_TTL": "-1"}, CacheSettings()),
        ({"SSM_PARAMETER_STORE_TTL": "soon"}, CacheSettings()),
    ],
)
def test_variables_set_the_cache(variables: dict[str, str], settings: CacheSettings) -> None:
    assert CacheSettings.of(variables) == settings


def test_an_answer_is_kept_until_its_time_is_over() -> None:
    cache, answer = Cache(10), document("kept")
    cache.put("a", answer, 20.0, 10.0)
    assert cache.get("a", 19.9) is answer
    assert cache.get("a", 20.0) is None
    assert cache.get("b", 19.9) is None


def test_a_full_cache_forgets_what_was_not_asked_for() -> None:
    cache = Cache(2)
    for name in ("a", "b"):
        cache.put(name, document(name), 20.0, 10.0)
    cache.get("a", 11.0)
    cache.put("c", document("c"), 20.0, 12.0)
    assert [cache.get(name, 13.0) is not None for name in ("a", "b", "c")] == [True, False, True]


def test_a_cache_that_is_switched_off_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put("a", document("a"), 20.0, 10.0)
    assert cache.get("a", 10.0) is None
    cache = Cache(10)
    cache.put("a", document("a"), 10.0, 10.0)
    assert cache.get("a", 10.0) is None


def question(target: str, **headers: str) -> Question:
    return Question.of(Request("GET", target, headers))


def test_a_question_has_the_decoded_query_of_its_request() -> None:
    asked = question("/secretsmanager/get/?secretId=prod%2Fdb%3A1&versionStage=&flag=a&flag=b")
    assert asked.path == "/secretsmanager/get"
    assert asked.value("secretId") == "prod/db:1"
    assert asked.value("versionStage") == asked.value("versionId") == ""
    assert asked.query["flag"] == ["a", "b"]


def test_the_token_is_the_session_token_of_the_worker() -> None:
    headers = {"x-aws-parameters-secrets-token": "tökén"}
    asked = Question.of(Request("GET", "/", headers))
    assert has_token(asked, {"AWS_SESSION_TOKEN": "tökén"})
    assert not has_token(asked, {"AWS_SESSION_TOKEN": "other"})
    assert not has_token(question("/"), {"AWS_SESSION_TOKEN": ""})
    assert not has_token(question("/"), {})


FLAGS = json.dumps({"new": {"enabled": True, "color": "red"}, "old": {"enabled": False}}).encode()


def test_one_flag_is_its_attributes_and_several_are_named() -> None:
    assert json.loads(flags_of(FLAGS, ["new"]).body) == {"enabled": True, "color": "red"}
    assert json.loads(flags_of(FLAGS, ["old", "new"]).body) == json.loads(FLAGS)


def test_a_flag_that_is_not_there_is_an_error_with_its_name() -> None:
    answer = flags_of(FLAGS, ["old", "blue"])
    assert (answer.status, answer.body) == (404, b"the configuration has no flag blue")
    assert flags_of(b"a: 1", ["a"]).status == 400
    assert flags_of(b"[1]", ["a"]).status == 400


def test_clients_know_the_workers_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's profile, keys and endpoints must not reach a handler's requests."""
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:2")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "DEVELOPER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "DEVELOPER")
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    keys = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ROLE", "AWS_SECRET_ACCESS_KEY": "s"}

    client = WorkerClients(keys).client("ssm")
    assert client.meta.endpoint_url == "https://ssm.eu-west-1.amazonaws.com"
    assert client._get_credentials().access_key == "ROLE"
    without = WorkerClients({"AWS_REGION": "eu-west-1"}).client("ssm")
    assert without._get_credentials().access_key == ""


def test_the_workers_own_endpoint_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    keys = {"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:4"}
    special = {**keys, "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:5"}
    ignored = {**keys, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    urls = [
        WorkerClients(environment).client("secretsmanager").meta.endpoint_url
        for environment in (keys, special, ignored)
    ]
    assert urls == [
        "http://127.0.0.1:4",
        "http://127.0.0.1:5",
        "https://secretsmanager.eu-west-1.amazonaws.com",
    ]
