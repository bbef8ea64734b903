"""The MCP protocol, and plain HTTP for those who watch the server, around the catalogue.

The SDK's own server class is used, and not FastMCP on top of it, for what FastMCP 1.x does not let be chosen: it takes
settings from the environment and a ``.env`` file in the working directory; it has no release number of its own, so that
the SDK looks its own up in the installed packages' files in every stateless request, a third of the whole time; it
answers bad arguments of prompts and resources with the error code 0, and logs a traceback for each.
"""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address

from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl
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
RESOURCE_NOT_FOUND = -32002  # MCP specification 2025-06-18, server/resources, "Error Handling"

INSTRUCTIONS = (
    "Time of day around the world, from a database. Time zones go by their IANA names, which the resource "
    "timezone_info lists."
)


def application(name: str, host: str, store: Store, further_tools: int = 0) -> Starlette:
    """Return the ASGI application: POST /mcp, GET /health, GET /counters.

    Args:
        name: of the server, as clients see it.
        host: the address that it is bound to. Only on loopback are the requests' Host and Origin headers checked
            against DNS rebinding; elsewhere the names by which others reach it are not known.
        store: the database with its content.
        further_tools: so many tools are listed beside the two.
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

    # Only POST: without sessions, the SDK's event stream of a GET would stay empty and open for ever. The protocol
    # has 405 for that.
    routes = [
        Route("/mcp", endpoint, methods=["POST"]),
        Route("/mcp/", endpoint, methods=["POST"]),
        Route("/health", health),
        Route("/counters", counts),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def mcp_server(name: str, store: Store, tools: Mapping[str, catalogue.Tool]) -> Server[object, Request]:
    """Return the SDK's server with a handler for each request of the catalogue."""
    server: Server[object, Request] = Server(name, version=VERSION, instructions=INSTRUCTIONS)

    async def call_tool(request: types.CallToolRequest) -> types.ServerResult:
        tool = tools.get(request.params.name)
        if tool is None:
            raise _invalid(f"unknown tool {quoted(request.params.name)}; expected one of {', '.join(catalogue.TOOLS)}")
        try:
            answer = catalogue.tool_answer(tool, request.params.arguments or {})
            text, failed = await _read(store, answer), False
        except (BadRequestError, DatabaseError) as error:
            text, failed = f"{tool.name}: {error}", True
        return types.ServerResult(
            types.CallToolResult(content=[types.TextContent(type="text", text=text)], isError=failed)
        )

    async def read_resource(request: types.ReadResourceRequest) -> types.ServerResult:
        uri = str(request.params.uri)
        try:
            mime_type, answer = catalogue.resource_answer(name, uri)
            text = await _read(store, answer)
        except BadRequestError as error:
            raise McpError(types.ErrorData(code=RESOURCE_NOT_FOUND, message=str(error))) from error
        except DatabaseError as error:
            raise _internal(error) from error
        contents = types.TextResourceContents(uri=request.params.uri, mimeType=mime_type, text=text)
        return types.ServerResult(types.ReadResourceResult(contents=[contents]))

    async def get_prompt(request: types.GetPromptRequest) -> types.ServerResult:
        prompt = catalogue.PROMPTS.get(request.params.name)
        if prompt is None:
            expected = ", ".join(catalogue.PROMPTS)
            raise _invalid(f"unknown prompt {quoted(request.params.name)}; expected one of {expected}")
        try:
            answer = catalogue.prompt_answer(prompt, request.params.arguments or {})
            text = await _read(store, answer)
        except BadRequestError as error:
            raise _invalid(f"{prompt.name}: {error}") from error
        except DatabaseError as error:
            raise _internal(error) from error
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
        return types.ServerResult(types.GetPromptResult(description=prompt.description, messages=[message]))

    server.request_handlers |= {
        types.ListToolsRequest: _always(types.ListToolsResult(tools=_tools(tools.values()))),
        types.CallToolRequest: call_tool,
        types.ListResourcesRequest: _always(types.ListResourcesResult(resources=_resources(name))),
        types.ListResourceTemplatesRequest: _always(
            types.ListResourceTemplatesResult(resourceTemplates=_templates(name))
        ),
        types.ReadResourceRequest: read_resource,
        types.ListPromptsRequest: _always(types.ListPromptsResult(prompts=_prompts())),
        types.GetPromptRequest: get_prompt,
    }
    return server


async def _read(store: Store, answer: Callable[[Reader, int], str]) -> str:
    now = int(time.time())
    try:
        return await store.read(lambda reader: answer(reader, now))
    except DatabaseError as error:
        LOG.warning("%s", error)
        raise


def _always(result: types.ServerResultType) -> Callable[[object], Awaitable[types.ServerResult]]:
    wrapped = types.ServerResult(result)

    async def handler(_: object) -> types.ServerResult:
        return wrapped

    return handler


def _tools(tools: Iterable[catalogue.Tool]) -> list[types.Tool]:
    return [
        types.Tool(
            name=tool.name,
            description=tool.description,
            inputSchema=tool.arguments.json_schema(),
            annotations=types.ToolAnnotations(readOnlyHint=True, openWorldHint=False),
        )
        for tool in tools
    ]


def _resources(server: str) -> list[types.Resource]:
    return [
        types.Resource(
            uri=AnyUrl(catalogue.public_uri(server, resource.uri)),
            name=resource.name,
            description=resource.description,
            mimeType=resource.mime_type,
        )
        for resource in catalogue.RESOURCES.values()
    ]


def _templates(server: str) -> list[types.ResourceTemplate]:
    return [
        types.ResourceTemplate(
            uriTemplate=catalogue.public_uri(server, catalogue.ZONE_TEMPLATE),
            name="zone_details",
            description="The time now in a time zone, its next clock change and its cities",
            mimeType=catalogue.ZONE_TYPE,
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


def _invalid(message: str) -> McpError:
    return McpError(types.ErrorData(code=types.INVALID_PARAMS, message=message))


def _internal(error: DatabaseError) -> McpError:
    return McpError(types.ErrorData(code=types.INTERNAL_ERROR, message=str(error)))


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
