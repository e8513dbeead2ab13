import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "asset", "arn": context.invoked_function_arn}


# asset
