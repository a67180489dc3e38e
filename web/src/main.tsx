// The page for people: what waits, and decisions about it.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { now } from "./api";
import { Audit } from "./audit";
import { useCell } from "./cell";
import { applyTheme, Frame } from "./frame";
import { History } from "./history";
import { useKeys } from "./keys";
import { watch } from "./live";
import { NothingOpen } from "./nothingopen";
import { Icon, plural, whileSeen } from "./parts";
import { Policy } from "./policy";
import { atLeast, isMine, isPart, loadQueue, queue, withVotes } from "./queue";
import { move, QueueList, useOrder } from "./queueview";
import { RequestPane } from "./request";
import { followLinks, go, queueQuery, requestAddress, useRoute } from "./route";
import { begin, session } from "./session";
import { SignIn } from "./signin";
import { Tools } from "./tools";

function App() {
  const s = useCell(session);
  const route = useRoute();
  const q = useCell(queue);
  const [about, setAbout] = useState("");
  const count = [...q.rows.values()].filter((r) => !r.gone && isMine(withVotes(r.call))).length;
  // How many I can decide.
  const mine = count > 0 || (isPart(q) && q.looked?.found !== "none") ? atLeast(count, q) : "";
  const title = [about && route.view === "request" ? about : "", "Pawl"].filter(Boolean).join(" · ");
  // All views say how many calls wait for this person.
  useEffect(() => (s.state === "in" ? watch(loadQueue) : undefined), [s.state]);
  useEffect(() => {
    document.title = s.state === "in" && mine ? `(${mine}) ${title}` : title;
  }, [mine, title, s.state]);
  if (s.state !== "in") {
    return (
      <div class="app">
        <SignIn s={s} />
      </div>
    );
  }
  const decides = route.view === "queue" || route.view === "request";
  return (
    <div class={`app ${route.view}`}>
      {decides ? (
        <Deciding mine={mine} id={route.view === "request" ? route.id : ""} title={setAbout} />
      ) : (
        <Frame mine={mine}>
          {route.view === "history" && <History />}
          {route.view === "audit" && <Audit />}
          {route.view === "policy" && <Policy digest={route.id} rule={route.hash} />}
          {route.view === "tools" && <Tools />}
          {route.view === "nothing" && (
            <main class="mid">
              <h1>There is nothing at this address.</h1>
              <a class="btn small" href="/">
                To the queue
              </a>
            </main>
          )}
        </Frame>
      )}
    </div>
  );
}

function Deciding({ mine, id, title }: { mine: string; id: string; title: (about: string) => void }) {
  const q = useCell(queue);
  const order = useOrder();
  const at = order.findIndex((r) => r.call.id === id);
  useKeys({
    j: () => move(order, id, 1),
    k: () => move(order, id, -1),
    u: id ? () => go(`/${queueQuery()}`) : undefined,
  });
  const others = order.filter((r) => r.call.id !== id && !r.gone && isMine(r.call));
  const after = order.slice(at + 1).filter((r) => !r.gone && r.call.id !== id);
  const following = after.find((r) => isMine(r.call)) ?? others[0] ?? after[0];
  const next = following && (() => go(requestAddress(following.call.id)));
  const back = id ? (
    <>
      <a class="btn quiet to-list" href={`/${queueQuery()}`} aria-label="Back to the queue">
        <Icon name="back" />
      </a>
      <span class="place dim">{at >= 0 && `${at + 1} of ${atLeast(order.length, q)}`}</span>
    </>
  ) : undefined;
  return (
    <Frame mine={mine} back={back}>
      <div class={id ? "split has-request" : "split"}>
        <QueueList selected={id} />
        {id ? <RequestPane key={id} id={id} next={next} title={title} /> : <NothingOpen />}
      </div>
      <NewCalls />
    </Frame>
  );
}

/** Says aloud, at most every ten seconds, how many calls are new. */
function NewCalls() {
  const q = useCell(queue);
  const [said, say] = useState("");
  const [known] = useState(() => ({ ids: new Set<string>(), fresh: [] as string[], loaded: 0 }));
  useEffect(() => {
    const all = [...[...q.rows.values()].map((r) => r.call), ...q.held];
    for (const c of all) {
      if (known.ids.has(c.id)) continue;
      known.ids.add(c.id);
      // Those of further pages are old.
      if (known.loaded && Date.parse(c.created_at ?? "") >= known.loaded) known.fresh.push(c.risk ?? "");
    }
    if (q.loaded && !known.loaded) known.loaded = now();
  }, [q]);
  useEffect(() => {
    return whileSeen(10_000, () => {
      if (known.fresh.length === 0) return;
      const n = known.fresh.length;
      const risky = (["critical", "high"] as const)
        .map((r): [string, number] => [r, known.fresh.filter((f) => f === r).length])
        .filter(([, k]) => k > 0)
        .map(([r, k]) => `, ${k} ${r}`);
      say(`${plural(n, "new call")}${risky.join("")}.`);
      known.fresh = [];
    });
  }, []);
  return (
    <p class="vh" role="status">
      {said}
    </p>
  );
}

applyTheme();
document.addEventListener("click", followLinks);
void begin();
const root = document.getElementById("page");
if (root) {
  root.replaceChildren();
  render(<App />, root);
}
