import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from terralive_stub.protocol.token import function_key
from terralive_stub.shared.json_documents import Json, as_object, items, section
from terralive_terraform.artifacts import STUB_HANDLER, StubCoordinates, StubObject
from terralive_terraform.discovery.declared import declared_function
from terralive_terraform.image_stub import ImageStub
from terralive_terraform.substitution.marker import is_stub
from terralive_terraform.substitution.rules import (
    ByApi,
    LiveSettings,
    NotLive,
    Substitution,
    override_document,
    substitute,
)

ADDRESS = "aws_lambda_function.api"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:api"
SECRET = bytes(range(32))
LIVE = LiveSettings(Path("/stage/stub.zip"), "aGFzaA==")
ZIP: dict[str, Json] = {
    "function_name": "api",
    "handler": "app.handler",
    "runtime": "python3.12",
    "filename": "a.zip",
}


def live(block: dict[str, Json]) -> Substitution:
    decision = substitute(declared_function(ADDRESS, block), LIVE)
    assert isinstance(decision, Substitution)
    return decision


def test_a_zip_function_gets_the_stub_and_keeps_the_rest() -> None:
    decision = live({**ZIP, "memory_size": 512, "environment": {"variables": {"A": "1"}}})
    assert decision.set == {
        "filename": "/stage/stub.zip",
        "source_code_hash": "aGFzaA==",
        "handler": "terralive_stub.live.handler",
        "runtime": "python3.13",
        "package_type": "Zip",
    }
    assert decision.unset == ()
    assert decision.removed_blocks == ()


def test_the_stub_is_told_by_its_handler_that_callers_take_streamed_responses() -> None:
    function = replace(declared_function(ADDRESS, ZIP), streams=True)
    decision = substitute(function, LIVE)
    assert isinstance(decision, Substitution)
    assert decision.set["handler"] == "terralive_stub.live.streaming_handler"
    assert is_stub("terralive_stub.live.streaming_handler", "")


IN_S3 = replace(LIVE, stub_object=StubObject("stubs", "stub/6f.zip"))


@pytest.mark.parametrize(
    ("own", "unset"),
    [
        ({"filename": "a.zip"}, ("filename",)),
        ({"s3_bucket": "b", "s3_key": "k", "s3_object_version": "1"}, ("s3_object_version",)),
        ({"filename": "${var.file}", "s3_key": "${var.key}"}, ("filename",)),
    ],
    ids=["from a file", "from S3", "from either"],
)
def test_a_zip_function_gets_the_stub_from_the_debug_stacks_bucket(
    own: dict[str, Json], unset: tuple[str, ...]
) -> None:
    decision = substitute(declared_function(ADDRESS, own), IN_S3)
    assert isinstance(decision, Substitution)
    assert decision.set == {
        "s3_bucket": "stubs",
        "s3_key": "stub/6f.zip",
        "source_code_hash": "aGFzaA==",
        "handler": "terralive_stub.live.handler",
        "runtime": "python3.13",
        "package_type": "Zip",
    }
    assert decision.unset == unset


def test_a_function_that_cannot_get_it_from_there_gets_a_file() -> None:
    function = declared_function(ADDRESS, {**ZIP, "s3_key": "${var.key}"})
    elsewhere = replace(IN_S3, by_file=(ADDRESS,))
    assert substitute(function, elsewhere) == substitute(function, LIVE)
    others = replace(IN_S3, by_file=("aws_lambda_function.other",))
    assert substitute(function, others) == substitute(function, IN_S3)


@pytest.mark.parametrize(
    "block", [ZIP, {"image_uri": "a", "package_type": "Image", "function_name": "api"}]
)
def test_the_description_of_a_live_function_says_for_which_stage(block: dict[str, Json]) -> None:
    settings = replace(WITH_IMAGES, description="Live for orders/dev-ana")
    decision = substitute(declared_function(ADDRESS, {**block, "description": "own"}), settings)
    assert isinstance(decision, Substitution)
    assert decision.set["description"] == "Live for orders/dev-ana"


