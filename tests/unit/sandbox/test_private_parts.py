"""Everything that the sandbox uses of moto, uvicorn, h11 and websockets beyond their documentation.

A test fails by name where a new version has no such part any more. What replaces moto's methods is
in test_moto_gaps.py: each of these methods has to exist, too.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap

import pytest

# `module:attribute` -> what needs it. An attribute of a class may be one that its methods set.
PRIVATE_PARTS = {
    # moto's server and its routing
    "moto.backends:SERVICE_NAMES": "control/moto_thread.py: the services that moto has",
    "moto.core.config:default_user_config": "control/moto_gaps: AWS's managed policies",
    "moto.core.request:Request": "control/moto_thread.py: the operation of a request",
    "moto.core.routing:get_service_router": "control/moto_thread.py: the operation of a request",
    "moto.moto_server.werkzeug_app:DomainDispatcherApplication": "control/moto_thread.py",
    "moto.moto_server.werkzeug_app:create_backend_app": "control/moto_thread.py",
    "moto.core.responses:BaseResponse._get_param": "control/moto_gaps: apigateway, events",
    "moto.core.responses:BaseResponse._get_int_param": "stepfunctions.py",
    # moto's services
    "moto.apigateway.models:RestAPI.resources": "api_gateway/apigateway.py: snapshots",
    "moto.apigateway.models:RestAPI.binaryMediaTypes": "api_gateway/apigateway.py",
    "moto.apigateway.urls:url_paths": "api_gateway/apigateway.py: paths of tags",
    "moto.apigatewayv2.models:Stage.route_settings": "api_gateway/apigatewayv2.py",
    "moto.apigatewayv2.urls:url_paths": "api_gateway/apigatewayv2.py: deployments, tags",
    "moto.awslambda.models:LambdaBackend._event_source_mappings": "event source mappings",
    "moto.awslambda.models:LambdaFunction._get_layers_data": "lambda_/methods.py: layers",
    "moto.awslambda.models:LambdaFunction._set_function_code": "lambda_/methods.py: zip files",
    "moto.awslambda.models:LambdaFunction._vpc_config": "lambda_/settings.py: the VPC's id",
    "moto.awslambda.models:LambdaFunction.code_bytes": "lambda_/methods.py, functions/",
    "moto.awslambda.models:LambdaFunction.event_invoke_config": "lambda_/methods.py",
    "moto.awslambda.models:LambdaFunction.logs_group_name": "lambda_/settings.py",
    "moto.awslambda.urls:url_paths": "lambda_/methods.py: the list of function URLs",
    "moto.dynamodb.models.table:StreamShard.items": "dynamodb.py, triggers: stream records",
    "moto.dynamodb.models.table:StreamShard.starting_sequence_number": "dynamodb.py",
    "moto.dynamodb.models.utilities:dynamo_json_dump": "triggers: stream records",
    "moto.events.models:EventsBackend._normalize_event_bus_arn": "events.py: PutEvents",
    "moto.events.responses:EventsHandler._create_response": "events.py: TestEventPattern",
    "moto.iam.access_control:PermissionResult": "s3.py: bucket policies",
    "moto.s3.notifications:send_event": "s3.py: notifications",
    "moto.s3.notifications:send_test_event": "s3.py: the test event",
    "moto.sns.models:Subscription._filter_policy_matcher": "sns.py: filter policies",
    "moto.sns.models:Subscription._parse_message_structure": "sns.py: messages by protocol",
    "moto.sqs.models:Queue.BASE_ATTRIBUTES": "sqs.py: RedriveAllowPolicy",
    "moto.sqs.models:Queue._messages": "sqs.py, triggers: messages that are hidden",
    "moto.sqs.models:Queue._messages_lock": "sqs.py: one lock for all queues",
    "moto.sqs.models:Queue._pending_messages": "sqs.py: the order within a message group",
    "moto.sqs.models:Queue._policy_json": "sqs.py: a policy that stays",
    "moto.sqs.models:Queue._set_attributes": "sqs.py: a policy that stays",
    "moto.sqs.models:SQSBackend._validate_message": "sqs.py: characters of a message",
    "moto.sqs.models:unix_time_millis": "sqs.py: fast queues",
    "moto.sts.models:STSBackend.assumed_roles": "access/identity.py: temporary credentials",
    # uvicorn and the h11 beneath it
    "uvicorn:Server.capture_signals": "server.py: signals are the sandbox's",
    "uvicorn:Server.force_exit": "server.py: a second signal",
    "uvicorn:Server.should_exit": "server.py: a signal",
    "uvicorn:Server.started": "server.py: when the address is written",
    "uvicorn.server:ServerState.connections": "server.py: WebSocket connections among uvicorn's",
    "uvicorn.protocols.http.h11_impl:H11Protocol.app": "http_protocol.py: header names",
    "uvicorn.protocols.http.h11_impl:H11Protocol.conn": "http_protocol.py: header names",
    "uvicorn.protocols.http.h11_impl:H11Protocol.handle_websocket_upgrade": "http_protocol.py",
    "uvicorn.protocols.http.h11_impl:H11Protocol.headers": "http_protocol.py: header names",
    "h11:Connection.next_event": "http_protocol.py: header names",
    "h11._headers:Headers.raw_items": "http_protocol.py: header names",
    # the sans-I/O part of websockets, which is documented, but seldom used
    "websockets.frames:Frame.opcode": "apigateway/websocket/socket.py: limits of frames",
    "websockets.frames:Opcode.CONT": "apigateway/websocket/socket.py: limits of frames",
    "websockets.protocol:Protocol.close_expected": "apigateway/websocket/socket.py",
    "websockets.protocol:Protocol.close_rcvd_then_sent": "apigateway/websocket/socket.py",
    "websockets.protocol:Protocol.fail": "apigateway/websocket/socket.py: close codes",
    "websockets.server:ServerProtocol.accept": "apigateway/websocket/socket.py",
    "websockets.server:ServerProtocol.send_response": "apigateway/websocket/socket.py",
}


@pytest.mark.parametrize("part", PRIVATE_PARTS)
def test_a_private_part_is_still_there(part: str) -> None:
    module_name, _, path = part.partition(":")
    owner: object = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    found = hasattr(owner, name)
    if isinstance(owner, type) and not found:
        found = name in inspect.get_annotations(owner) or name in set_by_methods(owner)
    assert found, f"{part} is gone; the sandbox needs it for {PRIVATE_PARTS[part]}"


def set_by_methods(owner: type) -> set[str]:
    """Return the attributes that a class's own methods set on `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }
