// One stream of events for all tabs of a person in this browser: a lock of the browser elects the tab
// that listens, and a channel takes what it hears to the others.
import { credentialHeaders } from "./api";

/** What one tab tells the others, and itself but for "out". */
export type Message =
  | { kind: "changed"; ids: string[] | null } // requests; null: anything may have changed
  | { kind: "alive" } // nothing changed
  | { kind: "lost" } // the stream is not there, and is opened again
  | { kind: "out" } // the person signs out
  | { kind: "hello" }; // a tab came: does anybody listen?

const FIRST = 250; // ms after which a stream that ended is opened again
const MOST = 8000; // ms, of pauses that double

export class Stream {
  private readonly channel: BroadcastChannel;
  private turn = new AbortController(); // of waiting for the lock and holding it
  private closed = false;
  private heard = false; // by this tab itself, since its stream was opened
  private hurry = () => {}; // ends a pause

  /** The name is the same for all tabs of one person, and for nobody else's. */
  constructor(
    private readonly name: string,
    private readonly hear: (m: Message) => void,
  ) {
    this.channel = new BroadcastChannel(name);
    this.channel.onmessage = (e: MessageEvent<Message>) => {
      if (e.data.kind !== "hello") hear(e.data);
      else if (this.heard) this.say({ kind: "alive" });
    };
    this.channel.postMessage({ kind: "hello" } satisfies Message);
    this.elect();
  }

  /** Whether this browser lets tabs share: it doesn't over plain HTTP from another computer. */
  static possible(): boolean {
    return navigator.locks !== undefined && typeof BroadcastChannel !== "undefined";
  }

  say(m: Message): void {
    if (this.closed) return;
    this.channel.postMessage(m);
    if (m.kind !== "out") this.hear(m); // who signs out knows
  }

  /** Opens the stream now if it is this tab's and waits to be opened again. */
  again(): void {
    this.hurry();
  }

  /** Makes this tab the one that listens: the one before is silent, as browsers freeze hidden tabs. */
  takeOver(): void {
    this.elect(true);
  }

  close(): void {
    this.closed = true;
    this.turn.abort();
    this.channel.close();
  }

  private elect(steal = false): void {
    this.turn.abort();
    const turn = new AbortController();
    this.turn = turn;
    const options: LockOptions = steal ? { steal } : { signal: turn.signal };
    navigator.locks
      .request(this.name, options, () => this.listen(turn.signal))
      .catch(() => {
        turn.abort(); // another tab took over
        if (turn === this.turn && !this.closed) this.elect();
      });
  }

  private async listen(signal: AbortSignal): Promise<void> {
    for (let wait = FIRST; !signal.aborted; wait = Math.min(2 * wait, MOST)) {
      await this.read(signal).catch(() => {}); // it ends in many ways, and all mean the same
      if (this.heard) wait = FIRST;
      this.heard = false;
      if (signal.aborted) return;
      this.say({ kind: "lost" });
      await this.pause(wait * (0.5 + Math.random() / 2), signal);
    }
  }

  private async pause(wait: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>((done) => {
      const timer = setTimeout(done, wait);
      this.hurry = () => {
        clearTimeout(timer);
        done();
      };
      signal.addEventListener("abort", this.hurry, { once: true });
    });
    this.hurry = () => {};
  }

  private async read(signal: AbortSignal): Promise<void> {
    const answer = await fetch("/api/events", {
      headers: { Accept: "text/event-stream", ...credentialHeaders() },
      signal,
      redirect: "error",
      cache: "no-store",
    });
    if (!answer.ok || !answer.body) return void answer.body?.cancel();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      const events = (text + value).split("\n\n");
      text = events.pop() ?? "";
      if (events.length === 0) continue;
      this.heard = true;
      this.say(told(events));
    }
  }
}

/** What some events say together. */
function told(events: string[]): Message {
  const ids: string[] = [];
  for (const event of events) {
    if (event.startsWith(":")) continue;
    const changed = /^event: changed\ndata: (.*)$/.exec(event);
    if (!changed) return { kind: "changed", ids: null };
    ids.push((JSON.parse(changed[1] ?? "") as { id: string }).id);
  }
  return ids.length > 0 ? { kind: "changed", ids } : { kind: "alive" };
}
