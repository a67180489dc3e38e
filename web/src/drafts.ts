// Notes that were not sent. The tab keeps them, also while its person signs in elsewhere.
const DRAFTS = "pawl.drafts";
const MOST = 50;

interface Drafts {
  who: string;
  notes: [id: string, text: string][]; // the newest last
}

function read(who: string): Drafts["notes"] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(DRAFTS) ?? "") as Drafts;
    return kept.who === who ? kept.notes : []; // nobody finds another person's words
  } catch {
    return [];
  }
}

/** The notes that somebody had begun for a call. */
export function draftOf(who: string, id: string): string {
  return read(who).find(([of]) => of === id)?.[1] ?? "";
}

/** Keeps the notes for a call; empty: there are none. */
export function keepDraft(who: string, id: string, text: string): void {
  const notes = read(who).filter(([of]) => of !== id);
  if (text) notes.push([id, text]);
  sessionStorage.setItem(DRAFTS, JSON.stringify({ who, notes: notes.slice(-MOST) } satisfies Drafts));
}

export function forgetDrafts(): void {
  sessionStorage.removeItem(DRAFTS);
}
