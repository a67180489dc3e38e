import { AsJSON } from "./args";
import type { Findings } from "./findings";
import type { Attempt, Listed, Request, Span } from "./types";

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
export function Comparison(_: { r: Request; before: Attempt[] }) {
  return null;
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
