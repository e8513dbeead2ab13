"""An HTTP API whose function publishes to an SNS topic, and a function that the topic invokes.

`python main.py` writes the configuration for Terraform. `terralive start` deploys the app and makes
its functions live on your machine.
"""

import os
from pathlib import Path

from cdktf import App, LocalBackend, TerraformOutput, TerraformStack

from terralive_terraform.function import Function
from terralive_terraform.live import attach
from terralive_terraform.resources import AwsProvider, Resource


class SnsDemo(TerraformStack):
    """One stage of the app."""

    def __init__(self, scope, name, *, stage, region):
        super().__init__(scope, name)
        prefix = f"sns-demo-{stage}"
        LocalBackend(self, path=str(Path(f"terraform.{stage}.tfstate").resolve()))
        AwsProvider(self, {"region": region})

        topic = Resource(self, "topic", "aws_sns_topic", {"name": prefix})
        http = Resource(
            self, "http", "aws_apigatewayv2_api", {"name": prefix, "protocol_type": "HTTP"}
        )
        Resource(
            self,
            "http_stage",
            "aws_apigatewayv2_stage",
            {"api_id": http.ref("id"), "name": "$default", "auto_deploy": True},
        )

        api = Function(
            self,
            "api",
            name=f"{prefix}-api",
            code="functions/api",
            handler="app.handler",
            environment={"TOPIC_ARN": topic.ref("arn")},
        )
        api.allow("sns:Publish", topic.ref("arn"))
        api.on_http(http, "GET /")

        sns = Function(
            self, "sns", name=f"{prefix}-sns", code="functions/sns", handler="app.handler"
        )
        sns.on_sns(topic)

        TerraformOutput(self, "ApiEndpoint", value=http.ref("api_endpoint"))


app = App()
SnsDemo(
    app,
    "sns-demo",
    stage=os.environ.get("TERRALIVE_STAGE", "dev"),
    region=os.environ.get("AWS_REGION", "eu-west-1"),
)
attach(app)  # defines the stubs of the functions, if terralive runs this program
app.synth()
