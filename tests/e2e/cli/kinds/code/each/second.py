import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "each/second", "arn": context.invoked_function_arn}
