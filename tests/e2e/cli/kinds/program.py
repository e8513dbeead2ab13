"""The functions of main.tf, with assets and container images, as a program for CDK for Terraform.

    python program.py PACKAGE [attach]

PACKAGE is `cdktf` or its fork `cdktn`. With `attach`, the program attaches terralive's Aspect.
"""

import importlib
import json
import sys
from pathlib import Path

cdk = importlib.import_module(sys.argv[1])
HERE = Path(__file__).resolve().parent
CODE = HERE / "code"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/picture:1"
app = cdk.App()
stack = cdk.TerraformStack(app, "kinds")


def block(kind, label, values, of=cdk.TerraformResource):
    made = of(stack, label, terraform_resource_type=kind)
    for name, value in values.items():
        made.add_override(name, value)


def archive(label, of=cdk.TerraformDataSource, **values):
    # Constructs of one stack have different names, whatever their types are.
    label = f"{label}_zip"
    output = str(HERE / "build" / f"{label}.zip")
    block("archive_file", label, {"type": "zip", "output_path": output, **values}, of)
    prefix = ""
    if of is cdk.TerraformDataSource:
        prefix = "data."
    return f"${{{prefix}archive_file.{label}.output_path}}"


def function(label, kind="", **values):
    kind = kind or label
    common = {
        "function_name": f"kinds-{kind}",
        "role": ROLE,
        "environment": {"variables": {"KIND": kind}},
    }
    if "image_uri" not in values:
        common |= {"runtime": "python3.13", "handler": "app.handler"}
    block("aws_lambda_function", label, {**common, **values})


def module(label, folder, each=(), **variables):
    made = cdk.TerraformHclModule(
        stack,
        label,
        # The folder before // is what a module may refer to.
        source=f"{HERE}/modules//{folder}",
        variables={"role": ROLE, **variables},
    )
    if each:
        made.add_override("for_each", f"${{toset({json.dumps(each)})}}")


for name in ("archive", "aws", "null"):
    cdk.TerraformProvider(
        stack, name, terraform_resource_type=name, terraform_provider_source=f"hashicorp/{name}"
    )
trust = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "lambda.amazonaws.com"},
}
document = {"Version": "2012-10-17", "Statement": [trust]}
block(
    "aws_iam_role",
    "functions",
    {"name": "kinds", "assume_role_policy": cdk.Fn.jsonencode(document)},
)
ROLE = "${aws_iam_role.functions.arn}"

# archive_file in each form.
function("folder", filename=archive("folder", source_dir=str(CODE / "folder")))
single = archive("file", source_file=str(CODE / "file" / "single.py"))
function("file", handler="single.handler", filename=single, publish=True)
block(
    "aws_lambda_alias",
    "live",
    {
        "name": "live",
        "function_name": "${aws_lambda_function.file.function_name}",
        "function_version": "${aws_lambda_function.file.version}",
    },
)
sources = [
    {"content": f'${{file("{CODE}/blocks/{name}")}}', "filename": name}
    for name in ("app.py", "helper.py")
]
function("blocks", filename=archive("blocks", source=sources))
managed = archive("managed", cdk.TerraformResource, source_dir=str(CODE / "managed"))
function("managed", filename=managed)
block("aws_s3_bucket", "code", {"bucket": "kinds-code", "force_destroy": True})
object_ = {"bucket": "${aws_s3_bucket.code.id}", "key": "s3.zip"}
block("aws_s3_object", "s3_object", {**object_, "source": archive("s3", source_dir=str(CODE / "s3"))})
in_s3 = {"s3_bucket": "${aws_s3_bucket.code.id}"}
function("s3", **in_s3, s3_key="${aws_s3_object.s3_object.key}")

# A zip that a Makefile has built.
function("makefile", filename=str(HERE / "dist" / "makefile.zip"))

# Instances.
zipped = archive("each", source_dir=str(CODE / "each"))
function(
    "each",
    "each-${each.key}",
    for_each='${toset(["first", "second"])}',
    handler="${each.key}.handler",
    filename=zipped,
)
function("counted", "counted-${count.index}", count=2, handler="first.handler", filename=zipped)

# Assets: in a file, in a bucket, in a module.
for name in ("asset", "stored", "passed"):
    asset = cdk.TerraformAsset(
        stack, f"{name}_code", path=str(CODE / "asset"), type=cdk.AssetType.ARCHIVE
    )
    if name == "asset":
        function(name, filename=asset.path, source_code_hash=asset.asset_hash)
    elif name == "stored":
        stored = {"bucket": "${aws_s3_bucket.code.id}", "key": asset.file_name}
        block("aws_s3_object", "stored_object", {**stored, "source": asset.path})
        function(name, **in_s3, s3_key="${aws_s3_object.stored_object.key}")
    else:
        module(name, "zipped", name="kinds-passed", zip=asset.path)

# Modules, with a published version and its alias, and in modules.
module(
    "orders",
    "function",
    name="kinds-orders",
    handler="app.handler",
    source_path=str(CODE / "orders"),
    publish=True,
)
module("group", "group", code=str(CODE))

# Container images, also in a module with for_each.
function("picture", package_type="Image", image_uri=IMAGE)
module("gallery", "image", each=["left", "right"], name="${each.key}", image=IMAGE)

# A layer with a wrapper, which only Terraform knows to be in the environment.
wrapper = archive("wrapper", source_dir=str(HERE / "layers" / "wrapper"), output_file_mode="0755")
block("aws_lambda_layer_version", "wrapper", {"layer_name": "kinds-wrapper", "filename": wrapper})
wrapped = '${merge({ KIND = "wrapped" }, { "AWS_LAMBDA_${upper("exec_wrapper")}" = "/opt/wrap" })}'
function(
    "wrapped",
    layers=["${aws_lambda_layer_version.wrapper.arn}"],
    filename=archive("wrapped", source_dir=str(CODE / "wrapped")),
    environment={"variables": wrapped},
)

if "attach" in sys.argv:
    from terralive_terraform.live import attach

    attach(app)
app.synth()
