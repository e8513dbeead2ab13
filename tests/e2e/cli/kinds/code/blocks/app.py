import os

import helper


def handler(event, context):
    return {"kind": os.environ["KIND"], "where": helper.WHERE, "arn": context.invoked_function_arn}
