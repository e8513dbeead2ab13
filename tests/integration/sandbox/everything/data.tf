# What functions read, write and are allowed by: tables, queues, topics, parameters, secrets, keys, policies.

resource "aws_dynamodb_table" "data" {
  name                        = "data-${local.suffix}"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"
  deletion_protection_enabled = false
  tags                        = { revision = var.revision }

  dynamic "attribute" {
    for_each = toset(["pk", "sk", "owner"])
    content {
      name = attribute.key
      type = "S"
    }
  }
  global_secondary_index {
    name               = "by-owner"
    hash_key           = "owner"
    range_key          = "sk"
    projection_type    = "INCLUDE"
    non_key_attributes = ["title"]
  }
  local_secondary_index {
    name            = "by-owner-local"
    range_key       = "owner"
    projection_type = "KEYS_ONLY"
  }
  ttl {
    attribute_name = "expires"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = var.revision == 2
  }
  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.data.arn
  }
}

resource "aws_dynamodb_table" "provisioned" {
  name           = "provisioned-${local.suffix}"
  hash_key       = "id"
  read_capacity  = var.revision
  write_capacity = var.revision
  attribute {
    name = "id"
    type = "N"
  }
}

resource "aws_dynamodb_table_item" "first" {
  table_name = aws_dynamodb_table.provisioned.name
  hash_key   = aws_dynamodb_table.provisioned.hash_key
  item       = jsonencode({ id = { N = "1" }, title = { S = "revision ${var.revision}" } })
}

resource "aws_sqs_queue" "dead" {
  name                      = "dead-${local.suffix}"
  message_retention_seconds = 60 * (1 + var.revision)
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:aws:sqs:us-east-1:123456789012:work-${local.suffix}"]
  })
}

resource "aws_sqs_queue" "work" {
  name                       = "work-${local.suffix}"
  delay_seconds              = var.revision
  max_message_size           = 2048
  receive_wait_time_seconds  = 10
  visibility_timeout_seconds = 30 * var.revision
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead.arn
    maxReceiveCount     = 2 + var.revision
  })
  tags = { revision = var.revision }
}

resource "aws_sqs_queue" "fifo" {
  name                        = "work-${local.suffix}.fifo"
  fifo_queue                  = true
  content_based_deduplication = var.revision == 1
  deduplication_scope         = "messageGroup"
  fifo_throughput_limit       = "perMessageGroupId"
}

resource "aws_sqs_queue_policy" "dead" {
  queue_url = aws_sqs_queue.dead.id
  policy    = data.aws_iam_policy_document.queue.json
}

data "aws_iam_policy_document" "queue" {
  statement {
    sid       = "revision${var.revision}"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead.arn]
    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_sns_topic.data.arn]
    }
  }
}

resource "aws_sns_topic" "data" {
  name              = "data-${local.suffix}"
  display_name      = "revision ${var.revision}"
  kms_master_key_id = aws_kms_key.data.id
  tags              = { revision = var.revision }
}

resource "aws_sns_topic_policy" "data" {
  arn = aws_sns_topic.data.arn
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Sid       = "revision${var.revision}", Effect = "Allow", Action = "sns:Publish", Resource = aws_sns_topic.data.arn
    Principal = { Service = "events.amazonaws.com" }
  }] })
}

resource "aws_sns_topic_subscription" "queue" {
  topic_arn            = aws_sns_topic.data.arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.work.arn
  raw_message_delivery = var.revision == 1
  filter_policy        = jsonencode({ revision = [{ numeric = ["=", var.revision] }] })
}

resource "aws_sns_topic_subscription" "function" {
  topic_arn           = aws_sns_topic.data.arn
  protocol            = "lambda"
  endpoint            = local.function_arn
  filter_policy       = jsonencode({ kind = ["a", "b"] })
  filter_policy_scope = var.revision == 1 ? "MessageAttributes" : "MessageBody"
  redrive_policy      = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn })
  depends_on          = [aws_lambda_permission.sns]
}

resource "aws_ssm_parameter" "plain" {
  name        = "/${local.suffix}/plain"
  description = "revision ${var.revision}"
  type        = "String"
  value       = "revision ${var.revision}"
  tags        = { revision = var.revision }
}

