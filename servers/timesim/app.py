"""The MCP protocol around the catalogue, and plain HTTP for monitoring.

Both generations of the protocol are supported: that of 2026-07-28, whose requests are independent, and the earlier
ones, which begin with ``initialize``. A header of the request selects the generation.

The SDK's low-level server class is used: one handler per request type, no settings from the environment.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, TypeVar

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import MCPError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from timesim import VERSION, catalogue
from timesim.counters import CountedEndpoint
from timesim.errors import BadRequestError, DatabaseError, quoted
from timesim.store import Reader, Store

LOG = logging.getLogger("timesim")

HEALTH_TIMEOUT_SECONDS = 2.0
RESOURCE_NOT_FOUND = -32002  # MCP specification 2025-11-25, server/resources, "Error Handling"
NOT_FOUND_IS_INVALID = "2026-07-28"  # the first specification that has -32602 for it

INSTRUCTIONS = (
    "Time of day around the world, from a database. Time zones go by their IANA names, which the resource "
    "timezone_info lists."
)


def application(name: str, host: str, store: Store, further_tools: int = 0) -> Starlette:
    """Return the ASGI application: POST /mcp, GET /health, GET /counters.

    Args:
        name: name of the server for clients.
        host: the address that it is bound to. The requests' Host and Origin headers are checked against DNS rebinding
            only on loopback; elsewhere the server's public names are unknown.
        store: the database with its content.
        further_tools: number of tools to list in addition to the two.
    """
    tools = catalogue.TOOLS | {tool.name: tool for tool in catalogue.further_tools(further_tools)}
    manager = StreamableHTTPSessionManager(
        mcp_server(name, store, tools), json_response=True, stateless=True, security_settings=_transport_security(host)
    )
    endpoint = CountedEndpoint(name, set(tools), manager.handle_request)

    async def health(_: Request) -> JSONResponse:
        status = {"name": name, "database": store.backend, "version": VERSION}
        try:
            release = await store.read(Reader.database_version, timeout=HEALTH_TIMEOUT_SECONDS)
        except DatabaseError as error:
            return JSONResponse({"status": "failing", **status, "reason": str(error)}, status_code=503)
        return JSONResponse({"status": "ok", **status, "database_version": release})

    async def counts(_: Request) -> JSONResponse:
        return JSONResponse(endpoint.document())

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield
        await store.close()

    # Only POST: without sessions, the SDK's event stream for a GET would stay empty and open forever. The protocol
    # specifies 405 for that.
    routes = [
        Route("/mcp", endpoint, methods=["POST"]),
        Route("/mcp/", endpoint, methods=["POST"]),
        Route("/health", health),
        Route("/counters", counts),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


_Context = ServerRequestContext[Any, Any]
_Result = TypeVar("_Result")


def mcp_server(name: str, store: Store, tools: Mapping[str, catalogue.Tool]) -> Server[Any]:
    """Return the SDK's server with a handler for each request type of the catalogue."""

    async def call_tool(_: _Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise _invalid(f"unknown tool {quoted(params.name)}; expected one of {', '.join(catalogue.TOOLS)}")
        try:
            answer = catalogue.tool_answer(tool, params.arguments or {})
            text, failed = await _read(store, answer), False
        except (BadRequestError, DatabaseError) as error:
            text, failed = f"{tool.name}: {error}", True
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    async def read_resource(context: _Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            mime_type, answer = catalogue.resource_answer(name, uri)
            text = await _read(store, answer)
        except BadRequestError as error:
            # Versions are dates, so they can be compared as text.
            is_new = context.protocol_version >= NOT_FOUND_IS_INVALID
            raise MCPError(types.INVALID_PARAMS if is_new else RESOURCE_NOT_FOUND, str(error)) from error
        except DatabaseError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        contents = types.TextResourceContents(uri=params.uri, mime_type=mime_type, text=text)
        return types.ReadResourceResult(contents=[contents])

    async def get_prompt(_: _Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        prompt = catalogue.PROMPTS.get(params.name)
        if prompt is None:
            raise _invalid(f"unknown prompt {quoted(params.name)}; expected one of {', '.join(catalogue.PROMPTS)}")
        try:
            answer = catalogue.prompt_answer(prompt, params.arguments or {})
            text = await _read(store, answer)
        except BadRequestError as error:
            raise _invalid(f"{prompt.name}: {error}") from error
        except DatabaseError as error:
            raise MCPError(types.INTERNAL_ERROR, str(error)) from error
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.GetPromptResult(description=prompt.description, messages=[message])

    return Server(
        name,
        version=VERSION,
        instructions=INSTRUCTIONS,
        on_list_tools=_always(types.ListToolsResult(tools=_tools(tools.values()))),
        on_call_tool=call_tool,
        on_list_resources=_always(types.ListResourcesResult(resources=_resources(name))),
        on_list_resource_templates=_always(types.ListResourceTemplatesResult(resource_templates=_templates(name))),
        on_read_resource=read_resource,
        on_list_prompts=_always(types.ListPromptsResult(prompts=_prompts())),
        on_get_prompt=get_prompt,
    )


async def _read(store: Store, answer: Callable[[Reader, int], str]) -> str:
    now = int(time.time())
    try:
        return await store.read(lambda reader: answer(reader, now))
    except DatabaseError as error:
        LOG.warning("%s", error)
        raise


def _always(result: _Result) -> Callable[[_Context, object], Awaitable[_Result]]:
    async def handler(_: _Context, _params: object) -> _Result:
        return result

    return handler


def _tools(tools: Iterable[catalogue.Tool]) -> list[types.Tool]:
    return [
        types.Tool(
            name=tool.name,
            description=tool.description,
            input_schema=tool.arguments.json_schema(),
            annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
        )
        for tool in tools
    ]


def _resources(server: str) -> list[types.Resource]:
    return [
        types.Resource(
            uri=catalogue.public_uri(server, resource.uri),
            name=resource.name,
            description=resource.description,
            mime_type=resource.mime_type,
        )
        for resource in catalogue.RESOURCES.values()
    ]


def _templates(server: str) -> list[types.ResourceTemplate]:
    return [
        types.ResourceTemplate(
            uri_template=catalogue.public_uri(server, catalogue.ZONE_TEMPLATE),
            name="zone_details",
            description="The time now in a time zone, its next clock change and its cities",
            mime_type=catalogue.ZONE_TYPE,
        )
    ]


def _prompts() -> list[types.Prompt]:
    return [
        types.Prompt(
            name=prompt.name,
            description=prompt.description,
            arguments=[
                types.PromptArgument(name=name, description=field.description, required=field.is_required())
                for name, field in prompt.arguments.model_fields.items()
            ],
        )
        for prompt in catalogue.PROMPTS.values()
    ]


def _invalid(message: str) -> MCPError:
    return MCPError(types.INVALID_PARAMS, message)


def _transport_security(host: str) -> TransportSecuritySettings:
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[f"{name}:*" for name in names],
        allowed_origins=[f"http://{name}:*" for name in names],
    )
