# A module that gets a container image.
variable "name" { type = string }
variable "role" { type = string }
variable "image" { type = string }

resource "aws_lambda_function" "this" {
  count         = 1
  function_name = "kinds-${var.name}"
  role          = var.role
  package_type  = "Image"
  image_uri     = var.image

  environment {
    variables = { KIND = var.name }
  }
}
