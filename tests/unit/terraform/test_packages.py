"""The code of deployed functions, as Terraform's state names it."""

from __future__ import annotations

from terralive_stub.shared.json_documents import Json
from terralive_terraform.output.state import Package, deployed_functions


def package(**attributes: Json) -> Package:
    instance: Json = {"attributes": {"function_name": "api", **attributes}}
    resource: Json = {"mode": "managed", "type": "aws_lambda_function", "name": "api"}
    assert isinstance(resource, dict)
    ((_, function),) = deployed_functions({"resources": [{**resource, "instances": [instance]}]})
    return function.package


def test_a_zip_an_object_of_s3_and_an_image() -> None:
    assert package(
        filename="api.zip", architectures=["arm64"], publish=True, s3_bucket=None
    ) == Package(filename="api.zip", architectures=("arm64",), publish=True)
    assert package(
        s3_bucket="code", s3_key="api.zip", s3_object_version="7", source_kms_key_arn="arn:k"
    ) == Package(bucket="code", key="api.zip", object_version="7", kms_key="arn:k")
    assert package(image_uri="acme/mail:1", publish=False) == Package(image="acme/mail:1")
