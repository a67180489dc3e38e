"""Calls tools through the gateway, by the official SDK: client.py URL, or client.py COMMAND ARG…"""

import asyncio
import json
import os
import sys

from mcp import StdioServerParameters
from mcp.client.client import Client


async def main() -> None:
    if len(sys.argv) == 2:
        target = sys.argv[1]
    else:
        from mcp.client.stdio import stdio_client

        target = stdio_client(StdioServerParameters(command=sys.argv[1], args=sys.argv[2:], env=dict(os.environ)))
    async with Client(target) as client:
        tools = await client.list_tools()
        seen = {"version": client.protocol_version, "tools": [t.name for t in tools.tools]}
        for name, tool, args in [
            ("echo", "echo", {"message": "hi"}),
            ("denied", "get-env", {}),
            ("sum", "get-sum", {"a": 1, "b": 2}),
        ]:
            result = await client.call_tool(tool, args)
            seen[name] = result.content[0].text
        print(json.dumps(seen))


asyncio.run(main())
