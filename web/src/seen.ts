// What of the arguments stood on the reviewer's screen. They are divided into parts of at most 40
// lines. A part is seen once its end stood inside the pane for 300 ms, while the page could be seen
// and its window had the focus; or once its fold was opened, by whatever input.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

export const PART = 40;
const DWELL = 300;

interface Part {
  what: string; // for people: "lines 41–80 of body"
  seen: boolean;
  end?: Element;
  fold?: HTMLElement; // in which it is hidden
  timer?: ReturnType<typeof setTimeout>;
}

export class Seen {
  private readonly parts = new Map<string, Part>();
  private readonly inside = new Set<string>();
  private observer: IntersectionObserver | undefined;
  constructor(private readonly changed: () => void) {}

  /** Watches within the pane; the returned function stops it. */
  watch(pane: Element): () => void {
    this.observer = new IntersectionObserver((entries) => this.moved(entries), { root: pane });
    for (const p of this.parts.values()) if (p.end) this.observer.observe(p.end);
    const again = () => {
      for (const id of this.inside) this.dwell(id);
    };
    addEventListener("focus", again);
    document.addEventListener("visibilitychange", again);
    return () => {
      this.observer?.disconnect();
      this.observer = undefined;
      removeEventListener("focus", again);
      document.removeEventListener("visibilitychange", again);
      for (const p of this.parts.values()) clearTimeout(p.timer);
    };
  }

  /** Says that there is a part, whether or not it can be seen yet. */
  need(id: string, what: string): void {
    if (this.parts.has(id)) return;
    this.parts.set(id, { what, seen: false });
    queueMicrotask(this.changed);
  }

  /** Says which element ends a part; null: it is not on the page. */
  ends(id: string, end: Element | null): void {
    const p = this.parts.get(id);
    if (!p || p.end === end) return;
    if (p.end) this.observer?.unobserve(p.end);
    if (end) {
      p.end = end;
      (end as HTMLElement).dataset.part = id;
      this.observer?.observe(end);
    } else {
      delete p.end;
      this.inside.delete(id);
      clearTimeout(p.timer);
    }
  }

  /** Says which fold hides a part; null: none does. */
  foldedIn(id: string, fold: HTMLElement | null): void {
    const p = this.parts.get(id);
    if (!p) return;
    if (fold) p.fold = fold;
    else delete p.fold;
  }

  opened(ids: string[]): void {
    for (const id of ids) this.mark(id);
  }

  private moved(entries: IntersectionObserverEntry[]) {
    for (const e of entries) {
      const id = (e.target as HTMLElement).dataset.part ?? "";
      if (e.isIntersecting) {
        this.inside.add(id);
        this.dwell(id);
      } else {
        this.inside.delete(id);
        clearTimeout(this.parts.get(id)?.timer);
      }
    }
  }

  private dwell(id: string) {
    const p = this.parts.get(id);
    if (!p || p.seen) return;
    clearTimeout(p.timer);
    p.timer = setTimeout(() => {
      if (this.inside.has(id) && document.visibilityState === "visible" && document.hasFocus()) this.mark(id);
    }, DWELL);
  }

  private mark(id: string) {
    const p = this.parts.get(id);
    if (!p || p.seen) return;
    p.seen = true;
    this.changed();
  }

  /** The parts that were not seen. Who has seen all of one form has seen all. */
  unseen(): { what: string; show: () => void }[] {
    const forms = new Map<string, Part[]>();
    for (const [id, p] of this.parts) {
      const form = id.slice(0, id.indexOf(":"));
      forms.set(form, [...(forms.get(form) ?? []), p]);
    }
    let least: Part[] | undefined;
    for (const parts of forms.values()) {
      const open = parts.filter((p) => !p.seen);
      if (open.length === 0) return [];
      // What is on the page says best what is missing.
      if (!least || open.some((p) => p.end || p.fold)) least = open;
    }
    return (least ?? []).map((p) => ({
      what: p.what,
      show: () => {
        (p.end ?? p.fold)?.scrollIntoView({ block: "center" });
        if (!p.end) p.fold?.focus({ preventScroll: true });
      },
    }));
  }
}

/** Follows what was seen of one digest. A new digest begins anew. */
export function useSeen(digest: string): [Seen, preact.RefObject<HTMLDivElement | null>] {
  const [, draw] = useState(0);
  const pane = useRef<HTMLDivElement>(null);
  const seen = useMemo(() => new Seen(() => draw((n) => n + 1)), [digest]);
  useEffect(() => (pane.current ? seen.watch(pane.current) : undefined), [seen]);
  return [seen, pane];
}
