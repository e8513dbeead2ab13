import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "makefile", "arn": context.invoked_function_arn}


# makefile
