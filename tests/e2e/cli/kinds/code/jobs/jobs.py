import os


def nightly(event, context):
    return {
        "kind": os.environ["KIND"],
        "where": "jobs.nightly",
        "arn": context.invoked_function_arn,
    }


def hourly(event, context):
    return {"kind": os.environ["KIND"], "where": "jobs.hourly", "arn": context.invoked_function_arn}
