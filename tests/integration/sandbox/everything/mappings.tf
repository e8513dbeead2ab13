# Event source mappings of queues and streams. Their function's role has to read them, so it is one of their own.

resource "aws_iam_role" "mappings" {
  name = "mappings-${local.suffix}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "mappings" {
  name = "mappings"
  role = aws_iam_role.mappings.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        Resource = [aws_sqs_queue.mappings.arn, aws_sqs_queue.mappings_fifo.arn]
      },
      {
        Effect   = "Allow"
        Action   = ["dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream", "dynamodb:ListStreams"]
        Resource = "${aws_dynamodb_table.mappings.arn}/stream/*"
      },
      {
        Effect   = "Allow"
        Action   = ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:DescribeStream", "kinesis:ListShards"]
        Resource = aws_kinesis_stream.mappings.arn
      },
    ]
  })
}

resource "aws_lambda_function" "mappings" {
  function_name    = "mappings-${local.suffix}"
  role             = aws_iam_role.mappings.arn
  filename         = local.zip
  source_code_hash = filebase64sha256(local.zip)
  handler          = "app.handler"
  runtime          = "python3.12"
  publish          = true
}

resource "aws_lambda_alias" "mappings" {
  name             = "live"
  function_name    = aws_lambda_function.mappings.function_name
  function_version = aws_lambda_function.mappings.version
}

resource "aws_sqs_queue" "mappings_dead" {
  name = "mappings-dead-${local.suffix}"
}

resource "aws_sqs_queue" "mappings" {
  name                       = "mappings-${local.suffix}"
  visibility_timeout_seconds = 60 # not changed: the provider waits half a minute after that
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.mappings_dead.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "mappings_fifo" {
  name                        = "mappings-${local.suffix}.fifo"
  fifo_queue                  = true
  content_based_deduplication = true
}

resource "aws_dynamodb_table" "mappings" {
  name             = "mappings-${local.suffix}"
  billing_mode     = "PAY_PER_REQUEST"
  hash_key         = "pk"
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"
  attribute {
    name = "pk"
    type = "S"
  }
}

resource "aws_lambda_event_source_mapping" "queue" {
  event_source_arn                   = aws_sqs_queue.mappings.arn
  function_name                      = aws_lambda_function.mappings.arn
  batch_size                         = 100 * var.revision
  maximum_batching_window_in_seconds = 5
  function_response_types            = ["ReportBatchItemFailures"]
  tags                               = { revision = var.revision }
  filter_criteria {
    filter {
      pattern = jsonencode({ body = { revision = [var.revision] } })
    }
  }
  dynamic "scaling_config" {
    for_each = var.revision == 1 ? [1] : []
    content {
      maximum_concurrency = 5
    }
  }
  depends_on = [aws_iam_role_policy.mappings]
}

resource "aws_lambda_event_source_mapping" "fifo" {
  event_source_arn = aws_sqs_queue.mappings_fifo.arn
  function_name    = aws_lambda_alias.mappings.arn
  enabled          = var.revision == 1
  depends_on       = [aws_iam_role_policy.mappings]
}

resource "aws_lambda_event_source_mapping" "stream" {
  event_source_arn               = aws_dynamodb_table.mappings.stream_arn
  function_name                  = aws_lambda_function.mappings.function_name
  starting_position              = "LATEST"
  batch_size                     = 10
  bisect_batch_on_function_error = var.revision == 1
  maximum_retry_attempts         = var.revision
  maximum_record_age_in_seconds  = 60 * var.revision
  parallelization_factor         = 2
  function_response_types        = ["ReportBatchItemFailures"]
  tags                           = { a = "b" }
  filter_criteria {
    filter {
      pattern = jsonencode({ eventName = ["INSERT"] })
    }
    filter {
      pattern = jsonencode({ dynamodb = { Keys = { pk = { S = [{ prefix = "a" }] } } } })
    }
  }
  depends_on = [aws_iam_role_policy.mappings]
}

resource "aws_kinesis_stream" "mappings" {
  name        = "mappings-${local.suffix}"
  shard_count = 2
  tags        = { revision = var.revision }
}

resource "aws_lambda_event_source_mapping" "kinesis" {
  event_source_arn                   = aws_kinesis_stream.mappings.arn
  function_name                      = aws_lambda_function.mappings.arn
  starting_position                  = "AT_TIMESTAMP"
  starting_position_timestamp        = "2026-01-01T00:00:00Z"
  batch_size                         = 10 * var.revision
  bisect_batch_on_function_error     = var.revision == 1
  maximum_retry_attempts             = var.revision
  maximum_batching_window_in_seconds = 5
  filter_criteria {
    filter {
      pattern = jsonencode({ data = { revision = [var.revision] } })
    }
  }
  depends_on = [aws_iam_role_policy.mappings]
}

# With nothing but what it must have.
resource "aws_lambda_event_source_mapping" "plain_stream" {
  event_source_arn  = aws_dynamodb_table.mappings.stream_arn
  function_name     = aws_lambda_alias.mappings.arn
  starting_position = "TRIM_HORIZON"
  depends_on        = [aws_iam_role_policy.mappings]
}
