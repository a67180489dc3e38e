// What a call would do in one line. Package present makes it; without its word the page lists the
// first arguments.
import { summaryOf } from "./blocks";
import { plain, Said, Spans, V } from "./text";
import type { Json, Listed } from "./types";

const MOST = 4;

const textOf = (v: Json): string | null => (v !== null && typeof v !== "object" ? String(v) : null);

function shown(args: Json | undefined): { named: [string, string][]; more: number } {
  if (args === null || typeof args !== "object" || Array.isArray(args)) return { named: [], more: 0 };
  const all = Object.entries(args);
  const named = all
    .map(([k, v]): [string, string | null] => [k, textOf(v)])
    .filter((e): e is [string, string] => e[1] !== null)
    .slice(0, MOST);
  return { named, more: all.length - named.length };
}

export function Summary({ v }: { v: Listed }) {
  const made = summaryOf(v);
  if (made) return <Spans spans={made} />;
  const { named, more } = shown(v.args);
  return (
    <>
      Run <V>{v.tool || "a tool"}</V>
      {named.map(([k, value], i) => (
        <span key={k}>
          {i === 0 ? ": " : ", "}
          <Said text={k} most={40} /> <V>{value}</V>
        </span>
      ))}
      {more > 0 && <>{named.length > 0 ? ` and ${more} more` : ` with ${more} arguments`}</>}
    </>
  );
}

/** The same in plain words, for titles and screen readers. */
export function summaryText(v: Listed): string {
  const made = summaryOf(v);
  if (made) return made.map((s) => s.s).join("");
  const { named, more } = shown(v.args);
  const list = named.map(([k, value]) => plain(`${k} ${value}`)).join(", ");
  return `Run ${plain(v.tool ?? "a tool")}${list && `: ${list}`}${more > 0 ? ` and ${more} more` : ""}`;
}
