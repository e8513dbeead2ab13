import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "picture", "arn": context.invoked_function_arn}


# picture
