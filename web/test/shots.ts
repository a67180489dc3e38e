// Takes pictures of every state of the page, in both themes, into web/shots: to look at them beside
// the design. `make shots` runs it; names as arguments take those alone. With `images` it takes those of
// the README instead.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launch, person } from "./browser";
import { askAll } from "./callstates";
import { Stack } from "./stack";
import { type Shot, states } from "./states";

const wanted = process.argv.slice(2);
const root = process.env.PAWL_WEB_ROOT ?? ".";
const s = await Stack.start(process.env.PAWL_DEV ?? "");
const b = await launch();

async function take(shots: Shot[], folder: string, only: string[], at = s): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const shot of shots) {
    if (only.length > 0 && !only.includes(shot.name)) continue;
    for (const dark of shot.once ? [false] : [false, true]) {
      const p = await person(b, at, shot.who ?? "ana", shot.address, { ...shot.size, dark });
      try {
        await p.page.locator(shot.there).first().waitFor({ timeout: 10_000 });
        await shot.do?.(p.page);
        await p.page.waitForTimeout(400);
      } catch (e) {
        console.error(`${shot.name}: ${e}`);
      }
      await p.page.screenshot({ path: join(folder, `${shot.name}-${dark ? "dark" : "light"}.png`) });
      for (const c of p.complaints) console.error(`${shot.name}: ${c}`);
      await p.context.close();
    }
  }
}

/** States of a Pawl that has no calls yet, or no sign-in. */
async function before(): Promise<void> {
  const first: Shot[] = [
    { name: "first-start", address: "/", there: ".mid" },
    { name: "sign-in", who: "nobody", address: "/", there: ".card" },
    {
      name: "sign-in-failed",
      who: "nobody",
      address: "/",
      there: ".card",
      do: async (p) => {
        await p.route("**/auth/session", (r) => r.fulfill({ json: { tokens: true, oidc: true } }));
        await p.goto(`${s.api}/?#signin-failed=denied`);
        await p.locator(".failed").waitFor();
      },
    },
  ];
  await take(first, join(root, "shots"), wanted);
  if (wanted.length === 0 || wanted.includes("who-are-you")) {
    const none = await Stack.start(process.env.PAWL_DEV ?? "", "none");
    await take(
      [{ name: "who-are-you", who: "", address: "/", there: ".card" }],
      join(root, "shots"),
      wanted,
      none,
    );
    await none.stop();
  }
}

try {
  if (wanted[0] === "images") {
    const id = await askAll(s);
    await take(
      [{ name: "request", who: "cy", address: `/requests/${id.deploy}`, there: "form.bar" }],
      join(root, "../docs/images"),
      [],
    );
  } else {
    await before();
    await take(states(s, await askAll(s)), join(root, "shots"), wanted);
  }
} finally {
  await b.close();
  await s.stop();
}
