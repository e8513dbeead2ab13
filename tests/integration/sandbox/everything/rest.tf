# REST APIs: proxy integrations, a preflight's MOCK, stages with variables and throttling, a policy.

resource "aws_api_gateway_rest_api" "rest" {
  name               = "rest-${local.suffix}"
  description        = "revision ${var.revision}"
  binary_media_types = ["image/*", "application/octet-stream"]
  tags               = { revision = tostring(var.revision) }
  endpoint_configuration {
    types = ["REGIONAL"]
  }
}

resource "aws_api_gateway_rest_api_policy" "rest" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = "execute-api:Invoke"
      Resource  = "${aws_api_gateway_rest_api.rest.execution_arn}/*"
    }]
  })
}

resource "aws_api_gateway_resource" "rest_items" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  parent_id   = aws_api_gateway_rest_api.rest.root_resource_id
  path_part   = "items"
}

resource "aws_api_gateway_resource" "rest_proxy" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  parent_id   = aws_api_gateway_resource.rest_items.id
  path_part   = "{proxy+}"
}

resource "aws_api_gateway_method" "rest_items" {
  rest_api_id        = aws_api_gateway_rest_api.rest.id
  resource_id        = aws_api_gateway_resource.rest_items.id
  http_method        = "GET"
  authorization      = var.revision == 1 ? "NONE" : "AWS_IAM"
  request_parameters = { "method.request.querystring.q" = var.revision == 1 }
  request_models     = { "application/json" = var.revision == 1 ? "Empty" : aws_api_gateway_model.rest_item.name }

  request_validator_id = aws_api_gateway_request_validator.rest.id
}

resource "aws_api_gateway_request_validator" "rest" {
  rest_api_id                 = aws_api_gateway_rest_api.rest.id
  name                        = "revision-${var.revision}"
  validate_request_body       = var.revision == 2
  validate_request_parameters = true
}

resource "aws_api_gateway_model" "rest_item" {
  rest_api_id  = aws_api_gateway_rest_api.rest.id
  name         = "Item"
  description  = "revision ${var.revision}"
  content_type = "application/json"
  schema       = jsonencode({ type = "object", required = ["revision${var.revision}"] })
}

resource "aws_api_gateway_integration" "rest_items" {
  rest_api_id             = aws_api_gateway_rest_api.rest.id
  resource_id             = aws_api_gateway_resource.rest_items.id
  http_method             = aws_api_gateway_method.rest_items.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = local.function_invoke_arn
  timeout_milliseconds    = 20000 + var.revision * 1000
}

resource "aws_api_gateway_method" "rest_proxy" {
  rest_api_id        = aws_api_gateway_rest_api.rest.id
  resource_id        = aws_api_gateway_resource.rest_proxy.id
  http_method        = "ANY"
  authorization      = var.revision == 1 ? "NONE" : "CUSTOM"
  authorizer_id      = var.revision == 1 ? null : aws_api_gateway_authorizer.rest_request.id
  request_parameters = { "method.request.path.proxy" = true }
}

resource "aws_api_gateway_integration" "rest_proxy" {
  rest_api_id             = aws_api_gateway_rest_api.rest.id
  resource_id             = aws_api_gateway_resource.rest_proxy.id
  http_method             = aws_api_gateway_method.rest_proxy.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = replace(local.function_invoke_arn, local.function_name, "$${stageVariables.function}")
  cache_key_parameters    = ["method.request.path.proxy"]
}

resource "aws_api_gateway_method" "rest_cors" {
  rest_api_id   = aws_api_gateway_rest_api.rest.id
  resource_id   = aws_api_gateway_resource.rest_items.id
  http_method   = "OPTIONS"
  authorization = "NONE"
}

