# WebSocket APIs: routes, responses, throttling.

resource "aws_apigatewayv2_api" "websocket" {
  name                       = "websocket-${local.suffix}"
  description                = "revision ${var.revision}"
  protocol_type              = "WEBSOCKET"
  route_selection_expression = "$request.body.action"

  tags = {
    Revision = var.revision
  }
}

resource "aws_apigatewayv2_integration" "websocket" {
  api_id             = aws_apigatewayv2_api.websocket.id
  integration_type   = "AWS_PROXY"
  integration_method = "POST"
  integration_uri    = local.function_invoke_arn
}

resource "aws_apigatewayv2_route" "websocket" {
  for_each = toset(["$connect", "$disconnect", "$default", "chat"])

  api_id                              = aws_apigatewayv2_api.websocket.id
  route_key                           = each.key
  authorization_type                  = each.key == "$connect" ? local.websocket_connect : "NONE"
  authorizer_id                       = each.key == "$connect" && var.revision > 1 ? aws_apigatewayv2_authorizer.websocket.id : null
  target                              = "integrations/${aws_apigatewayv2_integration.websocket.id}"
  route_response_selection_expression = each.key == "chat" ? "$default" : null
}

locals {
  websocket_connect = var.revision == 1 ? "AWS_IAM" : "CUSTOM"
}

resource "aws_apigatewayv2_authorizer" "websocket" {
  api_id           = aws_apigatewayv2_api.websocket.id
  name             = "authorizer-${var.revision}"
  authorizer_type  = "REQUEST"
  authorizer_uri   = local.function_invoke_arn
  identity_sources = var.revision == 1 ? ["route.request.header.Auth"] : ["route.request.header.Auth", "stageVariables.revision"]
}

resource "aws_apigatewayv2_authorizer" "websocket_role" {
  api_id                     = aws_apigatewayv2_api.websocket.id
  name                       = "role"
  authorizer_type            = "REQUEST"
  authorizer_uri             = local.function_invoke_arn
  authorizer_credentials_arn = aws_iam_role.shared.arn
}

resource "aws_apigatewayv2_route_response" "websocket" {
  api_id             = aws_apigatewayv2_api.websocket.id
  route_id           = aws_apigatewayv2_route.websocket["chat"].id
  route_response_key = "$default"
}

resource "aws_apigatewayv2_integration" "websocket_mock" {
  api_id                        = aws_apigatewayv2_api.websocket.id
  integration_type              = "MOCK"
  passthrough_behavior          = "WHEN_NO_MATCH"
  template_selection_expression = "200"

  request_templates = {
    "200" = jsonencode({ statusCode = 200 })
  }
}

resource "aws_apigatewayv2_integration_response" "websocket_mock" {
  api_id                   = aws_apigatewayv2_api.websocket.id
  integration_id           = aws_apigatewayv2_integration.websocket_mock.id
  integration_response_key = "/200/"
}

resource "aws_apigatewayv2_stage" "websocket" {
  api_id      = aws_apigatewayv2_api.websocket.id
  name        = "live"
  auto_deploy = true

  default_route_settings {
    throttling_burst_limit = 50 * var.revision
    throttling_rate_limit  = 100
  }

  route_settings {
    route_key              = "chat"
    throttling_burst_limit = 5
    throttling_rate_limit  = 10
  }

  stage_variables = {
    revision = var.revision
  }

  tags = {
    Revision = var.revision
  }

  depends_on = [aws_apigatewayv2_route.websocket]
}

# as most examples have it: a stage that does not deploy itself
resource "aws_apigatewayv2_deployment" "websocket" {
  api_id      = aws_apigatewayv2_api.websocket.id
  description = "revision ${var.revision}"

  depends_on = [aws_apigatewayv2_route.websocket]
}

resource "aws_apigatewayv2_stage" "websocket_deployed" {
  api_id        = aws_apigatewayv2_api.websocket.id
  name          = "deployed"
  deployment_id = aws_apigatewayv2_deployment.websocket.id
}

resource "aws_lambda_permission" "websocket" {
  statement_id  = "websocket-${local.suffix}"
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.websocket.execution_arn}/*/*"
}
