// Rejecting many requests at once.
import { useState } from "preact/hooks";
import { call, Failure, newID } from "./api";
import { askNow } from "./live";
import { queue } from "./queue";
import { Said } from "./text";

/** Rejects the marked calls: one note, and an answer for each. Approving many is the command line's. */
export function RejectMany({ marked, done }: { marked: ReadonlySet<string>; done: () => void }) {
  const [notes, setNotes] = useState("");
  const [results, setResults] = useState<Record<string, string> | null>(null);
  const rows = [...marked].map((id) => queue.value.rows.get(id)?.call).filter((c) => c !== undefined);
  const send = async (e: MouseEvent) => {
    if (e.detail > 1) return;
    const items = rows.map((c) => ({ id: c.id, digest: c.digest, decision_id: newID() }));
    try {
      const a = await call<{ results: { id: string; outcome?: string; message?: string }[] }>(
        "POST",
        "/api/decisions",
        {
          decision: "reject",
          notes,
          items,
        },
      );
      setResults(
        Object.fromEntries(a.results.map((r) => [r.id, r.message || (r.outcome ?? "").replaceAll("_", " ")])),
      );
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      setResults({ "": e.message });
    }
    askNow();
  };
  return (
    <form class="many" aria-label="Reject the marked calls" onSubmit={(e) => e.preventDefault()}>
      {results ? (
        <ul role="status">
          {Object.entries(results).map(([id, what]) => (
            <li key={id}>
              <Said text={rows.find((c) => c.id === id)?.tool ?? ""} /> {what}
            </li>
          ))}
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
        {!results && (
          <button class="btn small" type="button" onClick={send}>
            Reject {marked.size}
          </button>
        )}
        <button class="btn small quiet" type="button" onClick={done}>
          {results ? "Close" : "Unmark all"}
        </button>
      </p>
      <p class="dim">
        To approve many: <code>pawl approve</code>
      </p>
    </form>
  );
}
