# A module that gets a zip.
variable "name" { type = string }
variable "role" { type = string }
variable "zip" { type = string }

resource "aws_lambda_function" "this" {
  count         = 1
  function_name = var.name
  role          = var.role
  runtime       = "python3.13"
  handler       = "app.handler"
  filename      = var.zip

  environment {
    variables = { KIND = var.name }
  }
}
