# HTTP APIs: CORS, routes of both payload formats, IAM, stages with variables and throttling.

resource "aws_apigatewayv2_api" "http" {
  name          = "http-${local.suffix}"
  protocol_type = "HTTP"
  description   = "revision ${var.revision}"
  tags          = { revision = tostring(var.revision) }
  cors_configuration {
    allow_credentials = true
    allow_origins     = ["https://${var.revision}.example"]
    allow_methods     = ["GET", "POST"]
    allow_headers     = ["authorization", "content-type"]
    expose_headers    = ["x-request"]
    max_age           = 300 + var.revision
  }
}

resource "aws_apigatewayv2_integration" "http" {
  for_each               = toset(["1.0", "2.0"])
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_uri        = local.function_invoke_arn
  integration_method     = "POST"
  payload_format_version = each.key
  timeout_milliseconds   = 20000 + var.revision * 1000
}

resource "aws_apigatewayv2_route" "http" {
  for_each           = { "GET /items/{id}" = "2.0", "ANY /old/{proxy+}" = "1.0", "$default" = "2.0" }
  api_id             = aws_apigatewayv2_api.http.id
  route_key          = each.key
  authorization_type = local.http_authorization[each.key]
  authorizer_id      = local.http_authorization[each.key] == "CUSTOM" ? aws_apigatewayv2_authorizer.http["2.0"].id : null
  target             = "integrations/${aws_apigatewayv2_integration.http[each.value].id}"
}

locals {
  http_authorization = {
    "GET /items/{id}"   = var.revision == 1 ? "NONE" : "CUSTOM"
    "ANY /old/{proxy+}" = var.revision == 1 ? "NONE" : "AWS_IAM"
    "$default"          = "NONE"
  }
}

resource "aws_apigatewayv2_authorizer" "http" {
  for_each                          = toset(["1.0", "2.0"])
  api_id                            = aws_apigatewayv2_api.http.id
  name                              = "authorizer-${each.key}-${var.revision}"
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = local.function_invoke_arn
  authorizer_payload_format_version = each.key
  enable_simple_responses           = each.key == "2.0"
  identity_sources                  = ["$request.header.Authorization", "$context.routeKey"]
  authorizer_result_ttl_in_seconds  = 60 * var.revision
}

resource "aws_apigatewayv2_authorizer" "http_jwt" {
  api_id           = aws_apigatewayv2_api.http.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]
  jwt_configuration {
    audience = ["example"]
    issuer   = "https://issuer.example"
  }
}

resource "aws_apigatewayv2_stage" "http" {
  api_id          = aws_apigatewayv2_api.http.id
  name            = "live"
  auto_deploy     = true
  description     = "revision ${var.revision}"
  stage_variables = { revision = tostring(var.revision) }
  tags            = { revision = tostring(var.revision) }
  default_route_settings {
    throttling_rate_limit  = 100 + var.revision
    throttling_burst_limit = 50
  }
  route_settings {
    route_key              = "GET /items/{id}"
    throttling_rate_limit  = 10
    throttling_burst_limit = 5 + var.revision
  }
  depends_on = [aws_apigatewayv2_route.http]
}

resource "aws_lambda_permission" "http" {
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.http.execution_arn}/*/*"
}

# without settings: the account's limits hold, and nothing drifts
resource "aws_apigatewayv2_api" "http_plain" {
  name          = "http-plain-${local.suffix}"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "http_plain" {
  api_id                 = aws_apigatewayv2_api.http_plain.id
  integration_type       = "AWS_PROXY"
  integration_uri        = local.function_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "http_plain" {
  api_id    = aws_apigatewayv2_api.http_plain.id
  route_key = "$default"
  target    = "integrations/${aws_apigatewayv2_integration.http_plain.id}"
}

# a deployment of its own instead of automatic ones
resource "aws_apigatewayv2_deployment" "http_plain" {
  api_id      = aws_apigatewayv2_api.http_plain.id
  description = "revision ${var.revision}"
  triggers    = { route = aws_apigatewayv2_route.http_plain.id }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_apigatewayv2_stage" "http_plain" {
  api_id        = aws_apigatewayv2_api.http_plain.id
  name          = "$default"
  deployment_id = aws_apigatewayv2_deployment.http_plain.id
}

resource "aws_lambda_permission" "http_plain" {
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.http_plain.execution_arn}/*"
}

output "http_url" {
  value = aws_apigatewayv2_stage.http.invoke_url
}

output "http_plain_url" {
  value = aws_apigatewayv2_api.http_plain.api_endpoint
}
