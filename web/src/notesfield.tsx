// The field for a decision's notes.

interface NotesProps {
  field: preact.RefObject<HTMLTextAreaElement | null>;
  value: string;
  hint: string;
  onInput: (text: string) => void;
  onKeyDown: (e: KeyboardEvent) => void;
}

/** Grows up to five lines, over what stands above. */
export function Notes({ field, value, hint, onInput, onKeyDown }: NotesProps) {
  const lines = Math.min(5, value.split("\n").length);
  return (
    <label class="notes">
      <span class="vh">Notes</span>
      <textarea
        ref={field}
        rows={lines}
        class={`rows-${lines}`}
        placeholder={hint}
        value={value}
        onInput={(e) => onInput(e.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
    </label>
  );
}
