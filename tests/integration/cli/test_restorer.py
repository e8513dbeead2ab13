"""Functions whose code is a stub's under their own handler, in the sandbox: found and put right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terralive_cli.fallback.published import description
from terralive_cli.output.events import TerraformProgress
from terralive_cli.output.progress import Phase
from terralive_cli.restoring.examination import Examination
from terralive_cli.restoring.originals import Originals
from terralive_cli.restoring.restorer import Restorer
from terralive_relay.events import Event, Warned
from terralive_sandbox.info import SandboxInfo
from terralive_stub.broker.fallbacks import Replaced
from terralive_stub.errors import TerraliveError
from terralive_terraform.artifacts import StubCoordinates, build_stub_zip
from terralive_terraform.output.state import DeployedFunction, Package
from terralive_terraform.substitution.marker import StageName
from terralive_testing.deployers.identities import SandboxAccounts
from terralive_testing.deployers.sandbox import Aws, code, unique

# It is as large as a stub, so that its size tells nothing.
OWN = code('def handler(event, context): return "own"', padding=f"{'#' * 100_000}")
ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
API, JOB = "aws_lambda_function.api", "aws_lambda_function.job"


def _no_upload(_data: bytes) -> dict[str, str]:
    raise AssertionError("a small zip file needs no bucket")


class Functions:
    """Functions of a test, and a restorer for them.

    Attributes:
        aws: the sandbox.
        accounts: the accounts of the restorer.
        events: what it has shown.
        records: what is written down of the stubs.
    """

    def __init__(self, info: SandboxInfo, folder: Path) -> None:
        self.aws = Aws(info)
        self.accounts = SandboxAccounts(info)
        self.events: list[Event] = []
        self.records: list[Replaced] = []
        self.folder = folder
        phase = Phase("restore", lambda *events: self.events.extend(events))
        examination = Examination(self.accounts, (), folder)
        originals = Originals(self.accounts, lambda: self.records, _no_upload)
        self.restorer = Restorer(self.accounts, examination, originals, folder, phase)
        # A stub of another stage, with another secret than any that is known here.
        coordinates = StubCoordinates("wss://gone.example/stub", "other", "dev-ben", bytes(32))
        self.stub = build_stub_zip(coordinates, folder / "stub").path.read_bytes()

    def deployed(self, archive: bytes, package: Package) -> DeployedFunction:
        arn = self.aws.function(archive)
        return DeployedFunction(arn.rpartition(":")[2], arn, package=package)

    def own_zip(self, *, publish: bool = False) -> Package:
        """Write a zip of the function's own code, and name it as a state does."""
        (self.folder / "api.zip").write_bytes(OWN)
        return Package(filename="api.zip", publish=publish)

    def invoke(self, function: DeployedFunction) -> object:
        answer = self.aws.lambda_.invoke(FunctionName=function.arn)
        return json.loads(answer["Payload"].read())

    def notes(self) -> list[str]:
        progress = [event for event in self.events if isinstance(event, TerraformProgress)]
        return [event.message for event in progress if event.action == "note"]

    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


@pytest.fixture
def functions(sandbox: SandboxInfo, tmp_path: Path) -> Functions:
    return Functions(sandbox, tmp_path)


def test_a_zip_goes_back_and_the_code_that_is_right_stays(functions: Functions) -> None:
    package = functions.own_zip()
    broken = functions.deployed(functions.stub, package)
    right = functions.deployed(OWN, package)
    all_functions = {API: broken, JOB: right}

    found = functions.restorer.examine(all_functions)
    assert found.stubs == {API}
    functions.restorer.finish({API: broken})

    assert functions.invoke(broken) == functions.invoke(right) == "own"
    (note,) = functions.notes()
    assert "api still has the stub's code" in note
    assert "api.zip" in note
    assert functions.restorer.examine(all_functions).stubs == frozenset()
    assert functions.warnings() == []


