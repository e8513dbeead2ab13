import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "file", "arn": context.invoked_function_arn}