@pytest.mark.parametrize(
    ("for_each", "removed"),
    [("${var.snap_start ? [1] : []}", ("snap_start",)), ([1], ("snap_start",)), ([], ())],
    ids=["may be made", "is made", "is not made"],
)
def test_a_block_that_is_made_dynamically_goes_too(
    for_each: Json, removed: tuple[str, ...]
) -> None:
    dynamic: Json = {"for_each": for_each, "content": {}}
    assert live({**ZIP, "dynamic": [{"snap_start": dynamic}]}).removed_blocks == removed
    assert live({**ZIP, "dynamic": {"snap_start": [dynamic]}}).removed_blocks == removed


@pytest.mark.parametrize("block", ["durable_config", "capacity_provider_config"])
@pytest.mark.parametrize(
    ("for_each", "decision"),
    [([1], NotLive), ("${var.unknown}", Substitution), ([], Substitution)],
    ids=["set", "only Terraform knows", "not set"],
)
def test_only_what_certainly_is_set_keeps_a_function_from_being_live(
    block: str, for_each: Json, decision: type
) -> None:
    """Registry modules have all blocks, and variables that leave them out."""
    made: Json = [{block: {"for_each": for_each, "content": {}}}]
    function = declared_function(ADDRESS, {**ZIP, "dynamic": made})
    assert isinstance(substitute(function, LIVE), decision)


def test_the_stub_is_what_the_program_has_defined_with_the_code_of_the_stage() -> None:
    defined: dict[str, Json] = {
        "set": {"handler": STUB_HANDLER, "runtime": "python3.14", "package_type": "Zip"},
        "unset": ["s3_key", "layers"],
        "removed_blocks": ["snap_start"],
    }
    noted: dict[str, Json] = {"terralive": {"stub": defined}}

    found = live({"handler": "app.handler", "runtime": "python3.12", "//": noted})

    assert found.set["runtime"] == "python3.14"
    assert found.set["source_code_hash"] == "aGFzaA=="
    assert (found.unset, found.removed_blocks) == (("s3_key", "layers"), ("snap_start",))


def test_code_from_s3_gives_way() -> None:
    assert live({"s3_bucket": "b", "s3_key": "k", "s3_object_version": "1"}).unset == (
        "s3_bucket",
        "s3_key",
        "s3_object_version",
    )


def test_a_hash_that_is_of_the_teams_code_gives_way() -> None:
    assert live({**ZIP, "code_sha256": "x"}).unset == ("code_sha256",)


def test_a_function_that_may_be_an_image_is_made_live_without_its_image() -> None:
    """Registry modules name everything and leave it null.

    Only Terraform knows, and a replacement is stopped there.
    """
    block: dict[str, Json] = {
        "package_type": "${var.package_type}",
        "image_uri": "${var.image_uri}",
    }
    decision = live({**block, "image_config": [{"command": ["a"]}]})
    assert decision.unset == ("image_uri",)
    assert decision.removed_blocks == ("image_config",)


