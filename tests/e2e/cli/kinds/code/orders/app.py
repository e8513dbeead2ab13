import os


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": "orders", "arn": context.invoked_function_arn}


# orders
