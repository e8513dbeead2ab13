# A module in the style of a registry: every setting is a variable, optional blocks are dynamic.
variable "name" {}
variable "handler" {}
variable "role" {}

# One of these three: the code's folder, a zip, or the bucket and the key of a zip.
variable "source_path" {
  default = null
}

variable "zip" {
  default = null
}

variable "stored" {
  type    = object({ bucket = string, key = string })
  default = null
}

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

variable "variables" {
  type    = map(string)
  default = {}
}

data "archive_file" "code" {
  count       = var.source_path == null ? 0 : 1
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
  filename         = var.stored != null ? null : var.zip != null ? var.zip : one(data.archive_file.code[*].output_path)
  source_code_hash = one(data.archive_file.code[*].output_base64sha256)
  s3_bucket        = try(var.stored.bucket, null)
  s3_key           = try(var.stored.key, null)

  environment {
    variables = merge({ KIND = var.name }, var.variables)
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

output "arn" {
  value = aws_lambda_function.this[0].arn
}