resource "aws_ssm_parameter" "secret" {
  name   = "/${local.suffix}/secret"
  type   = "SecureString"
  value  = "revision ${var.revision}"
  key_id = aws_kms_key.data.key_id
}

resource "aws_ssm_parameter" "list" {
  name  = "/${local.suffix}/list"
  type  = "StringList"
  value = "a,b,${var.revision}"
}

resource "aws_secretsmanager_secret" "data" {
  name                    = "data-${local.suffix}"
  description             = "revision ${var.revision}"
  kms_key_id              = aws_kms_key.data.arn
  recovery_window_in_days = 0
  tags                    = { revision = var.revision }
}

resource "aws_secretsmanager_secret_version" "data" {
  secret_id     = aws_secretsmanager_secret.data.id
  secret_string = jsonencode({ revision = var.revision })
}

resource "aws_secretsmanager_secret_policy" "data" {
  secret_arn = aws_secretsmanager_secret.data.arn
  policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Sid       = "revision${var.revision}", Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = "*"
    Principal = { AWS = local.role_arn }
  }] })
}

resource "aws_kms_key" "data" {
  description             = "${local.suffix} revision ${var.revision}"
  deletion_window_in_days = 7
  enable_key_rotation     = var.revision == 1
  tags                    = { revision = var.revision }
}

resource "aws_kms_alias" "data" {
  name          = "alias/data-${local.suffix}"
  target_key_id = aws_kms_key.data.key_id
}

data "aws_iam_policy_document" "may" {
  statement {
    sid       = "Table${var.revision}"
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem"]
    resources = [aws_dynamodb_table.data.arn]
  }
  statement {
    effect    = "Deny"
    actions   = ["kms:*"]
    resources = ["*"]
    condition {
      test     = "StringNotEquals"
      variable = "aws:RequestedRegion"
      values   = ["us-east-1"]
    }
  }
}

resource "aws_iam_policy" "may" {
  name        = "may-${local.suffix}"
  path        = "/team/"
  description = "What functions may do"
  policy      = data.aws_iam_policy_document.may.json
  tags        = { revision = var.revision }
}

resource "aws_iam_role_policy_attachment" "may" {
  role       = aws_iam_role.shared.name
  policy_arn = aws_iam_policy.may.arn
}

resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.shared.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "inline" {
  name   = "inline"
  role   = aws_iam_role.shared.id
  policy = data.aws_iam_policy_document.may.json
}

resource "aws_iam_role" "team" {
  name                  = "team-${local.suffix}"
  path                  = "/team/"
  description           = "revision ${var.revision}"
  max_session_duration  = 3600 * var.revision
  force_detach_policies = true
  permissions_boundary  = aws_iam_policy.may.arn
  tags                  = { revision = var.revision }
  assume_role_policy = jsonencode({ Version = "2012-10-17", Statement = [{
    Effect = "Allow", Action = ["sts:AssumeRole", "sts:TagSession"], Principal = { Service = "lambda.amazonaws.com" }
  }] })
}

resource "aws_iam_role_policies_exclusive" "team" {
  role_name    = aws_iam_role.team.name
  policy_names = []
}

resource "aws_iam_user" "machine" {
  name = "machine-${local.suffix}"
  tags = { revision = var.revision }
}

resource "aws_iam_access_key" "machine" {
  user = aws_iam_user.machine.name
}

resource "aws_iam_user_policy" "machine" {
  name   = "machine"
  user   = aws_iam_user.machine.name
  policy = data.aws_iam_policy_document.may.json
}

resource "aws_cloudwatch_log_subscription_filter" "data" {
  name            = "data"
  log_group_name  = aws_cloudwatch_log_group.data.name
  filter_pattern  = "ERROR"
  destination_arn = local.function_arn
  depends_on      = [aws_lambda_permission.logs]
}

resource "aws_cloudwatch_log_group" "data" {
  name = "/team/${local.suffix}"
}

resource "aws_lambda_permission" "logs" {
  action        = "lambda:InvokeFunction"
  function_name = local.function_name
  principal     = "logs.amazonaws.com"
  source_arn    = "${aws_cloudwatch_log_group.data.arn}:*"
}
