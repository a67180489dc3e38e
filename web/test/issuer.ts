// An OpenID Connect issuer with a page where people say who they are: the authorization code flow, with
// PKCE, and nothing else.
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Asked {
  who: string;
  query: URLSearchParams;
}

const bytes = (text: string) => Buffer.from(text).toString("base64url");

export class Issuer {
  url = "";
  /** What its tokens are made for. */
  audience = "pawl";
  /** Whether it refuses to give tokens, as when something of it does not run. */
  down = false;
  /** Who is in which groups. */
  readonly groups: Record<string, string[]> = {};
  private readonly keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  private readonly codes = new Map<string, Asked>();
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Issuer> {
    const server = createServer();
    const i = new Issuer(server);
    server.on("request", async (req, res) => {
      const parts: Buffer[] = [];
      for await (const b of req) parts.push(b as Buffer);
      i.answer(req, res, new URLSearchParams(Buffer.concat(parts).toString()));
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    i.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return i;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private answer(req: IncomingMessage, res: ServerResponse, form: URLSearchParams): void {
    const { pathname, searchParams: query } = new URL(req.url ?? "", this.url);
    const json = (status: number, body: unknown) =>
      res.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    switch (`${req.method} ${pathname}`) {
      case "GET /.well-known/openid-configuration":
        json(200, {
          issuer: this.url,
          jwks_uri: `${this.url}/keys`,
          authorization_endpoint: `${this.url}/authorize`,
          token_endpoint: `${this.url}/token`,
        });
        return;
      case "GET /keys":
        json(200, { keys: [{ ...this.keys.publicKey.export({ format: "jwk" }), kid: "1", use: "sig" }] });
        return;
      case "GET /authorize": {
        const is = (name: string, want: RegExp) => want.test(query.get(name) ?? "");
        const good = is("response_type", /^code$/) && is("scope", /\bopenid\b/) && is("state", /.{16}/);
        if (!good || !is("code_challenge_method", /^S256$/) || !is("code_challenge", /^[\w-]{43}$/))
          return void res.writeHead(400).end("not a sign-in with PKCE");
        res.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><title>Issuer</title>
<form method="post"><label>Account <input name="who"></label><button>Go on</button><button name="no" value="1">Refuse</button></form>`);
        return;
      }
      case "POST /authorize": {
        const back = new URL(query.get("redirect_uri") ?? "");
        back.searchParams.set("state", query.get("state") ?? "");
        back.searchParams.set("iss", this.url);
        const code = randomUUID();
        if (form.has("no")) back.searchParams.set("error", "access_denied");
        else back.searchParams.set("code", code);
        this.codes.set(code, { who: form.get("who") ?? "", query });
        res.writeHead(303, { Location: back.href }).end();
        return;
      }
      case "POST /token":
        if (this.down) return void json(503, { error: "temporarily_unavailable" });
        return void json(...this.token(form));
    }
    res.writeHead(404).end();
  }

  private token(form: URLSearchParams): [status: number, body: unknown] {
    const asked = this.codes.get(form.get("code") ?? "");
    this.codes.delete(form.get("code") ?? "");
    const proof = createHash("sha256").update(form.get("code_verifier") ?? "");
    if (
      asked?.query.get("code_challenge") !== proof.digest("base64url") ||
      asked.query.get("redirect_uri") !== form.get("redirect_uri") ||
      asked.query.get("client_id") !== form.get("client_id")
    )
      return [400, { error: "invalid_grant" }];
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      ...{ iss: this.url, aud: this.audience, iat: now, exp: now + 300, nonce: asked.query.get("nonce") },
      ...{ sub: asked.who, groups: this.groups[asked.who] ?? [] },
    };
    const text = `${bytes('{"alg":"ES256","kid":"1"}')}.${bytes(JSON.stringify(claims))}`;
    const signed = sign("sha256", Buffer.from(text), {
      key: this.keys.privateKey,
      dsaEncoding: "ieee-p1363",
    });
    return [200, { id_token: `${text}.${signed.toString("base64url")}`, token_type: "Bearer" }];
  }
}
