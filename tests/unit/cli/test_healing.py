"""The code that goes back to a function, as Terraform's state names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from terralive_cli.restoring.by_api import NotPutBackError
from terralive_cli.restoring.healing import code_arguments
from terralive_terraform.output.state import Package


def test_a_zip_is_read_relative_to_the_folder_of_terraform(tmp_path: Path) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "api.zip").write_bytes(b"zip")
    package = Package(filename="dist/api.zip", architectures=("arm64",))
    expected = {"ZipFile": b"zip", "Architectures": ["arm64"]}
    assert code_arguments(package, tmp_path) == expected
    absolute = Package(filename=str(tmp_path / "dist" / "api.zip"))
    assert code_arguments(absolute, Path("elsewhere")) == {"ZipFile": b"zip"}


def test_an_object_of_s3_and_an_image_are_named(tmp_path: Path) -> None:
    package = Package(bucket="artifacts", key="api.zip", object_version="7", kms_key="arn:k")
    assert code_arguments(package, tmp_path) == {
        "S3Bucket": "artifacts",
        "S3Key": "api.zip",
        "S3ObjectVersion": "7",
        "SourceKMSKeyArn": "arn:k",
    }
    assert code_arguments(Package(image="acme/mail:1"), tmp_path) == {"ImageUri": "acme/mail:1"}


def test_a_zip_that_is_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotPutBackError, match=r"dist/api.zip cannot be read .* build it first"):
        code_arguments(Package(filename="dist/api.zip"), tmp_path)
    with pytest.raises(NotPutBackError, match="does not name its code"):
        code_arguments(Package(), tmp_path)
