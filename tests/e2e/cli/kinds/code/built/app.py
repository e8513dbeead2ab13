import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "built", "arn": context.invoked_function_arn}


# built
