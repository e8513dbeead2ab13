# S3: a bucket that notifies functions, queues and topics, and what teams set on buckets.

resource "aws_s3_bucket" "buckets" {
  bucket        = "buckets-${local.suffix}"
  force_destroy = true
  tags          = { revision = var.revision }
}

resource "aws_s3_bucket_versioning" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  versioning_configuration {
    status = var.revision == 1 ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_notification" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  lambda_function {
    lambda_function_arn = local.function_arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "in/${var.revision}/"
    filter_suffix       = ".json"
  }
  lambda_function {
    lambda_function_arn = local.function_arn
    events              = ["s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"]
  }
  queue {
    queue_arn     = aws_sqs_queue.buckets.arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "queue/"
  }
  topic {
    topic_arn     = aws_sns_topic.buckets.arn
    events        = ["s3:ObjectCreated:Copy"]
    filter_prefix = "topic/"
  }
  depends_on = [aws_lambda_permission.buckets, aws_sqs_queue_policy.buckets, aws_sns_topic_policy.buckets]
}

resource "aws_s3_object" "buckets" {
  bucket       = aws_s3_bucket.buckets.id
  key          = "in/1/a b.json"
  content      = jsonencode({ revision = var.revision })
  content_type = "application/json"
  tags         = { revision = var.revision }
  depends_on   = [aws_s3_bucket_notification.buckets]
}

resource "aws_s3_bucket_public_access_block" "buckets" {
  bucket                  = aws_s3_bucket.buckets.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = var.revision == 1
}

resource "aws_s3_bucket_ownership_controls" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_cors_configuration" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  cors_rule {
    allowed_methods = ["GET", "PUT"]
    allowed_origins = ["https://example.com"]
    max_age_seconds = 100 * var.revision
  }
}

resource "aws_s3_bucket_policy" "buckets" {
  bucket = aws_s3_bucket.buckets.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly${var.revision}"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = "${aws_s3_bucket.buckets.arn}/*"
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_lambda_permission" "buckets" {
  statement_id   = "buckets"
  action         = "lambda:InvokeFunction"
  function_name  = local.function_name
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.buckets.arn
  source_account = "123456789012"
}

resource "aws_sqs_queue" "buckets" {
  name = "buckets-${local.suffix}"
}

resource "aws_sqs_queue_policy" "buckets" {
  queue_url = aws_sqs_queue.buckets.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.buckets.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_s3_bucket.buckets.arn } }
    }]
  })
}

resource "aws_sns_topic" "buckets" {
  name = "buckets-${local.suffix}"
}

resource "aws_sns_topic_policy" "buckets" {
  arn = aws_sns_topic.buckets.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.buckets.arn
      Condition = { StringEquals = { "aws:SourceAccount" = "123456789012" } }
    }]
  })
}
