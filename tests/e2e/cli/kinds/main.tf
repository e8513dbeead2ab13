# One function for each way in which teams say where its code is. No setting of terralive's names any of it.
terraform {
  required_providers {
    archive = { source = "hashicorp/archive" }
    aws     = { source = "hashicorp/aws" }
    null    = { source = "hashicorp/null" }
  }
}

provider "aws" {
  profile = "team" # the sandbox's keys stand for it
}

variable "runtime" {
  default = "python3.13"
}

locals {
  zip = "${path.module}/build/by_local.zip"
}

resource "aws_iam_role" "functions" {
  name = "kinds"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

# A folder, by reference.
data "archive_file" "folder" {
  type        = "zip"
  source_dir  = "${path.module}/code/folder"
  output_path = "${path.module}/build/folder.zip"
}

resource "aws_lambda_function" "folder" {
  function_name    = "kinds-folder"
  role             = aws_iam_role.functions.arn
  runtime          = var.runtime
  handler          = "app.handler"
  filename         = data.archive_file.folder.output_path
  source_code_hash = data.archive_file.folder.output_base64sha256

  environment {
    variables = { KIND = "folder" }
  }
}

# A file; archive and function name the same zip by a local.
data "archive_file" "file" {
  type        = "zip"
  source_file = "${path.module}/code/file/single.py"
  output_path = local.zip
}

resource "aws_lambda_function" "file" {
  depends_on    = [data.archive_file.file]
  function_name = "kinds-file"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "single.handler"
  filename      = local.zip

  environment {
    variables = { KIND = "file" }
  }
}

# Blocks with the content of files.
data "archive_file" "blocks" {
  type        = "zip"
  output_path = "${path.module}/build/blocks.zip"

  source {
    content  = file("${path.module}/code/blocks/app.py")
    filename = "app.py"
  }
  source {
    content  = file("${path.module}/code/blocks/helper.py")
    filename = "helper.py"
  }
}

resource "aws_lambda_function" "blocks" {
  function_name = "kinds-blocks"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = data.archive_file.blocks.output_path

  environment {
    variables = { KIND = "blocks" }
  }
}

# A managed resource makes the archive, and an alias names a published version.
resource "archive_file" "managed" {
  type        = "zip"
  source_dir  = "${path.module}/code/managed"
  output_path = "${path.module}/build/managed.zip"
}

resource "aws_lambda_function" "managed" {
  function_name = "kinds-managed"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = archive_file.managed.output_path
  publish       = true

  environment {
    variables = { KIND = "managed" }
  }
}

resource "aws_lambda_alias" "managed" {
  name             = "live"
  function_name    = aws_lambda_function.managed.function_name
  function_version = aws_lambda_function.managed.version
}

# Through S3.
resource "aws_s3_bucket" "code" {
  bucket        = "kinds-code"
  force_destroy = true
}

data "archive_file" "s3" {
  type        = "zip"
  source_dir  = "${path.module}/code/s3"
  output_path = "${path.module}/build/s3.zip"
}

resource "aws_s3_object" "code" {
  bucket = aws_s3_bucket.code.id
  key    = "s3.zip"
  source = data.archive_file.s3.output_path
}

resource "aws_lambda_function" "s3" {
  function_name = "kinds-s3"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "app.handler"
  s3_bucket     = aws_s3_bucket.code.id
  s3_key        = aws_s3_object.code.key

  environment {
    variables = {
      KIND  = "s3"
      OTHER = aws_lambda_function.blocks.function_name # so it depends on another function
    }
  }
}

# A zip that a Makefile has built: only its content tells where it comes from.
resource "aws_lambda_function" "makefile" {
  function_name    = "kinds-makefile"
  role             = aws_iam_role.functions.arn
  runtime          = "python3.13"
  handler          = "app.handler"
  filename         = "${path.module}/dist/makefile.zip"
  source_code_hash = filebase64sha256("${path.module}/dist/makefile.zip")

  environment {
    variables = { KIND = "makefile" }
  }
}

# Two instances with a handler each, and a function that count leaves out.
resource "aws_lambda_function" "each" {
  for_each      = toset(["first", "second"])
  function_name = "kinds-each-${each.key}"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "${each.key}.handler"
  filename      = data.archive_file.each.output_path

  environment {
    variables = { KIND = each.key }
  }
}

data "archive_file" "each" {
  type        = "zip"
  source_dir  = "${path.module}/code/each"
  output_path = "${path.module}/build/each.zip"
}

resource "aws_lambda_function" "left_out" {
  count         = 0
  function_name = "kinds-left-out"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = "nowhere.zip"
}

# A module as registries have them, called twice and from within another one.
module "orders" {
  source      = "./modules/function"
  name        = "kinds-orders"
  handler     = "app.handler"
  source_path = "${path.module}/code/orders"
  role        = aws_iam_role.functions.arn
  publish     = true
}

# A state machine that invokes two functions.
resource "aws_sfn_state_machine" "orders" {
  name     = "kinds"
  role_arn = aws_iam_role.functions.arn
  definition = jsonencode({
    StartAt = "Order"
    States = {
      Order = { Type = "Task", Resource = module.orders.arn, Next = "First" }
      First = {
        Type       = "Task"
        Resource   = "arn:aws:states:::lambda:invoke"
        Parameters = { FunctionName = aws_lambda_function.each["first"].function_name }
        End        = true
      }
    }
  })
}

module "group" {
  source = "./modules/group"
  role   = aws_iam_role.functions.arn
  code   = "${path.module}/code"
}

# Instances of a module: with zips that are built already, and with one that is stored in S3.
module "built" {
  for_each = toset(["left", "right"])
  source   = "./modules/function"
  name     = "kinds-built-${each.key}"
  handler  = "app.handler"
  role     = aws_iam_role.functions.arn
  zip      = "${path.module}/dist/built.zip"
}

module "stored" {
  count   = 2
  source  = "./modules/function"
  name    = "kinds-stored-${count.index}"
  handler = "app.handler"
  role    = aws_iam_role.functions.arn
  stored  = { bucket = aws_s3_bucket.code.id, key = aws_s3_object.code.key }
}

module "wrapped" {
  source      = "./modules/function"
  name        = "kinds-wrapped-too"
  handler     = "app.handler"
  source_path = "${path.module}/code/wrapped"
  role        = aws_iam_role.functions.arn
  layers      = [aws_lambda_layer_version.wrapper.arn]
  variables   = { AWS_LAMBDA_EXEC_WRAPPER = "/opt/wrap" }
}

# A layer with a wrapper, which only Terraform knows to be in the environment.
data "archive_file" "wrapper" {
  type             = "zip"
  source_dir       = "${path.module}/layers/wrapper"
  output_path      = "${path.module}/build/wrapper.zip"
  output_file_mode = "0755"
}

resource "aws_lambda_layer_version" "wrapper" {
  layer_name = "kinds-wrapper"
  filename   = data.archive_file.wrapper.output_path
}

data "archive_file" "wrapped" {
  type        = "zip"
  source_dir  = "${path.module}/code/wrapped"
  output_path = "${path.module}/build/wrapped.zip"
}

resource "aws_lambda_function" "wrapped" {
  function_name = "kinds-wrapped"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "app.handler"
  layers        = [aws_lambda_layer_version.wrapper.arn]
  filename      = data.archive_file.wrapped.output_path

  environment {
    variables = merge({ KIND = "wrapped" }, { "AWS_LAMBDA_${upper("exec_wrapper")}" = "/opt/wrap" })
  }
}

# Code that is nowhere in this repository: it stays as it is, and stops nothing.
resource "aws_lambda_function" "elsewhere" {
  function_name = "kinds-elsewhere"
  role          = aws_iam_role.functions.arn
  runtime       = "python3.13"
  handler       = "of_a_vendor.handler"
  filename      = "${path.module}/dist/vendor.zip"
}
