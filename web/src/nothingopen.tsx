// What stands beside the queue while no request is open.
import { useEffect, useState } from "preact/hooks";
import { get } from "./api";
import { useCell } from "./cell";
import { isMine, isPart, noneSoFar, queue, totalOf, withVotes } from "./queue";
import type { Listed, Page } from "./types";

/** What stands beside the list while no request is open. */
export function NothingOpen() {
  const q = useCell(queue);
  if (!q.loaded) return <main class="pane" id="request" aria-busy="true" />;
  if (q.failure && q.rows.size === 0 && q.total === 0) return <main class="pane" id="request" />;
  const rows = [...q.rows.values()].filter((r) => !r.gone);
  const mine = rows.filter((r) => isMine(withVotes(r.call))).length;
  const others = rows.length - mine;
  return (
    <main class="pane" id="request">
      <div class="mid">
        <svg class="art" aria-hidden="true">
          <use href="#i-mark" />
        </svg>
        {rows.length === 0 ? (
          <Empty />
        ) : mine === 0 && (!isPart(q) || q.looked?.found === "none") ? (
          <>
            <h2>Nothing waits for you.</h2>
            <p>
              {others === 1 ? "1 call waits" : `${isPart(q) ? totalOf(q) : others} calls wait`} for others.
              New ones appear here by themselves; the tab’s title shows how many.
            </p>
          </>
        ) : isPart(q) ? (
          <>
            <h2>{totalOf(q)} calls wait.</h2>
            <p>{(mine === 0 && noneSoFar(q)) || `You can decide ${mine} of those in the list so far.`}</p>
          </>
        ) : (
          <>
            <h2>{mine === 1 ? "1 call waits for you." : `${mine} calls wait for you.`}</h2>
            <p>
              Open one, or press <kbd>j</kbd> for the one whose time ends first.
            </p>
          </>
        )}
        <a class="btn small" href="/history">
          History
        </a>
      </div>
    </main>
  );
}

/** Nothing waits: at the very start the page says how something would. */
function Empty() {
  const [first, setFirst] = useState(false);
  useEffect(() => {
    get<Page<Listed>>("/api/requests?status=all&limit=1").then(
      (page) => setFirst(page.items.length === 0),
      () => {}, // it is only for saying more
    );
  }, []);
  if (!first) {
    return (
      <>
        <h2>Nothing waits for you.</h2>
        <p>New calls appear here by themselves; the tab’s title shows how many.</p>
      </>
    );
  }
  return (
    <>
      <h2>No agent has asked for anything yet.</h2>
      <p>When one starts a guarded call that needs a person, it appears here by itself. Try it:</p>
      <pre class="code plain">
        {`pawl call send_email --args '{"to": "dee@example.com", "subject": "Hello"}'`}
      </pre>
      <p class="dim">Everything that no rule names needs approval.</p>
    </>
  );
}
