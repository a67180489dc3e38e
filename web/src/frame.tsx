// What stands around every view: the top bar, the person's menu, the keys, and what is wrong with the
// connection.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useCell } from "./cell";
import { keysOn, switchKeys, useKeys } from "./keys";
import { askNow, link } from "./live";
import { Icon, useSecond } from "./parts";
import { queue, waitingHere } from "./queue";
import { go, useRoute } from "./route";
import { type Session, session, signOut } from "./session";
import { Said } from "./text";
import { clock } from "./time";

export const VIEWS: [address: string, words: string, view: string][] = [
  ["/", "Queue", "queue"],
  ["/history", "History", "history"],
  ["/audit", "Audit", "audit"],
  ["/policy", "Policy", "policy"],
  ["/tools", "Tools", "tools"],
];

const isCurrent = (of: string, view: string) => of === view || (of === "queue" && view === "request");

export function Frame({
  mine,
  children,
  back,
}: {
  mine: string; // how many calls this person can decide; empty: none
  children: ComponentChildren;
  back?: ComponentChildren;
}) {
  const { view } = useRoute();
  const s = useCell(session);
  const [help, setHelp] = useState(false);
  useKeys({
    "?": () => setHelp(true),
    ...Object.fromEntries(VIEWS.map(([address], i) => [String(i + 1), () => go(address)])),
  });
  return (
    <>
      <a class="skip" href="#request">
        To the request
      </a>
      <header class={back ? "top inner" : "top"}>
        {back}
        <a class="brand" href="/">
          <Icon name="mark" />
          Pawl
        </a>
        <nav class="nav" aria-label="Main">
          {VIEWS.map(([address, words, of]) => (
            <a key={of} href={address} aria-current={isCurrent(of, view) ? "page" : undefined}>
              {words}
              {of === "queue" && mine && <span class="count">{mine}</span>}
            </a>
          ))}
        </nav>
        <span class="grow" />
        <LinkState />
        {s.state === "in" && <Person s={s} help={() => setHelp(true)} />}
      </header>
      <Strip />
      {children}
      <nav class="tabs" aria-label="Views">
        {VIEWS.map(([address, words, of]) => (
          <a key={of} href={address} aria-current={isCurrent(of, view) ? "page" : undefined}>
            {words}
            {of === "queue" && mine ? ` ${mine}` : ""}
          </a>
        ))}
      </nav>
      {help && <Help close={() => setHelp(false)} />}
    </>
  );
}

function LinkState() {
  const l = useCell(link);
  if (l.state === "off" || l.state === "asking") {
    const title = l.state === "asking" ? "No events reach this page: it asks every two seconds" : undefined;
    return (
      <span class="link-state off" title={title}>
        <Icon name="plug" />
        Not live
      </span>
    );
  }
  return (
    <span class={l.state === "live" ? "link-state live" : "link-state"}>
      <Icon name="live" />
      {l.state === "live" ? "Live" : "Connecting…"}
    </span>
  );
}

export const connectedAgain = (fresh: number): string =>
  `Connected again.${fresh === 0 ? "" : fresh === 1 ? " 1 call is new." : ` ${fresh} calls are new.`}`;

function Strip() {
  const l = useCell(link);
  useSecond();
  const [back, setBack] = useState("");
  const before = useRef<ReadonlySet<string> | null>(null); // the calls that were here when it was lost
  useEffect(() => {
    if (l.state === "off") {
      before.current ??= waitingHere(queue.value);
      setBack("");
    } else if (before.current) {
      const n = [...waitingHere(queue.value)].filter((id) => !before.current?.has(id)).length;
      setBack(connectedAgain(n));
      before.current = null;
    }
  }, [l.state]);
  const seconds = Math.max(0, Math.ceil((l.retry - Date.now()) / 1000));
  return (
    <>
      <p class="vh" role="status">
        {back}
      </p>
      {l.state === "off" && (
        <div class="strip off" role="status">
          <Icon name="plug" />
          <p class="grow">
            <b>Not connected since {clock(l.since)}.</b>{" "}
            <span aria-hidden="true">What you see may be out of date. Trying again in {seconds} s.</span>
          </p>
          <button class="btn small" type="button" onClick={askNow}>
            Try now
          </button>
        </div>
      )}
    </>
  );
}

const THEME = "pawl.theme";
type Theme = "system" | "light" | "dark";

export function applyTheme(): Theme {
  const theme = localStorage.getItem(THEME);
  document.documentElement.classList.toggle("light", theme === "light");
  document.documentElement.classList.toggle("dark", theme === "dark");
  return theme === "light" || theme === "dark" ? theme : "system";
}

