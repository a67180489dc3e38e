// The digest of a call, which says what exactly is decided on.
import { useRef } from "preact/hooks";
import { Copy } from "./copy";

const inFours = (s: string) => s.replace(/(.{4})(?=.)/g, "$1 ");

const ends = (digest: string) => `${inFours(digest.slice(0, 8))} … ${inFours(digest.slice(-8))}`;

export function DigestLine({ digest }: { digest: string }) {
  return <span class="digest">{ends(digest)}</span>;
}

/** What is decided on. Pressing shows all of it. */
export function Digest({ digest }: { digest: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  return (
    <>
      <button
        class="digest"
        type="button"
        title="SHA-256 of this call as shown"
        onClick={() => dialog.current?.showModal()}
      >
        <b>You decide on exactly this</b>
        {ends(digest)}
      </button>
      <dialog class="sheet" ref={dialog} aria-label="The digest of this call">
        <p>SHA-256 of this call as shown. It goes with your decision, which counts for nothing else.</p>
        <p class="mono all">{inFours(digest)}</p>
        <p class="acts">
          <Copy what="the digest" text={() => digest} />
          <button class="btn small" type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </p>
      </dialog>
    </>
  );
}
