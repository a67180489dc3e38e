// Calls tools through the gateway, by the official SDK: client.mjs URL, or client.mjs COMMAND ARG…
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [command, ...args] = process.argv.slice(2);
const transport = args.length > 0
  ? new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" })
  : new StreamableHTTPClientTransport(new URL(command));
const client = new Client({ name: "typescript-test", version: "1" });
await client.connect(transport);
const seen = { version: client.getNegotiatedProtocolVersion(), tools: (await client.listTools()).tools.map((t) => t.name) };
for (const [key, name, given] of [
  ["echo", "echo", { message: "hi" }], ["denied", "get-env", {}], ["sum", "get-sum", { a: 1, b: 2 }],
]) {
  seen[key] = (await client.callTool({ name, arguments: given })).content[0].text;
}
console.log(JSON.stringify(seen));
await client.close();
