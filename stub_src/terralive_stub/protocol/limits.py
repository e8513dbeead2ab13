"""The numbers that AWS sets and every part has to agree on, each with its page."""

from __future__ import annotations

from typing import Final

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
MESSAGE_BYTES: Final = 128 * 1024
FRAME_BYTES: Final = 32 * 1024
CONNECTION_SECONDS: Final = 2 * 60 * 60
IDLE_SECONDS: Final = 10 * 60
INTEGRATION_SECONDS: Final = 29

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
SYNCHRONOUS_PAYLOAD_BYTES: Final = 6 * 1024 * 1024
# The largest response that the Runtime API takes. Lambda names this number in its error message;
# it is 100 bytes more than the 6 MiB of the page.
RESPONSE_BYTES: Final = 6_291_556
ASYNCHRONOUS_PAYLOAD_BYTES: Final = 1024 * 1024
FUNCTION_TIMEOUT_SECONDS: Final = 15 * 60
INIT_SECONDS: Final = 10

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LOG_EVENT_BYTES: Final = 256 * 1024
