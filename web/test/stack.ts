// A real Pawl for the tests: the dev stack in a process of its own, with tokens, a policy and tools
// that this process serves.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json, Request } from "../src/types";

/** The policy that a stack starts with. */
export const policy = `layer: org
default_timeout: 1h
redact_fields: [password, api_key]
rules:
  - {tool: mail.send, approvals: 1, risk_level: medium, timeout: 49m}
  - {tool: db.execute, approvals: 1, risk_level: critical, timeout: 20m}
  - {tool: files.edit, approvals: 1, risk_level: high, timeout: 27m}
  - {tool: files.write, approvals: 1, risk_level: high, timeout: 27m}
  - {tool: shell.run, approvals: 1, risk_level: high, timeout: 18m}
  - {tool: k8s.apply, approvals: 1, risk_level: medium}
  - {tool: docs.publish, approvals: 1, risk_level: low}
  - {tool: slow.tool, approvals: 1, risk_level: low, timeout: 2s}
  - {tool: reason.tool, approvals: 1, risk_level: low, require_reason: true}
  - {tool: payments.refund, approvals: 1, risk_level: medium}
  - {tool: iam.grant_role, approvals: [{group: security, count: 1}], risk_level: high, timeout: 35m}
  - {tool: payments.payout, approvals: 2, deny_count: 2, risk_level: high, timeout: 2h}
  - tool: deploy
    when: args.environment == "production"
    stages:
      - {name: team, approvals: 1}
      - {name: security, approvals: [{group: security, count: 1}]}
    deny_count: 2
    risk_level: high
    timeout: 12m
`;

/** That policy with another rule for one tool: what stands after its name. */
export function ruled(tool: string, words: string): string {
  const lines = policy.split("\n");
  const at = lines.findIndex((l) => l.startsWith(`  - {tool: ${tool},`));
  if (at < 0) throw new Error(`no rule of one line for ${tool}`);
  lines[at] = `  - {tool: ${tool}, ${words}}`;
  return lines.join("\n");
}

const names = [
  "mail.send",
  "db.execute",
  "files.edit",
  "files.write",
  "shell.run",
  "k8s.apply",
  "docs.publish",
  "slow.tool",
  "reason.tool",
  "payments.refund",
  "iam.grant_role",
  "payments.payout",
  "deploy",
];

// What an operator says of some of them: what their arguments are, and what a call does in one line.
const about: Record<string, string> = {
  deploy: `schema:
      type: object
      properties:
        service: {type: string}
        version: {type: string}
        environment: {enum: [staging, production]}
        strategy: {enum: [rolling, all-at-once]}
        instances: {type: integer, default: 12}
    summary: Deploy {service} {version} to {environment}, {strategy}`,
  "payments.refund": `schema:
      type: object
      properties:
        amount: {type: integer, x-pawl-minor-units: true}
        currency: {type: string}
        order: {type: string}
        reason_code: {enum: [late_delivery, damaged, lost]}
        notify: {type: boolean}
        url: {type: string, format: uri}
    summary: Refund {amount} for order {order}`,
  "iam.grant_role": `schema:
      type: object
      properties: {role: {type: string}, member: {type: string}, resource: {type: string}}
    summary: Give role {role} to {member} on {resource}`,
  "k8s.apply": `schema:
      type: object
      properties: {kind: {type: string}, name: {type: string}, cluster: {type: string}}
    summary: Apply {kind} {name} to {cluster}`,
};

export interface Spec {
  tool: string;
  args: Json | string; // a string is JSON as it is sent
  reason?: string;
  [field: string]: unknown;
}

interface Reply {
  status: number;
  body: string;
}

/** Starts one of Pawl's programs, and returns what it says when it is ready. */
export async function serve(program: string, args: string[], cwd: string, env = process.env) {
  const child = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  process.on("exit", () => child.kill("SIGKILL"));
  let out = "";
  let err = "";
  child.stderr.on("data", (b: Buffer) => {
    err += b;
  });
  const ready = await new Promise<{ api: string; temporal: string }>((done, fail) => {
    child.stdout.on("data", (b: Buffer) => {
      out += b;
      if (out.includes("\n")) done(JSON.parse(out.split("\n")[0] ?? ""));
    });
    child.on("error", fail);
    child.on("exit", (code) => fail(new Error(`${program} ended with ${code}: ${err}`)));
  });
  return { child, ready };
}

/** Ends a program as a power cut would. */
export async function kill(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.on("exit", done));
  child.kill("SIGKILL");
  await ended;
}

export class Stack {
  api = "";
  temporal = "";
  readonly tokens: Record<string, string> = {};
  /** What the tools got: the arguments of each run. */
  readonly runs: { tool: string; body: string }[] = [];
  /** How the tools answer; tests change it for a while. */
  answer: (tool: string) => Reply | Promise<Reply> = () => ({ status: 200, body: '{"ok": true}' });
  private process: ChildProcess | undefined;
  private constructor(
    private readonly program: string,
    /** The folder of all its files. */
    readonly data: string,
    private readonly tools: Server,
    private readonly auth: "tokens" | "none",
    private readonly database: string,
  ) {}

