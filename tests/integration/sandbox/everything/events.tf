# EventBridge: buses, rules by pattern and by schedule, targets of every kind that the sandbox reaches; SNS.

resource "aws_cloudwatch_event_bus" "events" {
  name = "events-${local.suffix}"
  tags = { revision = var.revision }
}

resource "aws_cloudwatch_event_rule" "events_pattern" {
  name           = "events-pattern-${local.suffix}"
  description    = "revision ${var.revision}"
  event_bus_name = aws_cloudwatch_event_bus.events.name
  tags           = { revision = var.revision }
  event_pattern = jsonencode({
    source = ["shop"]
    detail = {
      price = [{ numeric = [">", 10 * var.revision] }]
      "$or" = [{ state = [{ "anything-but" = ["new"] }] }, { urgent = [{ exists = true }] }]
    }
  })
}

resource "aws_cloudwatch_event_target" "events_function" {
  rule           = aws_cloudwatch_event_rule.events_pattern.name
  event_bus_name = aws_cloudwatch_event_bus.events.name
  target_id      = "function"
  arn            = local.function_arn
  input_transformer {
    input_paths    = { price = "$.detail.price" }
    input_template = "{\"price\": <price>, \"rule\": <aws.events.rule-arn>, \"revision\": ${var.revision}}"
  }
  dead_letter_config {
    arn = aws_sqs_queue.events.arn
  }
  retry_policy {
    maximum_event_age_in_seconds = 60 * var.revision
    maximum_retry_attempts       = var.revision
  }
}

resource "aws_cloudwatch_event_target" "events_queue" {
  rule           = aws_cloudwatch_event_rule.events_pattern.name
  event_bus_name = aws_cloudwatch_event_bus.events.name
  arn            = aws_sqs_queue.events.arn
  input_path     = "$.detail"
}

resource "aws_cloudwatch_event_rule" "events_rate" {
  name                = "events-rate-${local.suffix}"
  schedule_expression = "rate(${var.revision + 1} hours)"
  state               = var.revision == 1 ? "ENABLED" : "DISABLED"
}

resource "aws_cloudwatch_event_rule" "events_cron" {
  name                = "events-cron-${local.suffix}"
  schedule_expression = "cron(0/${15 * var.revision} 8-17 ? * MON-FRI *)"
}

resource "aws_cloudwatch_event_target" "events_cron" {
  rule  = aws_cloudwatch_event_rule.events_cron.name
  arn   = local.function_arn
  input = jsonencode({ revision = var.revision })
}

resource "aws_cloudwatch_event_rule" "events_prefix" {
  name          = "events-prefix-${local.suffix}"
  event_pattern = jsonencode({ source = [{ prefix = "shop" }] })
}

resource "aws_cloudwatch_event_target" "events_topic" {
  rule = aws_cloudwatch_event_rule.events_prefix.name
  arn  = aws_sns_topic.events.arn
}

resource "aws_lambda_permission" "events" {
  for_each      = { pattern = aws_cloudwatch_event_rule.events_pattern.arn, cron = aws_cloudwatch_event_rule.events_cron.arn }
  statement_id  = "events-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "events.amazonaws.com"
  source_arn    = each.value
}

resource "aws_sqs_queue" "events" {
  name = "events-${local.suffix}"
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "revision${var.revision}"
      Effect    = "Allow"
      Principal = { Service = ["events.amazonaws.com", "sns.amazonaws.com"] }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.events.arn
    }]
  })
}

resource "aws_sns_topic" "events" {
  name         = "events-${local.suffix}"
  display_name = "revision ${var.revision}"
  tags         = { revision = var.revision }
}

resource "aws_sns_topic_policy" "events" {
  arn = aws_sns_topic.events.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "revision${var.revision}"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.events.arn
    }]
  })
}

resource "aws_sns_topic_subscription" "events_function" {
  topic_arn           = aws_sns_topic.events.arn
  protocol            = "lambda"
  endpoint            = local.function_arn
  filter_policy_scope = "MessageBody"
  filter_policy       = jsonencode({ price = [{ numeric = [">", 10 * var.revision] }] })
  redrive_policy      = jsonencode({ deadLetterTargetArn = aws_sqs_queue.events.arn })
}

resource "aws_sns_topic_subscription" "events_queue" {
  topic_arn            = aws_sns_topic.events.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.events.arn
  raw_message_delivery = var.revision == 1
  filter_policy        = jsonencode({ kind = ["a", { "anything-but" = ["b"] }] })
}

resource "aws_sns_topic" "events_fifo" {
  name                        = "events-${local.suffix}.fifo"
  fifo_topic                  = true
  content_based_deduplication = true
}

resource "aws_lambda_permission" "events_sns" {
  statement_id  = "events-sns"
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.events.arn
}
