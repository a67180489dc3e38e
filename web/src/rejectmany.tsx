// Rejecting many requests at once.
import { useRef, useState } from "preact/hooks";
import { askNow } from "./live";
import { Rejection } from "./many";
import { queue } from "./queue";
import { Said } from "./text";
import type { Listed } from "./types";

/** Rejects the marked calls: one note, and an answer for each. Approving many is the command line's. */
export function RejectMany({ marked, done }: { marked: ReadonlySet<string>; done: () => void }) {
  const [notes, setNotes] = useState("");
  const sent = useRef<{ calls: Listed[]; rejection: Rejection } | null>(null); // the one that was begun
  const [, draw] = useState(0);
  const rows = [...marked].map((id) => queue.value.rows.get(id)?.call).filter((c) => c !== undefined);
  const send = async (e: MouseEvent) => {
    if (e.detail > 1) return;
    sent.current ??= { calls: rows, rejection: new Rejection(rows, notes) };
    await sent.current.rejection.send(() => draw((n) => n + 1));
    askNow();
  };
  const begun = sent.current;
  const r = begun?.rejection;
  return (
    <form class="many" aria-label="Reject the marked calls" onSubmit={(e) => e.preventDefault()}>
      {r ? (
        <ul role="status">
          {begun.calls
            .filter((c) => r.results.has(c.id))
            .map((c) => (
              <li key={c.id}>
                <Said text={c.tool} /> <Said text={r.results.get(c.id)} />
              </li>
            ))}
          {r.failure && (
            <li>
              <b>
                {r.failure.problem ? <Said text={r.failure.message} /> : "We don’t know whether all arrived."}
              </b>{" "}
              Sending again is safe: each counts once.
            </li>
          )}
        </ul>
      ) : (
        <textarea
          rows={1}
          aria-label="Notes for all of them"
          placeholder="Notes for all of them (optional)"
          value={notes}
          onInput={(e) => setNotes(e.currentTarget.value)}
        />
      )}
      <p>
        {(!r || r.sending || r.left > 0) && (
          <button
            class="btn small"
            type="button"
            aria-disabled={r?.sending ? true : undefined}
            onClick={send}
          >
            {r?.sending
              ? `Rejecting ${begun?.calls.length}…`
              : r
                ? `Send ${r.left} again`
                : `Reject ${rows.length}`}
          </button>
        )}
        {!r?.sending && (
          <button class="btn small quiet" type="button" onClick={done}>
            {r ? "Close" : "Unmark all"}
          </button>
        )}
      </p>
      <p class="dim">
        To approve many: <code>pawl approve</code>
      </p>
    </form>
  );
}
