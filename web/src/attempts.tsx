// What the agent tried before this call, and what it changed since.
import { BlockView } from "./blocks";
import { Compared } from "./compared";
import { inWords, plural, Quote } from "./parts";
import { requestAddress } from "./route";
import { Said } from "./text";
import { clock, full, length } from "./time";
import type { Attempt, PastCall, Request } from "./types";

const NTH = [
  "",
  "First",
  "Second",
  "Third",
  "Fourth",
  "Fifth",
  "Sixth",
  "Seventh",
  "Eighth",
  "Ninth",
  "Tenth",
  "Eleventh",
];

/** What the agent tried before: attempts that this call is one more of, and equal calls. */
export function Attempts({ r }: { r: Request }) {
  const before = r.attempts ?? [];
  const equal = r.previous ?? [];
  const last = before.at(-1);
  return (
    <>
      {last && (
        <section class="sec">
          <header>
            <h3>{NTH[before.length + 1]} attempt</h3>
          </header>
          <ol class="time">
            {before.map((a, i) => (
              <Past key={a.id} call={a} what={`Attempt ${i + 1}`} />
            ))}
            <li class="nowpt">
              <time>{clock(r.created_at, false)}</time>
              <p>
                <b>Attempt {before.length + 1}</b>, this call
                {r.created_at && `, ${sooner(Date.parse(r.created_at) - Date.parse(last.at))} the last`}.
              </p>
            </li>
          </ol>
        </section>
      )}
      {last && <Comparison last={last} nth={before.length} />}
      {equal.length > 0 && (
        <section class="sec">
          <header>
            <h3>Asked before</h3>
            <span class="note">the same tool with the same arguments</span>
          </header>
          <ol class="time">
            {equal.map((c) => (
              <Past key={c.id} call={c} what="It" />
            ))}
          </ol>
        </section>
      )}
    </>
  );
}

const sooner = (ms: number) => (ms < 1000 ? "right after" : `${length(ms)} after`);

function Past({ call: c, what }: { call: PastCall; what: string }) {
  return (
    <li class={c.status === "executed" ? "yes" : "nay"}>
      <time title={full(c.at)}>{clock(c.at, false)}</time>
      <p>
        <b>{what}</b>: {inWords(c.status)}
        {c.by && (
          <>
            {" "}
            by <Said text={c.by} />
          </>
        )}
        {c.notes ? (
          <>
            : <Quote text={c.notes} />
          </>
        ) : (
          "."
        )}{" "}
        <a href={requestAddress(c.id)}>{c.id.slice(0, 16)}</a>
      </p>
    </li>
  );
}

/** What this call changes of the attempt before. */
function Comparison({ last, nth }: { last: Attempt; nth: number }) {
  const blocks = last.compare ?? [];
  if (blocks.length === 0) return null;
  const changes = blocks.reduce((n, b) => n + (b.rows?.length ?? 1), last.more_changed ?? 0);
  return (
    <section class="sec">
      <header>
        <h3>Changed since attempt {nth}</h3>
        {changes > 0 && <span class="note">{plural(changes, "place")}</span>}
      </header>
      {blocks.map((b, i) =>
        b.kind === "compare" ? (
          <Compared
            key={i}
            b={b}
            was={
              <>
                attempt {nth}, {inWords(last.status)}
                {last.by && (
                  <>
                    {" "}
                    by <Said text={last.by} most={30} />
                  </>
                )}
              </>
            }
            now={`attempt ${nth + 1}, this call`}
          />
        ) : (
          <BlockView key={i} block={b} id={`compare:${i}`} />
        ),
      )}
      {last.more_changed !== undefined && (
        <p class="dim">{last.more_changed} more changes are not shown here.</p>
      )}
    </section>
  );
}