function Person({ s, help }: { s: Extract<Session, { state: "in" }>; help: () => void }) {
  const [open, setOpen] = useState(false);
  const [theme, setTheme] = useState<Theme>(applyTheme());
  const place = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const close = (e: Event) => {
      if (!place.current?.contains(e.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [open]);
  useKeys({
    Escape: open
      ? () => {
          setOpen(false);
          button.current?.focus();
        }
      : undefined,
  });
  const choose = (t: Theme) => {
    localStorage.setItem(THEME, t);
    setTheme(applyTheme());
  };
  const groups = s.me.groups?.join(", ");
  return (
    <div class="person" ref={place}>
      <button class="who" type="button" aria-expanded={open} ref={button} onClick={() => setOpen(!open)}>
        <Icon name="person" size={12} />
        <span>
          <b>
            <Said text={s.name} most={30} />
          </b>
          <span class="wide">
            {groups && (
              <>
                {" "}
                <Said text={groups} most={40} />
              </>
            )}
          </span>
        </span>
      </button>
      {open && (
        <div class="sheet menu">
          <p>
            {s.me.method === "none" ? (
              <>This Pawl runs without sign-in: your name goes into the record as unverified.</>
            ) : (
              <>
                Signed in by {s.me.method === "oidc" ? "your company account" : "token"} as{" "}
                <Said text={s.me.roles.join(", ")} />.
              </>
            )}
          </p>
          <fieldset>
            <legend>Theme</legend>
            <span class="seg">
              {(["system", "light", "dark"] as const).map((t) => (
                <label key={t}>
                  <input type="radio" name="theme" checked={theme === t} onChange={() => choose(t)} />
                  {t === "system" ? "System" : t === "light" ? "Light" : "Dark"}
                </label>
              ))}
            </span>
          </fieldset>
          <p class="acts">
            <button class="btn small" type="button" onClick={help}>
              Keys <kbd>?</kbd>
            </button>
          </p>
          <p class="acts">
            <button class="btn small" type="button" onClick={() => void signOut()}>
              {s.me.method === "none" ? "Somebody else" : "Sign out"}
            </button>
            {s.me.method !== "none" && (
              <button
                class="btn small"
                type="button"
                title="All your sessions end, this one too"
                onClick={() => void signOut(true)}
              >
                Sign out everywhere
              </button>
            )}
          </p>
        </div>
      )}
    </div>
  );
}

type Row = [what: string, ...keys: string[]];
const KEYS: [title: string, rows: Row[]][] = [
  [
    "Move",
    [
      ["Next, previous request", "j", "k"],
      ["Open, back to list", "Enter", "u"],
      ["Next part not seen", "n"],
      ["Search", "/"],
      ["Show new calls", "."],
    ],
  ],
  [
    "Decide",
    [
      ["Approve: asks first", "a"],
      ["Reject: asks for notes", "r"],
      ["Send", "Enter"],
      ["Send a rejection", "Ctrl Enter"],
      ["Go back", "Esc"],
    ],
  ],
  [
    "Look",
    [
      ["Readable or JSON", "v"],
      ["Open all folds", "o"],
      ["Mark row", "x"],
      ["Copy link", "c"],
      ["Queue, history, …", "1", "to", String(VIEWS.length)],
      ["This help", "?"],
    ],
  ],
];

function Help({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [on, setOn] = useState(keysOn());
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog class="sheet wide" ref={dialog} aria-labelledby="keys" onClose={close}>
      <h2 class="summary" id="keys">
        Keys
      </h2>
      <div class="keys">
        {KEYS.map(([title, rows]) => (
          <div key={title}>
            <h3>{title}</h3>
            {rows.map(([what, ...keys]) => (
              <p key={what}>
                {what}{" "}
                <span>
                  {keys.map((k, i) => (
                    <span key={k}>
                      {i > 0 && " "}
                      {k === "to" ? k : <kbd>{k}</kbd>}
                    </span>
                  ))}
                </span>
              </p>
            ))}
          </div>
        ))}
      </div>
      <p class="dim">
        No single key decides anything.{" "}
        <label>
          <input
            type="checkbox"
            checked={on}
            onChange={(e) => {
              switchKeys(e.currentTarget.checked);
              setOn(e.currentTarget.checked);
            }}
          />{" "}
          Single-key shortcuts on
        </label>
      </p>
      <p class="acts">
        <button class="btn small" type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </p>
    </dialog>
  );
}
