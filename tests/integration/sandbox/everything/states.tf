# Step Functions: the provider validates a definition while it plans.

resource "aws_sfn_state_machine" "flow" {
  name     = "flow-${local.suffix}"
  role_arn = local.role_arn
  tags     = { revision = var.revision }
  definition = jsonencode({
    Comment = "revision ${var.revision}"
    StartAt = "Charge"
    States = {
      Charge = {
        Type     = "Task"
        Resource = "arn:aws:states:::lambda:invoke"
        Parameters = {
          FunctionName = "echo-${local.suffix}"
          "Payload.$"  = "$"
        }
        Catch = [{ ErrorEquals = ["States.ALL"], Next = "Failed" }]
        Next  = "Done"
      }
      Failed = { Type = "Fail" }
      Done   = { Type = "Succeed" }
    }
  })
}