def test_layers_go_unless_a_wrapper_lives_in_one() -> None:
    layers: dict[str, Json] = {"layers": ["arn:1"]}
    assert live({**ZIP, **layers}).unset == ("layers",)
    wrapped: dict[str, Json] = {
        "environment": [{"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}}]
    }
    assert live({**ZIP, **layers, **wrapped}).unset == ()


@pytest.mark.parametrize(
    "environment",
    [
        {"environment": [{"variables": '${merge(var.common, { LEVEL = "info" })}'}]},
        {"environment": {"variables": "${var.variables}"}},
        {"environment": [{"variables": {"${var.name}": "x", "LEVEL": "info"}}]},
        {"environment": [{"variables": {"(local.name)": "x"}}]},
        {"dynamic": [{"environment": {"for_each": "${var.x}", "content": [{"variables": {}}]}}]},
        {"dynamic": {"environment": {"for_each": [1], "content": {"variables": "${var.x}"}}}},
    ],
)
def test_layers_stay_where_only_terraform_knows_whether_there_is_a_wrapper(
    environment: dict[str, Json],
) -> None:
    assert live({**ZIP, "layers": ["arn:1"], **environment}).unset == ()


@pytest.mark.parametrize(
    "environment",
    [
        {"environment": []},
        {"environment": [{}]},
        {"environment": [{"variables": {"LEVEL": "${var.level}", "a_1": "x"}}]},
        {"dynamic": [{"tracing_config": {"for_each": [], "content": [{}]}}]},
    ],
)
def test_layers_go_where_no_wrapper_can_be(environment: dict[str, Json]) -> None:
    assert live({**ZIP, "layers": ["arn:1"], **environment}).unset == ("layers",)


@pytest.mark.parametrize(
    ("runtime", "stubs"),
    [
        ("python3.12", "python3.12"),
        ("python3.9", "python3.13"),
        ("nodejs22.x", "python3.13"),
        ("${var.runtime}", "python3.13"),
    ],
)
def test_layers_that_stay_keep_the_python_that_they_are_built_for(runtime: str, stubs: str) -> None:
    block = {**ZIP, "runtime": runtime}
    wrapper: Json = [{"variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-instrument"}}]
    kept = live({**block, "layers": ["arn:1"], "environment": wrapper})
    assert kept.set["runtime"] == stubs
    assert live({**block, "layers": ["arn:1"]}).set["runtime"] == "python3.13"
    assert live({**block, "environment": wrapper}).set["runtime"] == "python3.13"


IMAGE: dict[str, Json] = {"function_name": "api", "package_type": "Image", "image_uri": "x:1"}
WITH_IMAGES = replace(
    LIVE,
    image_stub=ImageStub(
        images={"x86_64": "stub:v2"},
        coordinates=StubCoordinates("wss://x", "a", "dev", SECRET),
        arn_prefix=ARN.removesuffix("api"),
    ),
)


def test_an_image_gets_the_stubs_image_and_nothing_of_a_zip() -> None:
    config: Json = {"entry_point": ["/run"], "command": ["app.handler"]}
    block: dict[str, Json] = {**IMAGE, "image_config": config, "source_code_hash": "sha256:1"}
    decision = substitute(declared_function(ADDRESS, block), WITH_IMAGES)
    assert isinstance(decision, Substitution)
    key = function_key(SECRET, ARN).hex()
    document = override_document({ADDRESS: decision})
    # Terraform's state will hold it: the key of one function, and never the secret.
    assert SECRET.hex() not in json.dumps(document)
    assert document == {
        "resource": {
            "aws_lambda_function": {
                "api": {
                    "image_uri": "stub:v2",
                    "source_code_hash": None,
                    "image_config": [{"command": ["v2", "wss://x", "a", "dev", key]}],
                }
            }
        }
    }


COMPUTED: dict[str, dict[str, Json]] = {
    "a computed name": {"function_name": "${var.prefix}-api"},
    "another provider": {"provider": "${aws.eu}"},
    "count": {"function_name": "api-${count.index}", "count": 2},
    "for_each": {"function_name": "api-${each.key}", "for_each": "${var.names}"},
}


@pytest.mark.parametrize("more", COMPUTED.values(), ids=COMPUTED)
def test_an_image_whose_arn_is_not_known_before_the_plan_stays_and_says_why(
    more: dict[str, Json],
) -> None:
    decision = substitute(declared_function(ADDRESS, {**IMAGE, **more}), WITH_IMAGES)
    assert isinstance(decision, NotLive)
    assert "its ARN, which is not known before the plan" in decision.reason


def with_arns(**arns: str) -> LiveSettings:
    """Return settings for a state that has these functions."""
    assert WITH_IMAGES.image_stub is not None
    return replace(WITH_IMAGES, image_stub=replace(WITH_IMAGES.image_stub, arns=arns))


def command(more: dict[str, Json], live: LiveSettings) -> list[Json]:
    decision = substitute(declared_function(ADDRESS, {**IMAGE, **more}), live)
    assert isinstance(decision, Substitution)
    (config,) = items(decision.blocks, "image_config")
    return items(as_object(config), "command")


def test_a_deployed_image_gets_the_key_of_the_arn_that_the_state_has() -> None:
    arn = ARN.replace("123456789012", "999999999999").replace(":api", ":orders-api")
    for more in (COMPUTED["a computed name"], COMPUTED["another provider"], {}):
        *common, key = command(more, with_arns(**{ADDRESS: arn}))
        assert common == ["v2", "wss://x", "a", "dev"]
        assert key == function_key(SECRET, arn).hex()


@pytest.mark.parametrize(
    ("more", "names", "index"),
    [
        (COMPUTED["for_each"], {'["eu"]': "eu", '["${x}"]': "${x}"}, "each.key"),
        (COMPUTED["count"], {"[0]": "0", "[1]": "1"}, "tostring(count.index)"),
    ],
    ids=["for_each", "count"],
)
def test_each_instance_of_an_image_looks_up_a_key_of_its_own(
    more: dict[str, Json], names: dict[str, str], index: str
) -> None:
    arns = {f"{ADDRESS}{key}": f"{ARN}-{name}" for key, name in names.items()}
    other = {"module.m.aws_lambda_function.api": f"{ARN}-of another function"}
    *_, key = command(more, with_arns(**arns, **other))
    assert isinstance(key, str)
    table = key.removeprefix("${lookup(").removesuffix(f', {index}, "")}}')
    found = json.loads(table)
    assert set(found.values()) == {
        function_key(SECRET, f"{ARN}-{name}").hex() for name in names.values()
    }
    assert not re.search(r"(?<!\$)\$\{", table), "Terraform would take a key for an expression"


ABROAD = "arn:aws:lambda:ap-south-1:123456789012:function:api"


def test_an_image_in_another_region_stays_and_says_why() -> None:
    decision = substitute(declared_function(ADDRESS, IMAGE), with_arns(**{ADDRESS: ABROAD}))
    assert isinstance(decision, NotLive)
    assert "in another region than the stage" in decision.reason
    assert "{region} in [stub_image]" in decision.reason


def test_an_image_in_another_region_gets_the_teams_own_image_there() -> None:
    live = with_arns(**{ADDRESS: ABROAD})
    assert live.image_stub is not None
    images = {"x86_64": "1.dkr.ecr.{region}.amazonaws.com/terralive-stub:v2"}
    live = replace(live, image_stub=replace(live.image_stub, elsewhere=images))
    decision = substitute(declared_function(ADDRESS, IMAGE), live)
    assert isinstance(decision, Substitution)
    image = "1.dkr.ecr.ap-south-1.amazonaws.com/terralive-stub:v2"
    assert decision.set["image_uri"] == image
    assert command({}, live)[-1] == function_key(SECRET, ABROAD).hex()
    at_home = substitute(declared_function("aws_lambda_function.other", IMAGE), live)
    assert isinstance(at_home, Substitution)
    assert at_home.set["image_uri"] == "stub:v2"


def test_an_image_with_instances_in_several_regions_stays_and_says_why() -> None:
    arns = {f'{ADDRESS}["a"]': ARN, f'{ADDRESS}["b"]': ABROAD}
    function = declared_function(ADDRESS, {**IMAGE, "for_each": "${var.regions}"})
    decision = substitute(function, with_arns(**arns))
    assert isinstance(decision, NotLive)
    assert "instances are in several regions" in decision.reason


IN_MODULE = f"module.m.{ADDRESS}"


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("${var.prefix}-api", '"${var.prefix}-api"'),
        ('${join("-", [var.a, "api"])}', '"${join("-", [var.a, "api"])}"'),
        ("${var.long ? var.a : var.b}${each.key}", '"${var.long ? var.a : var.b}${each.key}"'),
    ],
)
def test_each_instance_of_a_module_looks_up_the_key_of_its_image_by_the_functions_name(
    name: str, expression: str
) -> None:
    arns = {
        'module.m["a"].aws_lambda_function.api': f"{ARN}-one",
        'module.m["b"].aws_lambda_function.api': f"{ARN}-two",
    }
    function = declared_function(IN_MODULE, {**IMAGE, "function_name": name})
    decision = substitute(replace(function, module_repeated=True), with_arns(**arns))
    assert isinstance(decision, Substitution)
    (config,) = items(decision.blocks, "image_config")
    *_, key = items(as_object(config), "command")
    assert isinstance(key, str)
    table = key.removeprefix("${lookup(").removesuffix(f', {expression}, "")}}')
    assert json.loads(table) == {
        "api-one": function_key(SECRET, f"{ARN}-one").hex(),
        "api-two": function_key(SECRET, f"{ARN}-two").hex(),
    }