  /** Starts one, with an empty Postgres for Pawl's store if its URL is given, else with SQLite. */
  static async start(program: string, auth: "tokens" | "none" = "tokens", database = ""): Promise<Stack> {
    const data = await mkdtemp(join(tmpdir(), "pawl-page-"));
    const tools = createServer();
    await new Promise<void>((done) => tools.listen(0, "127.0.0.1", done));
    const s = new Stack(program, data, tools, auth, database);
    tools.on("request", (req, res) => {
      const parts: Buffer[] = [];
      req.on("data", (b: Buffer) => parts.push(b));
      req.on("end", async () => {
        const tool = (req.url ?? "").slice(1);
        s.runs.push({ tool, body: Buffer.concat(parts).toString() });
        const { status, body } = await s.answer(tool);
        res.writeHead(status, { "Content-Type": "application/json" }).end(body);
      });
    });
    const { port } = tools.address() as AddressInfo;
    const offered = names.map(
      (n) => `  - name: ${n}
    description: The tool ${n}
    ${about[n] ?? "schema: {type: object}"}
    http: {url: "http://127.0.0.1:${port}/${n}", timeout: 10s}
    idempotent: false
`,
    );
    await writeFile(join(data, "tools.yaml"), `tools:\n${offered.join("")}`);
    await writeFile(join(data, "policy.yaml"), policy);
    try {
      await s.run();
    } catch (e) {
      tools.close(); // it would keep the tests from ending
      throw e;
    }
    if (auth === "tokens") await s.issue();
    return s;
  }

  /** Starts the stack, or starts it again at the same address. */
  async run(): Promise<void> {
    const { child, ready } = await serve(
      this.program,
      [
        ...[
          "--data",
          join(this.data, "data"),
          "--auth",
          this.auth,
          "--no-ui",
          "--temporal-listen",
          "127.0.0.1:0",
        ],
        ...["--api-listen", this.api ? new URL(this.api).host : "127.0.0.1:0"],
        ...["--policy", join(this.data, "policy.yaml"), "--tools", join(this.data, "tools.yaml")],
        ...(this.database ? ["--database-url", this.database] : []),
      ],
      this.data,
    );
    this.process = child;
    this.api = ready.api;
    this.temporal = ready.temporal;
  }

  /** Ends the stack as a power cut would; run starts it again. */
  kill(): Promise<void> {
    return kill(this.process);
  }

  async stop(): Promise<void> {
    await this.kill();
    this.tools.close();
    await rm(this.data, { recursive: true, force: true });
  }

  private async issue(): Promise<void> {
    const admin = (await readFile(join(this.data, "data", "admin.token"), "utf8")).trim();
    this.tokens.root = admin;
    const people: [string, object][] = [
      ["ana", { roles: ["reviewer"], groups: ["sre", "finance"] }],
      ["bo", { roles: ["reviewer"], groups: ["sre"] }],
      ["cy", { roles: ["reviewer"], groups: ["security"] }],
      ["eva", { roles: ["auditor"] }],
      ["ci-runner", { roles: ["agent"], owner: "dee", kind: "agent" }],
    ];
    for (const [subject, more] of people) {
      const made = (await this.as("root", "POST", "/api/tokens", { subject, ...more })) as { token: string };
      this.tokens[subject] = made.token;
    }
  }

  /** Sends a request under somebody's name. */
  async as(who: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const headers: Record<string, string> =
      this.auth === "tokens" ? { Authorization: `Bearer ${this.tokens[who]}` } : { "X-Pawl-Reviewer": who };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await fetch(this.api + path, {
      method,
      headers,
      body: body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text);
  }

  /** Starts a call that waits for people, and returns its ID. */
  async asks(spec: Spec): Promise<string> {
    const { args, ...rest } = { agent: "deploy-bot", ...spec };
    const text = typeof args === "string" ? args : JSON.stringify(args);
    const body = `${JSON.stringify(rest).slice(0, -1)},"args":${text}}`;
    const made = (await this.as("ci-runner", "POST", "/api/calls", body)) as { id: string };
    await this.until(made.id, (r) => r.status !== "evaluating");
    return made.id;
  }

  /** Has another policy applied, and waits until it is the active one. */
  async apply(text: string): Promise<void> {
    const version = async () =>
      ((await this.as("root", "GET", "/api/policy")) as { version: number }).version;
    const before = await version();
    await writeFile(join(this.data, "policy.yaml"), text);
    const end = Date.now() + 30_000;
    while ((await version()) === before) {
      if (Date.now() > end) throw new Error("the policy was not applied");
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  async look(id: string, who = "root"): Promise<Request> {
    return (await this.as(who, "GET", `/api/requests/${id}`)) as Request;
  }

  /** Waits until a request is as wanted. */
  async until(id: string, wanted: (r: Request) => boolean): Promise<Request> {
    const end = Date.now() + 30_000;
    for (;;) {
      try {
        const r = await this.look(id);
        if (wanted(r)) return r;
        if (Date.now() > end) throw new Error(`${id} stays ${r.status}`);
      } catch (e) {
        if (Date.now() > end) throw e;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}
