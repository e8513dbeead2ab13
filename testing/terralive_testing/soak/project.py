"""The app under soak, in plain Terraform: functions, and a queue as destination of their events."""

from __future__ import annotations

import zipfile
from pathlib import Path

from terralive_testing.soak import handler, streaming

TIMEOUT_SECONDS = 20
PREFIX = "soak-"
STREAM_PREFIX = "soak-stream-"

_MAIN = """
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}

provider "aws" {{}}

resource "aws_iam_role" "soak" {{
  name = "soak"
  assume_role_policy = jsonencode({{
    Version   = "2012-10-17"
    Statement = [{{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = {{ Service = "lambda.amazonaws.com" }}
    }}]
  }})
}}

resource "aws_iam_role_policy" "told" {{
  role   = aws_iam_role.soak.id
  policy = jsonencode({{
    Version   = "2012-10-17"
    Statement = [{{
      Effect   = "Allow"
      Action   = "sqs:SendMessage"
      Resource = aws_sqs_queue.told.arn
    }}]
  }})
}}

resource "aws_sqs_queue" "told" {{
  name = "soak-told"
}}

resource "aws_lambda_function" "soak" {{
  count            = {functions}
  function_name    = "{prefix}${{count.index}}"
  role             = aws_iam_role.soak.arn
  runtime          = "python3.12"
  handler          = "app.handler"
  timeout          = {timeout}
  filename         = "${{path.module}}/code.zip"
  source_code_hash = filebase64sha256("${{path.module}}/code.zip")
  environment {{
    variables = {{ SOAK_LEDGER = "{ledger}" }}
  }}
}}

resource "aws_lambda_function" "stream" {{
  count            = {streams}
  function_name    = "{stream_prefix}${{count.index}}"
  role             = aws_iam_role.soak.arn
  runtime          = "provided.al2023"
  handler          = "stream"
  timeout          = {timeout}
  filename         = "${{path.module}}/code.zip"
  source_code_hash = filebase64sha256("${{path.module}}/code.zip")
  environment {{
    variables = {{ SOAK_LEDGER = "{ledger}" }}
  }}
}}

resource "aws_lambda_function_event_invoke_config" "soak" {{
  count         = {functions}
  function_name = aws_lambda_function.soak[count.index].function_name
  maximum_retry_attempts = 1
  destination_config {{
    on_success {{
      destination = aws_sqs_queue.told.arn
    }}
    on_failure {{
      destination = aws_sqs_queue.told.arn
    }}
  }}
  depends_on = [aws_iam_role_policy.told]
}}

output "told" {{
  value = aws_sqs_queue.told.url
}}
"""

_CONFIGURATION = """
app = "soak"

[functions."aws_lambda_function.soak"]
path = "functions"
handler = "app.handler"

[functions."aws_lambda_function.stream"]
path = "functions"
"""

_BOOTSTRAP = """#!/bin/sh
exec python3 stream.py
"""


def make(root: Path, ledger: Path, functions: int, streams: int) -> None:
    """Write the project into a new folder, and an empty ledger for its handlers.

    Args:
        root: the folder.
        ledger: the file of the ledger.
        functions: the number of functions.
        streams: the number of functions that stream, beside those.
    """
    code = root / "functions"
    code.mkdir(parents=True)
    source = Path(handler.__file__).read_text("utf-8")
    (code / "app.py").write_text(source, "utf-8")
    (code / "stream.py").write_text(Path(streaming.__file__).read_text("utf-8"), "utf-8")
    (code / "bootstrap").write_text(_BOOTSTRAP, "utf-8")
    (code / "bootstrap").chmod(0o755)
    with zipfile.ZipFile(root / "code.zip", "w") as archive:
        for name in ("app.py", "stream.py", "bootstrap"):
            archive.write(code / name, name)
    main = _MAIN.format(
        functions=functions,
        prefix=PREFIX,
        streams=streams,
        stream_prefix=STREAM_PREFIX,
        timeout=TIMEOUT_SECONDS,
        ledger=ledger,
    )
    (root / "main.tf").write_text(main, "utf-8")
    (root / "terralive.toml").write_text(_CONFIGURATION, "utf-8")
    ledger.touch()