@pytest.mark.parametrize("name", ["", 'a"b', "${var.a", "a\nb"])
def test_an_image_in_a_repeated_module_whose_name_cannot_be_read_stays_and_says_why(
    name: str,
) -> None:
    function = declared_function(IN_MODULE, {**IMAGE, "function_name": name})
    arns = {'module.m["a"].aws_lambda_function.api': ARN}
    decision = substitute(replace(function, module_repeated=True), with_arns(**arns))
    assert isinstance(decision, NotLive)
    assert "in a module with count or for_each" in decision.reason
    assert "cannot be read" in decision.reason


@pytest.mark.parametrize(
    ("architectures", "word"),
    [(["arm64"], "image for arm64"), ("${var.a}", "only Terraform knows")],
)
def test_an_image_for_an_architecture_without_a_stub_stays_and_says_why(
    architectures: Json, word: str
) -> None:
    decision = substitute(
        declared_function(ADDRESS, {**IMAGE, "architectures": architectures}), WITH_IMAGES
    )
    assert isinstance(decision, NotLive)
    assert word in decision.reason
    assert "x86_64 only" in decision.reason


@pytest.mark.parametrize(
    ("config", "handler"),
    [
        ({"command": ["app.handler"]}, "app.handler"),
        ({"command": ["app.handler", "more"]}, None),
        ({"command": ["${var.handler}"]}, None),
        ({"entry_point": ["/run"]}, None),
    ],
)
def test_an_images_only_word_of_command_is_its_handler(config: Json, handler: str | None) -> None:
    assert declared_function(ADDRESS, {**IMAGE, "image_config": config}).handler == handler


