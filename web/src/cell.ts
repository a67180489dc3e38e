// A value that views follow.
import { useEffect, useState } from "preact/hooks";

export class Cell<T> {
  private readonly listeners = new Set<() => void>();
  constructor(private held: T) {}
  get value(): T {
    return this.held;
  }
  set value(v: T) {
    if (v === this.held) return;
    this.held = v;
    for (const l of this.listeners) l();
  }
  follow(l: () => void): () => void {
    this.listeners.add(l);
    return () => void this.listeners.delete(l);
  }
}

/** Draws the component anew when the cell's value changes; many changes in one frame draw once. */
export function useCell<T>(cell: Cell<T>): T {
  const [, draw] = useState(0);
  useEffect(() => {
    const l = () => draw((n) => n + 1);
    l(); // it may have changed between drawing and following
    return cell.follow(l);
  }, [cell]);
  return cell.value;
}
