// Says what became of a call whose outcome is unknown: once, and it can't be taken back.
import { useRef, useState } from "preact/hooks";
import { Failure, settle } from "./api";
import { useCell } from "./cell";
import { useKeys } from "./keys";
import { link } from "./live";
import { isPhone } from "./parted";
import { Icon } from "./parts";
import { loadRequest } from "./requests";
import { Said } from "./text";
import type { Request } from "./types";

export function maySettle(r: Request): boolean {
  return r.status === "outcome_unknown" && !r.settled && r.you?.may.includes("settle") === true;
}

export interface Finding {
  ran: boolean | null;
  set: (ran: boolean | null) => void;
}

/** What the reviewer found; nothing is chosen beforehand. */
export function FindingChoice({ finding }: { finding: Finding }) {
  const option = (ran: boolean, head: string, more: string) => (
    <label class="opt">
      <input type="radio" name="finding" checked={finding.ran === ran} onChange={() => finding.set(ran)} />
      <span>
        <b>{head}</b> {more}
      </span>
    </label>
  );
  return (
    <section class="sec">
      <header>
        <h3>What did you find?</h3>
      </header>
      <fieldset class="form">
        <legend class="vh">Finding</legend>
        <div>
          {option(true, "It did run.", "That is recorded, with your name and what you write.")}
          {option(false, "It did not run.", "That is recorded; the agent may ask again.")}
        </div>
      </fieldset>
    </section>
  );
}

export function SettleBar({ r, finding }: { r: Request; finding: Finding }) {
  const [notes, setNotes] = useState("");
  const [sending, setSending] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const connected = useCell(link).state !== "off";
  const field = useRef<HTMLTextAreaElement>(null);
  const cancel = () => {
    finding.set(null);
    setNotes("");
    setFailure(null);
  };
  useKeys({ Escape: cancel });
  const missing = !connected
    ? "Settling is off until this page is connected again."
    : finding.ran === null
      ? "Choose what you found and say how you know. It is recorded beside the outcome, with your name."
      : notes.trim() === ""
        ? "Say how you know. It is recorded beside the outcome, with your name."
        : "";
  const send = async (e: MouseEvent) => {
    if (e.detail > 1 || sending) return;
    if (missing || finding.ran === null) return field.current?.focus();
    setSending(true);
    try {
      await settle(r.id, finding.ran, notes);
      await loadRequest(r.id);
    } catch (e) {
      if (!(e instanceof Failure)) throw e;
      setFailure(e);
    } finally {
      setSending(false);
    }
  };
  return (
    <form class="bar" aria-label="Settle" onSubmit={(e) => e.preventDefault()}>
      <div class="r1 step">
        <label class="notes">
          <span class="vh">How you know</span>
          <textarea
            ref={field}
            rows={1}
            placeholder={`How you know (required)${isPhone() ? "" : ", for example the payment’s own reference"}`}
            value={notes}
            onInput={(e) => setNotes(e.currentTarget.value)}
          />
        </label>
      </div>
      <div class="r2">
        <div class="stmt" id="settle-statement" role={failure ? "alert" : undefined}>
          {failure ? (
            <span class="why">
              <Icon name="warn" />
              <span>
                <b>{failure.problem ? "Not recorded:" : "We don’t know whether it arrived."}</b>{" "}
                <Said text={failure.message} />
              </span>
            </span>
          ) : (
            missing || (
              <>
                <b>{finding.ran ? "You say that it did run." : "You say that it did not run."}</b> You can’t
                take it back.
              </>
            )
          )}
        </div>
        <button class="btn quiet" type="button" onClick={cancel}>
          Cancel <kbd>Esc</kbd>
        </button>
        <button
          class="btn yes"
          type="button"
          aria-disabled={missing || sending ? true : undefined}
          aria-describedby="settle-statement"
          onClick={send}
        >
          {sending ? "Sending…" : "Settle"}
        </button>
      </div>
    </form>
  );
}
