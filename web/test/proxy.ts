// What stands between browsers and Pawl in some tests: it counts streams of events, and can refuse them.
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Stack } from "./stack";

export class CountingProxy {
  api = "";
  opened = 0; // streams, ever
  loads = 0; // of the queue, ever
  refuse = false; // streams
  private readonly streams = new Set<IncomingMessage>();
  private constructor(private readonly server: Server) {}

  static async start(s: Stack): Promise<CountingProxy> {
    const server = createServer();
    const p = new CountingProxy(server);
    server.on("request", (req, res) => {
      const stream = req.url === "/api/events";
      if (req.url?.startsWith("/api/requests?status=pending")) p.loads++;
      if (stream && p.refuse) return res.writeHead(503).end();
      const { hostname, port } = new URL(s.api);
      const headers = { ...req.headers, host: `${hostname}:${port}` };
      const on = request({ hostname, port, method: req.method, path: req.url, headers });
      on.on("response", (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
        if (stream && answer.statusCode === 200) {
          p.opened++;
          p.streams.add(answer);
          answer.once("close", () => p.streams.delete(answer));
        }
        answer.pipe(res);
        answer.on("error", () => res.destroy());
      });
      on.on("error", () => res.destroy());
      res.on("close", () => on.destroy());
      req.pipe(on);
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    p.api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return p;
  }

  /** How many streams are open. */
  get open(): number {
    return this.streams.size;
  }

  /** Lets nothing more through of the streams that are open, which stay so. */
  silence(): void {
    for (const answer of this.streams) answer.unpipe().resume();
  }

  /** Cuts all streams that are open, as a proxy does that is restarted. */
  cut(): void {
    this.server.closeAllConnections();
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}
