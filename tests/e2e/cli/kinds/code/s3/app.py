import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "s3", "arn": context.invoked_function_arn}


# s3
