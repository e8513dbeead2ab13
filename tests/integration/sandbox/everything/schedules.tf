# EventBridge Scheduler: a group, and schedules of every kind of expression.

resource "aws_scheduler_schedule_group" "schedules" {
  name = "schedules-${local.suffix}"
  tags = { revision = var.revision }
}

resource "aws_scheduler_schedule" "schedules_rate" {
  name                = "rate-${local.suffix}"
  group_name          = aws_scheduler_schedule_group.schedules.name
  description         = "revision ${var.revision}"
  schedule_expression = "rate(${var.revision + 1} hours)"
  state               = "DISABLED"
  flexible_time_window {
    mode                      = var.revision == 1 ? "OFF" : "FLEXIBLE"
    maximum_window_in_minutes = var.revision == 1 ? null : 15
  }
  target {
    arn      = local.function_arn
    role_arn = local.role_arn
    input    = jsonencode({ revision = var.revision })
    retry_policy {
      maximum_event_age_in_seconds = 60 * var.revision
      maximum_retry_attempts       = var.revision
    }
  }
}

resource "aws_scheduler_schedule" "schedules_cron" {
  name                         = "cron-${local.suffix}"
  schedule_expression          = "cron(0 ${6 + var.revision} ? * MON-FRI *)"
  schedule_expression_timezone = var.revision == 1 ? "America/Sao_Paulo" : "Europe/Berlin"
  start_date                   = "2040-01-01T00:00:00Z"
  end_date                     = "2041-01-01T00:00:00Z"
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = local.function_arn
    role_arn = local.role_arn
  }
}

resource "aws_scheduler_schedule" "schedules_at" {
  name                = "at-${local.suffix}"
  schedule_expression = "at(204${var.revision}-01-01T00:00:00)"
  flexible_time_window {
    mode = "OFF"
  }
  target {
    arn      = local.function_arn
    role_arn = local.role_arn
  }
}
