import os

from from_layer import WHERE

NAMES = ("WRAPPED", "NODE_OPTIONS", "PYTHONSTARTUP")


def handler(event, context):
    wrapper = {name: os.environ.get(name) for name in NAMES}
    return {"kind": os.environ["KIND"], "where": WHERE, "wrapper": wrapper}
