import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "managed", "arn": context.invoked_function_arn}


# managed
