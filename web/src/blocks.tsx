import { AsJSON } from "./args";
import type { Findings } from "./findings";
import { Redacted, Said, SaidLines } from "./text";
import type { Attempt, Json, Listed, Request, Span } from "./types";

export function summaryOf(_v: Listed): Span[] | null {
  return null;
}
export function hasBlocks(_v: Listed): boolean {
  return false;
}
export function blockFindings(_v: Listed): Findings | null {
  return null;
}
export function ArgumentBlocks(_: { v: Listed }) {
  return null;
}
/** What this call changes of the attempt before. */
export function Comparison({ last, nth }: { last: Attempt; nth: number }) {
  const changed = last.changed ?? [];
  if (changed.length === 0) return null;
  const side = (v: Json | undefined, cls: string, sign: string) => (
    <td class={`val ${cls}`}>
      {v !== undefined && (
        <>
          <span class="sign">{sign}</span>
          <SaidLines text={typeof v === "string" ? v : JSON.stringify(v)} />
        </>
      )}
    </td>
  );
  return (
    <section class="sec">
      <header>
        <h3>Changed since attempt {nth}</h3>
      </header>
      <table class="args cmp">
        <thead>
          <tr>
            <th>what changed</th>
            <th>attempt {nth}</th>
            <th>this call</th>
          </tr>
        </thead>
        <tbody>
          {changed.map((c) => (
            <tr key={c.path}>
              <th scope="row">
                <Said text={c.path.slice(1)} most={80} />
              </th>
              {c.hidden ? (
                <td colSpan={2}>
                  <Redacted why="nobody can tell whether it changed" />
                </td>
              ) : (
                <>
                  {side(c.was, "was", "−")}
                  {side(c.now, "now", "+")}
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
      {last.more_changed !== undefined && (
        <p class="dim">{last.more_changed} more changes are not shown here.</p>
      )}
    </section>
  );
}
export function Result({ v }: { v: Request }) {
  return (
    <section class="sec">
      <header>
        <h3>Result</h3>
        <span class="note">the tool’s own words</span>
      </header>
      <AsJSON value={v.result ?? null} />
    </section>
  );
}
