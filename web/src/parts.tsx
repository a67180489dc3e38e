// Small things that several views are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Said } from "./text";
import { clock, isSoon, left } from "./time";
import type { Risk as Level, Request, Segment, Status } from "./types";

export function Icon({ name, size, cls }: { name: string; size?: number; cls?: string }) {
  return (
    <svg class={cls} width={size} height={size} aria-hidden="true">
      <use href={`#i-${name}`} />
    </svg>
  );
}

export const LEVELS: Record<Level, string> = {
  low: "Low",
  medium: "Medium",
  high: "High",
  critical: "Critical",
};

export function RiskTag({ risk }: { risk: Level | undefined }) {
  if (!risk || !LEVELS[risk]) return null;
  return (
    <span class={`risk ${risk}`}>
      <Icon name={risk} />
      {LEVELS[risk]}
      <span class="vh"> risk</span>
    </span>
  );
}

export function RiskShape({ risk }: { risk: Level | undefined }) {
  return risk && LEVELS[risk] ? <Icon name={risk} cls={`r-${risk}`} /> : <span />;
}

/** Does something every so many ms while the page can be seen, until the returned function is called. */
export function whileSeen(every: number, act: () => void): () => void {
  let timer: ReturnType<typeof setInterval> | undefined;
  const change = () => {
    clearInterval(timer);
    if (document.visibilityState === "visible") timer = setInterval(act, every);
  };
  change();
  document.addEventListener("visibilitychange", change);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", change);
  };
}

/** Draws itself anew each second, while the page can be seen. */
export function useSecond(): void {
  const [, tick] = useState(0);
  useEffect(() => whileSeen(1000, () => tick((n) => n + 1)), []);
}

/** True after 200 ms: what loads faster needs no grey bars. */
export function useLate(): boolean {
  const [late, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(true), 200);
    return () => clearTimeout(timer);
  }, []);
  return late;
}

/** The time that is left. It is not live: screen readers hear of it at five minutes and at one. */
export function Left({ deadline }: { deadline: string }) {
  useSecond();
  return <b role="timer">{left(deadline)}</b>;
}

export function Soon({ deadline, children }: { deadline: string | undefined; children: ComponentChildren }) {
  useSecond();
  return <span class={isSoon(deadline) ? "until soon" : "until"}>{children}</span>;
}

const SHAPES: Partial<Record<Status, [kind: string, icon: string, words: string]>> = {
  executed: ["ok", "check", "executed"],
  rejected: ["bad", "cross", "rejected"],
  expired: ["flat", "clock", "expired"],
  blocked: ["flat", "lock", "blocked"],
  failed: ["bad", "warn", "failed"],
  outcome_unknown: ["warn", "help", "outcome unknown"],
  cancelled: ["flat", "cross", "withdrawn"],
  pending: ["warn", "clock", "waits"],
  evaluating: ["flat", "clock", "being judged"],
  approved: ["ok", "check", "approved"],
  executing: ["flat", "live", "running"],
};

/** A status as people say it. */
export const inWords = (status: string): string =>
  SHAPES[status as Status]?.[2] ?? status.replaceAll("_", " ");

export function StatusMark({ status }: { status: Status }) {
  const [kind, icon] = SHAPES[status] ?? ["flat", "help"];
  return (
    <span class={`st ${kind}`}>
      <Icon name={icon} />
      {inWords(status)}
    </span>
  );
}

/** What a call takes, and how far it is. */
export function Rack({ rack }: { rack: Segment[] }) {
  const first = rack.findIndex((s) => s.state === "next");
  return (
    <ol class="rack">
      {rack.map((s, i) => (
        <li key={i} class={`tooth ${s.state}`}>
          <span class="cut">
            {i === first && (
              <svg class="pawl" aria-hidden="true">
                <use href="#i-pawl" />
              </svg>
            )}
          </span>
          <span class="lab">
            <b>
              <span class="vh">{s.state}: </span>
              {s.label}
            </b>
            {s.note ?? clock(s.at)}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** One tooth for each approval, for a row. */
export function Mini({ given, needed }: { given: number; needed: number }) {
  return (
    <span class="mini" aria-hidden="true">
      {Array.from({ length: Math.min(needed, 8) }, (_, i) => (
        <i key={i} class={i < given ? "on" : ""} />
      ))}
    </span>
  );
}

export interface NoticeProps {
  kind: "stop" | "warn" | "info" | "good";
  icon: string;
  head: ComponentChildren;
  children?: ComponentChildren;
  end?: ComponentChildren;
}

export function Notice({ kind, icon, head, children, end }: NoticeProps) {
  return (
    <div class={`notice ${kind}`}>
      <Icon name={icon} />
      <div>
        <p>
          <b>{head}</b>
        </p>
        {children && <p>{children}</p>}
      </div>
      {end && <span class="end">{end}</span>}
    </div>
  );
}

/** So many of something, in words. */
export const plural = (n: number, one: string): string => (n === 1 ? `1 ${one}` : `${n} ${one}s`);

/** Who runs the tool, in words. */
export function runner(v: Pick<Request, "execution">): string {
  return v.execution === "caller" ? "the agent itself, after approval" : "a Pawl worker";
}

export function Quote({ text }: { text: string }) {
  return (
    <>
      “<Said text={text} />”
    </>
  );
}
