// Signing in, and saying who one is where nobody is authenticated.
import { useState } from "preact/hooks";
import { credentials } from "./api";
import { Icon } from "./parts";
import { leaveToSignIn, type Session, signIn, withToken } from "./session";
import { Said } from "./text";

function Card({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <main class="mid">
      <div class="card">
        <span class="brand">
          <Icon name="mark" />
          Pawl
        </span>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

export function SignIn({ s }: { s: Session }) {
  switch (s.state) {
    case "name":
      return <WhoAreYou />;
    case "token":
      return <Token s={s} />;
    case "unreachable":
      return (
        <Card title="Not connected">
          <p>This Pawl does not answer.</p>
          <button class="btn yes full" type="button" onClick={() => void signIn()}>
            Try again
          </button>
        </Card>
      );
  }
  return <main class="mid" aria-busy="true" />;
}

function WhoAreYou() {
  const [name, setName] = useState("");
  const go = (e: Event) => {
    e.preventDefault();
    if (name.trim() === "") return;
    credentials.useName(name.trim());
    void signIn();
  };
  return (
    <Card title="Who are you?">
      <p>
        This Pawl runs without sign-in, for this computer only. Your name goes into the record{" "}
        <b>as unverified</b>.
      </p>
      <form class="form" onSubmit={go}>
        <div class="field">
          <label for="name">Name</label>
          <input
            id="name"
            value={name}
            autocomplete="username"
            onInput={(e) => setName(e.currentTarget.value)}
          />
          <span class="hint">Rules that name groups won’t count you.</span>
        </div>
        <button class="btn yes full" type="submit">
          Go to the queue
        </button>
      </form>
    </Card>
  );
}

function Token({ s }: { s: Extract<Session, { state: "token" }> }) {
  const { refused, was, oidc, failed } = s;
  const [token, setToken] = useState("");
  const go = (e: Event) => {
    e.preventDefault();
    if (token.trim() === "") return;
    void withToken(token.trim());
  };
  return (
    <Card title={was ? "Signed out" : "Sign in"}>
      {was && (
        <p>
          Sign in to go on; this address is kept. <b>Nothing you had typed was sent.</b>
        </p>
      )}
      {failed && (
        <p class="failed" role="alert">
          <Icon name="cross" size={12} /> {failed}
        </p>
      )}
      {oidc && (
        <>
          {/* It leaves the page, and comes back to this address. */}
          <a
            class="btn yes full"
            target="_self"
            onClick={leaveToSignIn}
            href={`/auth/login?to=${encodeURIComponent(location.pathname + location.search)}`}
          >
            Continue with your company account
          </a>
          <p class="or">or</p>
        </>
      )}
      <form class="form" onSubmit={go}>
        <div class={refused ? "field bad" : "field"}>
          <label for="token">Token</label>
          <input
            id="token"
            type="password"
            autocomplete="off"
            placeholder="pawl_…"
            value={token}
            aria-describedby="token-hint"
            onInput={(e) => setToken(e.currentTarget.value)}
          />
          {refused && (
            <span class="err" role="alert">
              <Icon name="cross" size={12} />
              <Said text={refused} />
            </span>
          )}
          <span class="hint" id="token-hint">
            An administrator makes tokens: <code>pawl token new</code>. With one, <code>pawl open</code> signs
            you in here.
          </span>
        </div>
        <button class={oidc ? "btn full" : "btn yes full"} type="submit">
          Sign in with a token
        </button>
      </form>
    </Card>
  );
}
