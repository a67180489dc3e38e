// Two columns: how it was, and how it is.
import type { ComponentChildren } from "preact";
import { Spans, textOf } from "./text";
import type { Block, Line } from "./types";

/** A block that compares. ours: it holds Pawl's own words, which do not stand on the hatched ground. */
export function Compared({
  b,
  was,
  now,
  ours = false,
}: {
  b: Block;
  was: ComponentChildren;
  now: ComponentChildren;
  ours?: boolean;
}) {
  const side = (lines: Line[] | undefined, cls: string, sign: string) => (
    <td class={`val ${cls}`}>
      {lines ? (
        <>
          <span class="sign" aria-hidden="true">
            {sign}
          </span>
          {lines.map((l, i) => (
            <bdi key={i} class="tl" dir="auto">
              <Spans spans={l.spans} />
            </bdi>
          ))}
        </>
      ) : (
        <span class="u mild">absent</span>
      )}
    </td>
  );
  return (
    <table class={ours ? "args cmp ours" : "args cmp"}>
      <thead>
        <tr>
          <th>what changed</th>
          <th>{was}</th>
          <th>{now}</th>
        </tr>
      </thead>
      <tbody>
        {(b.rows ?? []).map((r, i) => (
          <tr key={i}>
            <th scope="row">
              <bdi dir="auto">
                <Spans spans={r.name ?? []} />
              </bdi>
              {r.note && <span class="hint">{textOf(r.note)}</span>}
            </th>
            {side(r.was, "was", "−")}
            {side(r.value, "now", "+")}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