def test_an_object_of_s3_goes_back(functions: Functions) -> None:
    bucket = unique("code")
    functions.aws.s3.create_bucket(Bucket=bucket)
    functions.aws.s3.put_object(Bucket=bucket, Key="api.zip", Body=OWN)
    broken = functions.deployed(functions.stub, Package(bucket=bucket, key="api.zip"))

    functions.restorer.finish({API: broken})

    assert functions.invoke(broken) == "own"


def test_an_image_goes_back(functions: Functions) -> None:
    arn = functions.aws.lambda_.create_function(
        FunctionName=unique("image"),
        PackageType="Image",
        Role=functions.aws.role(),
        Code={"ImageUri": f"{ECR}/terralive-other-dev-ben/terralive-stub:v2-1"},
    )["FunctionArn"]
    broken = DeployedFunction("image", arn, package=Package(image=f"{ECR}/acme/mail:1"))

    assert functions.restorer.examine({API: broken}).stubs == {API}
    functions.restorer.finish({API: broken})

    code_now = functions.aws.lambda_.get_function(FunctionName=arn)["Code"]
    assert code_now["ImageUri"] == f"{ECR}/acme/mail:1"
    assert functions.restorer.examine({API: broken}).stubs == frozenset()


def test_where_nothing_is_wrong_each_function_costs_one_call(functions: Functions) -> None:
    package = functions.own_zip()
    right = {f"{API}[{at}]": functions.deployed(OWN, package) for at in range(3)}

    assert functions.restorer.examine(right).stubs == frozenset()

    assert functions.accounts.calls == ["GetFunction"] * 3


def test_without_the_zip_on_this_machine_the_code_itself_tells(functions: Functions) -> None:
    right = functions.deployed(OWN, functions.own_zip())
    (functions.folder / "api.zip").unlink()

    assert functions.restorer.examine({API: right}).stubs == frozenset()

    assert functions.accounts.calls == ["GetFunction"] * 2
    assert functions.warnings() == []


def test_a_state_that_names_the_stubs_own_zip_is_not_believed(functions: Functions) -> None:
    broken = functions.deployed(functions.stub, Package(filename="stub/stub.zip"))

    assert functions.restorer.examine({API: broken}).stubs == {API}


def test_a_version_is_published_where_the_configuration_publishes(functions: Functions) -> None:
    broken = functions.deployed(functions.stub, functions.own_zip(publish=True))

    finished = functions.restorer.finish({API: broken})

    assert finished.published == {API}
    listed = functions.aws.lambda_.list_versions_by_function(FunctionName=broken.arn)["Versions"]
    (latest, published) = listed
    assert (latest["Version"], published["Version"]) == ("$LATEST", "1")
    assert latest["CodeSha256"] == published["CodeSha256"]


def test_functions_with_the_same_stub_are_looked_into_once(functions: Functions) -> None:
    package = functions.own_zip()
    broken = {f"{API}[{at}]": functions.deployed(functions.stub, package) for at in range(3)}

    assert functions.restorer.examine(broken).stubs == broken.keys()

    assert functions.accounts.calls == ["GetFunction"] * 4


def test_a_function_that_cannot_be_looked_at_is_named_once_and_not_called_restored(
    functions: Functions,
) -> None:
    right = functions.deployed(OWN, functions.own_zip())
    arn = "arn:aws:lambda:us-east-1:999999999999:function:bills"
    elsewhere = {
        "module.bills.aws_lambda_function.this[0]": DeployedFunction("bills", arn),
        "module.bills.aws_lambda_function.this[1]": DeployedFunction("bills2", f"{arn}2"),
    }

    found = functions.restorer.examine({API: right, **elsewhere})

    assert found.unseen.keys() == elsewhere.keys()
    assert found.functions.keys() == {API}
    (warning,) = functions.warnings()
    assert "module.bills.this[0], module.bills.this[1]. No way into 999999999999" in warning


def test_a_function_that_was_deleted_carries_nothing(functions: Functions) -> None:
    gone = functions.deployed(functions.stub, functions.own_zip())
    functions.aws.lambda_.delete_function(FunctionName=gone.arn)

    found = functions.restorer.examine({API: gone})

    assert (found.stubs, dict(found.unseen)) == (frozenset(), {})


