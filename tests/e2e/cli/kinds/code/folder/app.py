import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "folder", "arn": context.invoked_function_arn}


# folder
