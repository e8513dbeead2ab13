"""Operations whose answers moto would make up. The sandbox refuses them. No I/O.

Examples are the text of a model, the rows of a query, and the end of a job that never ran.
Operations that only keep and return what they were given stay.
"""

from __future__ import annotations

import re
from typing import Final

# The service's name in signatures -> its operations, or (bedrock, kinesisvideo, sagemaker) its
# paths, as a regular expression. The comments are moto's answers.
_OPERATIONS: Final = {
    "athena": "StartQueryExecution",  # an empty result
    "batch": "/v1/submitjob",  # moto would start Docker
    "bedrock": "/model/.*",  # the same text for every prompt
    "ce": "GetCostAndUsage",
    "codebuild": "StartBuild",  # SUCCEEDED
    "comprehend": ".*",
    "glue": "StartJobRun",  # SUCCEEDED
    "kinesisvideo": "/get(HLSStreamingSessionURL|DASHStreamingSessionURL|Clip)",
    "polly": ".*",  # a text instead of speech
    "rds-data": ".*",
    "redshift-data": ".*",
    "rekognition": ".*",
    "sagemaker": "/endpoints/.*",  # the same body for every input
    "ssm": "SendCommand",  # Success
    "states": "Start(Sync)?Execution",  # runs no state
    "textract": ".*",
    "timestream": "Query",
    "transcribe": "Start(Medical)?TranscriptionJob",  # COMPLETED
}


def is_made_up(service: str, operation_or_path: str) -> bool:
    """Return whether moto would make up the answer; `service` is its name in signatures."""
    operations = _OPERATIONS.get(service)
    return operations is not None and re.fullmatch(operations, operation_or_path) is not None
