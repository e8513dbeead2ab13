# A module in the style of a registry: every setting is a variable, optional blocks are dynamic.
variable "name" {}
variable "handler" {}
variable "source_path" {}
variable "role" {}

variable "create" {
  default = true
}

variable "publish" {
  default = false
}

variable "subnets" {
  type    = list(string)
  default = null
}

variable "layers" {
  type    = list(string)
  default = null
}

data "archive_file" "code" {
  type        = "zip"
  source_dir  = var.source_path
  output_path = "${path.root}/build/${var.name}.zip"
}

resource "aws_lambda_function" "this" {
  count            = var.create ? 1 : 0
  function_name    = var.name
  role             = var.role
  runtime          = "python3.13"
  handler          = var.handler
  layers           = var.layers
  publish          = var.publish
  filename         = data.archive_file.code.output_path
  source_code_hash = data.archive_file.code.output_base64sha256

  environment {
    variables = { KIND = var.name }
  }

  dynamic "vpc_config" {
    for_each = var.subnets == null ? [] : [true]
    content {
      subnet_ids         = var.subnets
      security_group_ids = []
    }
  }
}

resource "aws_lambda_alias" "live" {
  count            = var.publish ? 1 : 0
  name             = "live"
  function_name    = aws_lambda_function.this[0].function_name
  function_version = aws_lambda_function.this[0].version
}
