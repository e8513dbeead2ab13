"""Limits that AWS sets, each with its page. No other module repeats these numbers."""

from __future__ import annotations

from typing import Final

# WebSocket APIs:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MESSAGE_BYTES: Final = 128 * 1024
FRAME_BYTES: Final = 32 * 1024  # a larger frame ends the connection with code 1009
CONNECTION_SECONDS: Final = 2 * 60 * 60
IDLE_SECONDS: Final = 10 * 60
# A NAT gateway drops a connection that is idle for this long, without telling either side:
# https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
NAT_IDLE_SECONDS: Final = 350
INTEGRATION_SECONDS: Final = 29  # REST APIs have the same limit
AUTHORIZER_RESULT_BYTES: Final = 8 * 1024  # the answer of a Lambda authorizer

# HTTP APIs: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
HTTP_API_INTEGRATION_SECONDS: Final = 30
HTTP_API_AUTHORIZER_SECONDS: Final = 10

# HTTP and REST APIs; for REST APIs:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
BODY_BYTES: Final = 10 * 1024 * 1024
HEADER_BYTES: Final = 10_240

# Lambda: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
SYNCHRONOUS_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
# The largest response that the Runtime API takes. Lambda names this number in its error message;
# it is 100 bytes more than the 6 MiB of the page.
RESPONSE_BYTES: Final = 6_291_556
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
STREAMED_RESPONSE_BYTES: Final = 200 * 1024 * 1024
ASYNCHRONOUS_PAYLOAD_BYTES: Final = 1024 * 1024
ENVIRONMENT_BYTES: Final = 4 * 1024
LEAST_MEMORY_MB: Final = 128
MOST_MEMORY_MB: Final = 10_240
FUNCTION_TIMEOUT_SECONDS: Final = 15 * 60

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib
INIT_SECONDS: Final = 10

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html (the default for an account)
CONCURRENT_EXECUTIONS: Final = 1000

# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#lambda-Invoke-request-LogType
LOG_TAIL_BYTES: Final = 4 * 1024

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOG_EVENT_BYTES: Final = 256 * 1024
