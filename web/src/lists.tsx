// What the views beside the queue are made of: lists by pages, their frame, and their tables.
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Failure, get } from "./api";
import { askNow, watch } from "./live";
import { Notice, useLate } from "./parts";
import { Said } from "./text";
import type { Page } from "./types";

/** What an address holds, kept up to date. */
export function useLoaded<T>(path: string) {
  const [value, setValue] = useState<T | null>(null);
  const [failure, setFailure] = useState<Failure | null>(null);
  useEffect(() => {
    setValue(null);
    setFailure(null);
    return watch(async () => {
      try {
        setValue(await get<T>(path));
        setFailure(null);
      } catch (e) {
        if (e instanceof Failure && e.problem) setFailure(e);
        throw e;
      }
    });
  }, [path]);
  return { value, failure, setFailure };
}

/** A list by pages, of which the first is kept up to date. */
export function useList<T>(path: string, idOf: (t: T) => string) {
  const { value: first, failure, setFailure } = useLoaded<Page<T>>(path);
  const [more, setMore] = useState<{ items: T[]; next: string } | null>(null);
  useEffect(() => setMore(null), [path]);
  const next = more ? more.next : (first?.next_cursor ?? "");
  const loadMore = useCallback(async () => {
    try {
      const page = await get<Page<T>>(`${path}&cursor=${encodeURIComponent(next)}`);
      setMore({ items: [...(more?.items ?? []), ...page.items], next: page.next_cursor });
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      setFailure(e);
    }
  }, [path, next, more]);
  const known = new Set(first?.items.map(idOf));
  const items = first && [...first.items, ...(more?.items ?? []).filter((t) => !known.has(idOf(t)))];
  return { items, total: first?.total ?? 0, failure, next, loadMore };
}

export function PageFrame({
  title,
  about,
  children,
}: {
  title: string;
  about?: ComponentChildren;
  children: ComponentChildren;
}) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return (
    <main class="page" id="request">
      <header>
        <h1 tabIndex={-1} ref={heading}>
          {title}
        </h1>
        <span class="dim">{about}</span>
      </header>
      {children}
    </main>
  );
}

export function Failed({ failure, what = "This" }: { failure: Failure | null; what?: string }) {
  if (!failure) return null;
  if (failure.status === 403) {
    return (
      <Notice kind="info" icon="lock" head={<Said text={failure.message} />}>
        Who may see it is decided by roles: see your own in the menu at the top.
      </Notice>
    );
  }
  return (
    <Notice
      kind="stop"
      icon="plug"
      head={`${what} could not be loaded.`}
      end={
        <button class="btn small" type="button" onClick={askNow}>
          Try now
        </button>
      }
    >
      <Said text={failure.message.replace(/\.$/, "")} /> ({failure.problem?.code || failure.status}). Trying
      again in a moment.
    </Notice>
  );
}

export function Waiting() {
  return useLate() ? (
    <div aria-busy="true">
      <span class="skel b" />
      <span class="skel b" />
      <span class="skel b" />
    </div>
  ) : null;
}

/** A table that scrolls sideways where it must, by the keyboard, too. */
export function WideTable({ children }: { children: ComponentChildren }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: who has no pointer scrolls it with the keyboard
    <section class="wide-table" tabIndex={0} aria-label="Table">
      {children}
    </section>
  );
}

export function More({ next, load }: { next: string; load: () => void }) {
  return next ? (
    <p>
      <button class="btn small" type="button" onClick={load}>
        Load more
      </button>
    </p>
  ) : null;
}