def test_what_could_not_be_put_back_is_an_error_by_name_and_the_others_are_put_back(
    functions: Functions,
) -> None:
    healed = functions.deployed(functions.stub, functions.own_zip())
    unbuilt = functions.deployed(functions.stub, Package(filename="dist/job.zip"))

    with pytest.raises(TerraliveError, match="are not restored") as raised:
        functions.restorer.finish({API: healed, JOB: unbuilt})

    assert raised.value.reference == "restore-incomplete"
    assert "job: dist/job.zip cannot be read" in raised.value.message
    assert "api" not in raised.value.message
    assert functions.invoke(healed) == "own"


def test_what_a_stub_has_replaced_goes_back_from_its_version(functions: Functions) -> None:
    """Its configuration and its code go back, whatever is in the working tree."""
    live = functions.deployed(OWN, Package(filename="never/built.zip"))
    lambda_ = functions.aws.lambda_
    version = lambda_.publish_version(FunctionName=live.arn, Description="Takes orders")
    lambda_.update_function_configuration(
        FunctionName=live.arn,
        Handler="terralive_stub.live.handler",
        Description="Live",
        Timeout=900,
    )
    lambda_.update_function_code(FunctionName=live.arn, ZipFile=functions.stub)
    functions.records.append(
        Replaced(live.arn, version["Version"], version["CodeSha256"], made=False)
    )

    examined = functions.restorer.examine({API: live})
    originals = functions.restorer.originals_of(examined.functions, {API: 60})
    reasons = functions.restorer.put_back(originals)
    functions.restorer.finish({API: live}, originals, reasons)

    assert functions.invoke(live) == "own"
    settings = lambda_.get_function_configuration(FunctionName=live.arn)
    described = (settings["Handler"], settings["Description"], settings["Timeout"])
    assert described == ("app.handler", "Takes orders", version["Timeout"])
    assert functions.warnings() == []


def test_a_version_that_is_gone_or_has_other_code_is_named(functions: Functions) -> None:
    live = functions.deployed(functions.stub, functions.own_zip())
    other = functions.deployed(functions.stub, functions.own_zip())
    functions.aws.lambda_.publish_version(FunctionName=other.arn)
    functions.records += [
        Replaced(live.arn, "7", "sum", made=True),
        Replaced(other.arn, "1", "another sum", made=True),
    ]

    assert functions.restorer.originals_of({API: live, JOB: other}, {}) == {}

    (gone, differs) = functions.warnings()
    assert "its version 7 cannot be read" in gone
    assert "its version 1 has other code than the stub has replaced" in differs


def test_what_a_pipeline_deploys_while_the_user_is_asked_stays(functions: Functions) -> None:
    live = functions.deployed(functions.stub, functions.own_zip())
    lambda_ = functions.aws.lambda_
    version = lambda_.publish_version(FunctionName=live.arn)
    functions.records.append(
        Replaced(live.arn, version["Version"], version["CodeSha256"], made=True)
    )
    lambda_.update_function_code(FunctionName=live.arn, ZipFile=code("", other="one = 1"))
    examined = functions.restorer.examine({API: live})
    originals = functions.restorer.originals_of(examined.functions, {})
    lambda_.update_function_code(FunctionName=live.arn, ZipFile=OWN)

    reasons = functions.restorer.put_back(originals)

    assert reasons == {API: "its code has changed since it was looked at; run the command again"}
    assert functions.invoke(live) == "own"


def test_a_description_that_is_too_long_for_the_version_is_not_known(functions: Functions) -> None:
    live = functions.deployed(functions.stub, functions.own_zip())
    version = functions.aws.lambda_.publish_version(
        FunctionName=live.arn, Description=description(StageName("orders", "dev-ana"), "x" * 250)
    )
    functions.records.append(
        Replaced(live.arn, version["Version"], version["CodeSha256"], made=True)
    )

    originals = functions.restorer.originals_of({API: live}, {})

    # The configuration's own one is taken.
    assert originals[API].description is None
