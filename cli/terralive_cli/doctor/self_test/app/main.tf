# The app of `terralive doctor --self-test`: a function that returns its event, and a function that
# invokes the first one with the permissions of its role. Neither may write logs, so that no log
# group stays after the destroy.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "name" {
  type = string
}

variable "runtime" {
  type = string
}

variable "role_path" {
  type = string
}

variable "permissions_boundary" {
  type = string
}

variable "tags" {
  type = map(string)
}

provider "aws" {}

resource "aws_iam_role" "echo" {
  name                 = "${var.name}-echo"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role" "call" {
  name                 = "${var.name}-call"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
  assume_role_policy   = aws_iam_role.echo.assume_role_policy
}

resource "aws_iam_role_policy" "call" {
  name = "invoke"
  role = aws_iam_role.call.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.echo.arn
    }]
  })
}

resource "aws_lambda_function" "echo" {
  function_name = "${var.name}-echo"
  role          = aws_iam_role.echo.arn
  runtime       = var.runtime
  handler       = "selftest.echo"
  timeout       = 60
  filename      = "${path.module}/code.zip"
  tags          = var.tags
}

resource "aws_lambda_function" "call" {
  function_name = "${var.name}-call"
  role          = aws_iam_role.call.arn
  runtime       = var.runtime
  handler       = "selftest.call"
  timeout       = 60
  filename      = "${path.module}/code.zip"
  tags          = var.tags

  environment {
    variables = {
      ECHO = aws_lambda_function.echo.function_name
    }
  }
}