@pytest.mark.parametrize(
    ("block", "word"),
    [
        ({"code_signing_config_arn": "arn"}, "signed"),
        ({"code_signing_config_arn": "${aws_lambda_code_signing_config.ours.arn}"}, "signed"),
        ({"durable_config": [{}]}, "durable"),
        ({"package_type": "Image", "image_uri": "x"}, "container image"),
        ({"image_uri": "x"}, "container image"),
        (
            {"runtime": "java21", "lifecycle": {"ignore_changes": ["filename", "tags"]}},
            "ignores changes of filename",
        ),
        (
            {"runtime": "python3.10", "lifecycle": {"ignore_changes": "all"}},
            "its runtime is python3.10",
        ),
        (
            {"runtime": "${var.runtime}", "lifecycle": {"ignore_changes": "all"}},
            "only Terraform knows its runtime",
        ),
        (
            {"runtime": "nodejs22.x", "lifecycle": {"ignore_changes": "all"}},
            "of Node.js where changes of the runtime are not ignored",
        ),
        (
            {"runtime": "java21", "lifecycle": {"ignore_changes": "all"}},
            "Remove that from ignore_changes",
        ),
    ],
)
def test_what_could_not_be_put_back_is_refused_with_its_reason(
    block: dict[str, Json], word: str
) -> None:
    decision = substitute(declared_function(ADDRESS, {**ZIP, **block}), LIVE)
    assert isinstance(decision, NotLive)
    assert decision.address == ADDRESS
    assert word in decision.reason