resource "aws_api_gateway_method_response" "rest_cors" {
  rest_api_id         = aws_api_gateway_rest_api.rest.id
  resource_id         = aws_api_gateway_resource.rest_items.id
  http_method         = aws_api_gateway_method.rest_cors.http_method
  status_code         = "200"
  response_models     = { "application/json" = "Empty" }
  response_parameters = { "method.response.header.Access-Control-Allow-Origin" = true }
}

resource "aws_api_gateway_integration" "rest_cors" {
  rest_api_id       = aws_api_gateway_rest_api.rest.id
  resource_id       = aws_api_gateway_resource.rest_items.id
  http_method       = aws_api_gateway_method.rest_cors.http_method
  type              = "MOCK"
  request_templates = { "application/json" = jsonencode({ statusCode = 200 }) }
}

resource "aws_api_gateway_integration_response" "rest_cors" {
  rest_api_id         = aws_api_gateway_rest_api.rest.id
  resource_id         = aws_api_gateway_resource.rest_items.id
  http_method         = aws_api_gateway_method.rest_cors.http_method
  status_code         = aws_api_gateway_method_response.rest_cors.status_code
  response_parameters = { "method.response.header.Access-Control-Allow-Origin" = "'https://${var.revision}.example'" }
  depends_on          = [aws_api_gateway_integration.rest_cors]
}

resource "aws_api_gateway_gateway_response" "rest" {
  rest_api_id         = aws_api_gateway_rest_api.rest.id
  response_type       = "DEFAULT_4XX"
  status_code         = var.revision == 1 ? null : "404"
  response_templates  = { "application/json" = jsonencode({ revision = var.revision }) }
  response_parameters = { "gatewayresponse.header.Access-Control-Allow-Origin" = "'https://${var.revision}.example'" }
}

resource "aws_api_gateway_authorizer" "rest_token" {
  rest_api_id                      = aws_api_gateway_rest_api.rest.id
  name                             = "token-${var.revision}"
  authorizer_uri                   = local.function_invoke_arn
  identity_validation_expression   = "^Bearer .{${var.revision},}$"
  authorizer_result_ttl_in_seconds = 60 * var.revision
}

resource "aws_api_gateway_authorizer" "rest_request" {
  rest_api_id     = aws_api_gateway_rest_api.rest.id
  name            = "request"
  type            = "REQUEST"
  authorizer_uri  = local.function_invoke_arn
  identity_source = "method.request.header.Authorization, method.request.querystring.q${var.revision}"
}

resource "aws_api_gateway_deployment" "rest" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  description = "revision ${var.revision}"
  triggers = {
    redeployment = sha1(jsonencode([
      aws_api_gateway_method.rest_items.authorization, aws_api_gateway_integration.rest_items.timeout_milliseconds,
      aws_api_gateway_integration.rest_proxy.id, aws_api_gateway_authorizer.rest_request.identity_source,
      aws_api_gateway_integration_response.rest_cors.response_parameters, aws_api_gateway_rest_api_policy.rest.policy,
    ]))
  }
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "rest" {
  rest_api_id   = aws_api_gateway_rest_api.rest.id
  deployment_id = aws_api_gateway_deployment.rest.id
  stage_name    = "live"
  description   = "revision ${var.revision}"
  variables     = { function = local.function_name, revision = tostring(var.revision) }
  tags          = { revision = tostring(var.revision) }
}

resource "aws_api_gateway_method_settings" "rest_all" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  stage_name  = aws_api_gateway_stage.rest.stage_name
  method_path = "*/*"
  settings {
    metrics_enabled = true
  }
}

resource "aws_api_gateway_method_settings" "rest_items" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  stage_name  = aws_api_gateway_stage.rest.stage_name
  method_path = "items/GET"
  settings {
    throttling_rate_limit  = 100 + var.revision
    throttling_burst_limit = 50
  }
}

resource "aws_lambda_permission" "rest" {
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.rest.execution_arn}/*/*"
}

output "rest_url" {
  value = aws_api_gateway_stage.rest.invoke_url
}
