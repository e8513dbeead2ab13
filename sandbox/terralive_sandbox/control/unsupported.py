"""What moto would answer with something made up, which the sandbox refuses: pure.

The words of a model, the rows of a query, the end of a job that never ran. What only keeps what it
is given stays.
"""

from __future__ import annotations

import re

# By the name that a request is signed for: the operations, or for bedrock, kinesisvideo and
# sagemaker the paths.
_MADE_UP = {
    name: re.compile(operations)
    for name, operations in {
        "athena": "StartQueryExecution",  # an empty result
        "batch": "/v1/submitjob",  # moto would start Docker
        "bedrock": "/model/.*",  # the same words whatever the prompt
        "ce": "GetCostAndUsage",
        "codebuild": "StartBuild",  # SUCCEEDED
        "comprehend": ".*",
        "glue": "StartJobRun",  # SUCCEEDED
        "kinesisvideo": "/get(HLSStreamingSessionURL|DASHStreamingSessionURL|Clip)",
        "polly": ".*",  # a text in the place of speech
        "rds-data": ".*",
        "redshift-data": ".*",
        "rekognition": ".*",
        "sagemaker": "/endpoints/.*",  # the same body whatever the input
        "ssm": "SendCommand",  # Success
        "states": "Start(Sync)?Execution",  # runs no state
        "textract": ".*",
        "timestream": "Query",
        "transcribe": "Start(Medical)?TranscriptionJob",  # COMPLETED
    }.items()
}


def is_made_up(service: str, operation_or_path: str) -> bool:
    """Whether the answer to it would be; `service` as a signature names it."""
    pattern = _MADE_UP.get(service)
    return pattern is not None and pattern.fullmatch(operation_or_path) is not None