@pytest.mark.parametrize(
    ("lifecycle", "ignored"),
    [
        ({"ignore_changes": ["filename", "tags"]}, ("filename",)),
        ([{"ignore_changes": ["${source_code_hash}", "handler"]}], ("handler", "source_code_hash")),
        ({"ignore_changes": ["image_config[0].command"]}, ("image_config",)),
        ({"ignore_changes": "all"}, ("all",)),
    ],
)
def test_lambdas_api_makes_python_functions_live_whose_code_terraform_ignores(
    lifecycle: Json, ignored: tuple[str, ...]
) -> None:
    block: dict[str, Json] = {**ZIP, "runtime": "python3.12", "lifecycle": lifecycle}
    assert substitute(declared_function(ADDRESS, block), LIVE) == ByApi(ignored)


def test_lambdas_api_makes_functions_of_node_live_whose_runtime_terraform_sets_back() -> None:
    lifecycle: Json = {"ignore_changes": ["filename"]}
    block: dict[str, Json] = {**ZIP, "runtime": "nodejs22.x", "lifecycle": lifecycle}
    assert substitute(declared_function(ADDRESS, block), LIVE) == ByApi(("filename",))


def test_what_no_stub_replaces_may_be_ignored() -> None:
    ignored: Json = ["tags", "timeout", "environment"]
    block: dict[str, Json] = {**ZIP, "lifecycle": {"ignore_changes": ignored}}
    assert isinstance(substitute(declared_function(ADDRESS, block), LIVE), Substitution)


def test_a_registry_module_that_passes_code_signing_on_as_a_variable_is_live() -> None:
    assert live({**ZIP, "code_signing_config_arn": "${var.code_signing_config_arn}"}).set


def test_ignoring_tags_alone_is_no_hindrance() -> None:
    live({**ZIP, "lifecycle": {"ignore_changes": ["tags"]}})


@pytest.mark.parametrize("more", [{}, {"count": 2}, {"for_each": "${toset([])}"}])
def test_no_role_and_no_policy_is_touched(more: dict[str, Json]) -> None:
    document = override_document(
        {ADDRESS: live({**ZIP, "role": "${data.aws_iam_role.x.arn}", **more})}
    )
    assert list(section(document, "resource")) == ["aws_lambda_function"]
    assert "role" not in json.dumps(document)


def test_the_override_file_unsets_and_removes_as_terraform_understands_it() -> None:
    image: dict[str, Json] = {
        "package_type": "${var.type}",
        "image_uri": "${var.image}",
        "image_config": {"command": ["a"]},
    }
    wanted = {ADDRESS: live(image)}
    document = json.loads(json.dumps(override_document(wanted)))
    function = document["resource"]["aws_lambda_function"]["api"]
    assert function["image_uri"] is None
    assert function["dynamic"] == {"image_config": {"for_each": [], "content": {}}}
    assert "environment" not in function
    assert "depends_on" not in function
    assert list(document["resource"]) == [
        "aws_lambda_function"
    ]  # an override file cannot add a resource


def test_nothing_live_is_no_override() -> None:
    assert override_document({}) == {}


def test_what_is_excluded_stays_as_it_is() -> None:
    facts = declared_function("module.a.aws_lambda_function.api", {"function_name": "orders-api"})

    def selects(*exclude: str) -> bool:
        return LiveSettings(Path("z"), "h", exclude).selects(facts)

    assert selects()
    assert selects("billing-*")
    assert not selects("orders-*")
    assert not selects("module.a.*")
    assert not selects("orders-api")


def test_two_checkouts_write_the_same_path_of_the_stub() -> None:
    names = {
        str(
            LiveSettings(Path(home) / "app/.terralive/stub.zip", "h")
            .seen_from(Path(home) / "app/infra")
            .stub_zip
        )
        for home in ("/home/ana", "/ci/builds/7")
    }
    assert names == {"../.terralive/stub.zip"}


def test_a_computed_handler_is_unknown_rather_than_wrong() -> None:
    assert declared_function(ADDRESS, {"handler": "${var.module}.handler"}).handler is None
