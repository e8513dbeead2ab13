# Functions: what terralive's substitution touches, and what teams commonly set beside it.

resource "aws_lambda_function" "full" {
  function_name                  = "full-${local.suffix}"
  description                    = "revision ${var.revision}"
  role                           = local.role_arn
  filename                       = local.zip
  source_code_hash               = filebase64sha256(local.zip)
  handler                        = var.revision == 1 ? "app.handler" : "app.other"
  runtime                        = var.revision == 1 ? "python3.12" : "python3.13"
  architectures                  = [var.revision == 1 ? "arm64" : "x86_64"]
  memory_size                    = 128 * var.revision
  timeout                        = 10 + var.revision
  publish                        = true
  reserved_concurrent_executions = 4 + var.revision
  depends_on                     = [aws_iam_role_policy.shared]
  kms_key_arn                    = aws_kms_key.data.arn
  layers                         = [aws_lambda_layer_version.shared.arn]
  tags                           = { revision = var.revision }

  environment {
    variables = { REVISION = var.revision, TABLE = aws_dynamodb_table.data.name }
  }
  dead_letter_config {
    target_arn = aws_sqs_queue.dead.arn
  }
  ephemeral_storage {
    size = 512 * (1 + var.revision)
  }
  tracing_config {
    mode = var.revision == 1 ? "Active" : "PassThrough"
  }
  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.full.name
  }
  vpc_config {
    subnet_ids         = [aws_subnet.functions.id]
    security_group_ids = var.revision == 1 ? [aws_security_group.functions.id] : [aws_security_group.functions.id, aws_security_group.more.id]
  }
}

# What is not set has Lambda's defaults, also after an update took it away.
resource "aws_lambda_function" "plain" {
  function_name = "plain-${local.suffix}"
  role          = local.role_arn
  filename      = local.zip
  handler       = "app.handler"
  runtime       = "python3.12"
  memory_size   = var.revision == 1 ? 512 : null
  depends_on    = [aws_iam_role_policy.shared]

  reserved_concurrent_executions = var.revision == 1 ? null : 0
  timeout                        = var.revision == 1 ? 20 : null
  description                    = var.revision == 1 ? "goes" : null

  dynamic "environment" {
    for_each = var.revision == 1 ? ["here"] : []
    content {
      variables = { GOES = "soon" }
    }
  }
  dynamic "dead_letter_config" {
    for_each = var.revision == 1 ? ["here"] : []
    content {
      target_arn = aws_sqs_queue.dead.arn
    }
  }
  dynamic "vpc_config" {
    for_each = var.revision == 1 ? ["here"] : []
    content {
      subnet_ids         = [aws_subnet.functions.id]
      security_group_ids = [aws_security_group.functions.id]
    }
  }
  dynamic "tracing_config" {
    for_each = var.revision == 1 ? ["here"] : []
    content {
      mode = "Active"
    }
  }
}

resource "aws_lambda_function" "from_bucket" {
  function_name     = "from-bucket-${local.suffix}"
  role              = local.role_arn
  s3_bucket         = aws_s3_object.code.bucket
  s3_key            = aws_s3_object.code.key
  s3_object_version = aws_s3_object.code.version_id
  handler           = "app.handler"
  runtime           = "python3.12"
}

resource "aws_s3_bucket" "code" {
  bucket        = "code-${local.suffix}"
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "code" {
  bucket = aws_s3_bucket.code.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_object" "code" {
  bucket      = aws_s3_bucket_versioning.code.bucket
  key         = "echo/${var.revision}.zip"
  source      = local.zip
  source_hash = filemd5(local.zip)
}

resource "aws_lambda_layer_version" "shared" {
  layer_name               = "shared-${local.suffix}"
  description              = "revision ${var.revision}"
  filename                 = local.zip
  source_code_hash         = filebase64sha256(local.zip)
  compatible_runtimes      = ["python3.12", "python3.13"]
  compatible_architectures = ["arm64", "x86_64"]
}

resource "aws_lambda_alias" "live" {
  name             = "live"
  description      = "revision ${var.revision}"
  function_name    = aws_lambda_function.full.function_name
  function_version = aws_lambda_function.full.version
}

resource "aws_lambda_alias" "latest" {
  name             = "latest"
  function_name    = local.function_name
  function_version = "$LATEST"
}

resource "aws_lambda_function_event_invoke_config" "full" {
  function_name                = aws_lambda_function.full.function_name
  maximum_event_age_in_seconds = 60 * var.revision
  maximum_retry_attempts       = var.revision - 1
  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead.arn
    }
    on_success {
      destination = aws_sns_topic.data.arn
    }
  }
}

resource "aws_lambda_permission" "sns" {
  statement_id  = "sns"
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.data.arn
}

resource "aws_lambda_permission" "s3" {
  action         = "lambda:InvokeFunction"
  function_name  = local.function_arn
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.code.arn
  source_account = data.aws_caller_identity.me.account_id
}

resource "aws_lambda_permission" "alias" {
  statement_id_prefix = "alias-"
  action              = "lambda:InvokeFunction"
  function_name       = aws_lambda_function.full.function_name
  qualifier           = aws_lambda_alias.live.name
  principal           = "events.amazonaws.com"
}

resource "aws_lambda_permission" "account" {
  statement_id  = "account"
  action        = "lambda:GetFunction"
  function_name = local.function_name
  principal     = data.aws_caller_identity.me.account_id
}

resource "aws_cloudwatch_log_group" "full" {
  name              = "/aws/lambda/full-${local.suffix}"
  retention_in_days = var.revision == 1 ? 7 : 14
  tags              = { revision = var.revision }
}

resource "aws_vpc" "functions" {
  cidr_block = "10.0.0.0/16"
  tags       = { Name = local.suffix, revision = var.revision }
}

resource "aws_subnet" "functions" {
  vpc_id     = aws_vpc.functions.id
  cidr_block = "10.0.1.0/24"
}

resource "aws_security_group" "functions" {
  name        = "functions-${local.suffix}"
  description = "What functions may reach"
  vpc_id      = aws_vpc.functions.id
  egress {
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_security_group" "more" {
  name        = "more-${local.suffix}"
  description = "What functions may reach later"
  vpc_id      = aws_vpc.functions.id
}

data "aws_caller_identity" "me" {}

data "aws_lambda_function" "echo" { # not by local.function_name, which is known before there is a function
  function_name = split(":", local.function_arn)[6]
}

resource "aws_lambda_function_url" "open" {
  function_name      = local.function_name
  authorization_type = "NONE"
  cors {
    allow_credentials = var.revision == 1
    allow_origins     = ["https://example.com"]
    allow_methods     = ["GET", "POST"]
    allow_headers     = ["date", "keep-alive"]
    expose_headers    = ["date"]
    max_age           = 86400 / var.revision
  }
}

resource "aws_lambda_function_url" "signed" {
  function_name      = aws_lambda_function.full.function_name
  qualifier          = aws_lambda_alias.live.name
  authorization_type = "AWS_IAM"
  invoke_mode        = var.revision == 1 ? "BUFFERED" : "RESPONSE_STREAM"
}

resource "aws_lambda_permission" "url" {
  statement_id           = "url"
  action                 = "lambda:InvokeFunctionUrl"
  function_name          = local.function_name
  principal              = "*"
  function_url_auth_type = "NONE"
}

