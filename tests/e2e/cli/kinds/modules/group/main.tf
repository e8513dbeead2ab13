variable "role" {}
variable "code" {}

module "job" {
  for_each    = toset(["nightly", "hourly"])
  source      = "../function"
  name        = "kinds-${each.key}"
  handler     = "jobs.${each.key}"
  source_path = "${var.code}/jobs"
  role        = var.role
  publish     = true
}
