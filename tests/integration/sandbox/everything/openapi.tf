# APIs whose OpenAPI documents declare everything: OpenAPI 3 and Swagger 2.

locals {
  openapi_proxy = {
    type                 = "aws_proxy"
    httpMethod           = "POST"
    uri                  = local.function_invoke_arn
    payloadFormatVersion = "2.0"
  }
  openapi_paths = merge(
    { "/items/{id}" = { get = { "x-amazon-apigateway-integration" = local.openapi_proxy } } },
    var.revision == 1 ? {} : {
      "/{proxy+}" = { "x-amazon-apigateway-any-method" = { "x-amazon-apigateway-integration" = local.openapi_proxy } }
    },
  )
}

resource "aws_api_gateway_rest_api" "openapi" {
  for_each = {
    openapi = { openapi = "3.0.1" }
    swagger = { swagger = "2.0" }
  }
  name              = "${each.key}-${local.suffix}"
  put_rest_api_mode = each.key == "openapi" ? "overwrite" : "merge"
  body = jsonencode(merge(each.value, {
    info                                     = { title = "the document's own title", description = "revision ${var.revision}", version = "1.0" }
    "x-amazon-apigateway-binary-media-types" = ["image/*"]
    paths                                    = local.openapi_paths
  }))
  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_deployment" "openapi" {
  for_each    = aws_api_gateway_rest_api.openapi
  rest_api_id = each.value.id
  triggers    = { redeployment = sha1(each.value.body) }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "openapi" {
  for_each      = aws_api_gateway_rest_api.openapi
  rest_api_id   = each.value.id
  deployment_id = aws_api_gateway_deployment.openapi[each.key].id
  stage_name    = "live"
}

resource "aws_apigatewayv2_api" "openapi" {
  name          = "openapi-${local.suffix}"
  protocol_type = "HTTP"
  version       = "revision ${var.revision}"
  body = jsonencode({
    openapi = "3.0.1"
    # The provider takes title and version from the document.
    info    = { title = "openapi-${local.suffix}", version = "revision ${var.revision}" }
    paths   = local.openapi_paths
  })
  cors_configuration {
    allow_origins = ["https://${var.revision}.example"]
  }
}

resource "aws_apigatewayv2_stage" "openapi" {
  api_id      = aws_apigatewayv2_api.openapi.id
  name        = "$default"
  auto_deploy = true
}
