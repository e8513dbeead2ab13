# Every resource type that the sandbox means to serve, a file an area, applied together by test_sandbox_everything.py.
# Each name carries local.suffix, so that the test can ask whether anything is left; var.revision changes attributes.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

provider "aws" {}

variable "suffix" {
  type = string
}

variable "revision" {
  type    = number
  default = 1
}

locals {
  suffix              = var.suffix
  zip                 = "${path.module}/echo.zip" # app.handler returns its event; made by the test
  function_arn        = aws_lambda_function.echo.arn
  function_invoke_arn = aws_lambda_function.echo.invoke_arn
  function_name       = aws_lambda_function.echo.function_name
  role_arn            = aws_iam_role.shared.arn
}

resource "aws_iam_role" "shared" {
  name = "shared-${local.suffix}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = "sts:AssumeRole"
      Principal = {
        Service = [
          "lambda.amazonaws.com", "apigateway.amazonaws.com", "events.amazonaws.com", "scheduler.amazonaws.com",
          "states.amazonaws.com",
        ]
      }
    }]
  })
}

# Lambda asks for these when a dead-letter queue, a destination or an event source mapping is made.
resource "aws_iam_role_policy" "shared" {
  name = "shared"
  role = aws_iam_role.shared.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow", Action = ["sqs:*", "sns:*", "dynamodb:*", "logs:*", "lambda:InvokeFunction"], Resource = "*"
  }] })
}

resource "aws_lambda_function" "echo" {
  function_name    = "echo-${local.suffix}"
  role             = aws_iam_role.shared.arn
  filename         = local.zip
  source_code_hash = filebase64sha256(local.zip)
  handler          = "app.handler"
  runtime          = "python3.12"
  depends_on       = [aws_iam_role_policy.shared]
}
