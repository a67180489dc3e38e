// Draws what package present makes of a call: each kind of block, line by line and span by span.
// What stands in a block is from outside; only the marks and notes in it are Pawl's.
import type { ComponentChildren } from "preact";
import { CopyAddress } from "./copy";
import { Parted } from "./parted";
import { plural } from "./parts";
import { charsOf, Spans, textOf } from "./text";
import { Tree } from "./tree";
import type { Block, Line, Row, Span } from "./types";

export interface Title {
  head: ComponentChildren;
  note: ComponentChildren;
}

const nameOf = (b: Block): string => textOf(b.name) || "the arguments";
const charsIn = (lines: Line[] | undefined): number =>
  (lines ?? []).reduce((n, l) => n + charsOf(l.spans), 0);

const LANGUAGES: Record<string, string> = {
  sql: "SQL",
  shell: "shell command",
  yaml: "YAML",
  yml: "YAML",
  json: "JSON",
  sh: "shell script",
};

/** A block's own name as its heading; one without a name is what the given title says. */
export function titleOf(b: Block, otherwise: Title): Title {
  if (b.kind === "diff" || !b.name || b.name.length === 0) return otherwise;
  const lines = b.lines?.length ?? 0;
  const many = plural(lines, "line");
  const language = b.lang && (LANGUAGES[b.lang] ?? b.lang);
  const words = {
    code: [language, lines > 1 || !language ? many : ""].filter(Boolean).join(", "),
    text: `text, ${many}`,
    table: b.columns ? "" : "an object",
    tree: "",
    mail: "a mail",
    facts: "",
    compare: "",
  }[b.kind];
  return {
    head: (
      <bdi class="v" dir="auto">
        <Spans spans={b.name} />
      </bdi>
    ),
    note: (
      <>
        {words}
        {words && b.note && ", "}
        {b.note && textOf(b.note)}
      </>
    ),
  };
}

export function BlockView({ block: b, id, title }: { block: Block; id: string; title?: Title | undefined }) {
  return (
    <>
      {title && b.kind !== "diff" && (
        <p class="subhead">
          <b>{title.head}</b> <span class="note">{title.note}</span>
        </p>
      )}
      <Body b={b} id={id} />
    </>
  );
}

function Body({ b, id }: { b: Block; id: string }) {
  const name = nameOf(b);
  const lines = b.lines ?? [];
  const parted = { id, name, chars: lines.map((l) => charsOf(l.spans)) };
  switch (b.kind) {
    case "table":
    case "facts":
    case "compare":
      return b.columns ? <Grid b={b} id={id} columns={b.columns} /> : <Table b={b} id={id} />;
    case "text":
      return (
        <div class="data">
          <Parted {...parted} cls="text" lines={textLines(lines)} />
        </div>
      );
    case "mail":
      return <Mail b={b} id={id} />;
    case "code":
      return (
        <div class="data">
          <Parted {...parted} cls="code lines" lines={codeLines(lines, b.lang === "shell")} />
        </div>
      );
    case "diff":
      return <Diff b={b} id={id} />;
    case "tree":
      return (
        <div class="data">
          <Tree lines={lines} name={name} id={id} />
        </div>
      );
  }
  return null;
}

function textLines(lines: Line[]) {
  return lines.map((l, i) => (
    <p class="tl" key={i}>
      <bdi dir="auto">
        <Spans spans={l.spans} />
      </bdi>
    </p>
  ));
}

function codeLines(lines: Line[], shell: boolean) {
  return lines.map((l, i) => (
    <p class="cl" key={i}>
      <i>{shell && (lines.length === 1 || (i === 0 && !l.new)) ? "$" : l.new}</i>
      <bdi dir="auto">
        <Spans spans={l.spans} />
      </bdi>
    </p>
  ));
}

/** Names, values, and what there is to say about them. */
function Table({ b, id }: { b: Block; id: string }) {
  const rows = b.rows ?? [];
  return (
    <>
      <Parted
        id={id}
        name={id.endsWith(":0") ? nameOf(b) : textOf(b.name) || "the other arguments"}
        cls="args"
        table={textOf(b.name) || "Arguments"}
        unit={["argument", "arguments"]}
        chars={rows.map((r) => charsIn(r.value))}
        lines={rows.map((r, i) => <TableRow key={i} r={r} />)}
      />
      {b.lines && <div class="data text">{textLines(b.lines)}</div>}
    </>
  );
}

function TableRow({ r }: { r: Row }) {
  const notes = textOf(r.note);
  return (
    <div class="tr" role="row">
      <span class={notes.includes("not in the schema") ? "th out" : "th"} role="rowheader">
        <bdi dir="auto">
          <Spans spans={r.name ?? []} />
        </bdi>
      </span>
      <div class={notes.startsWith("raw value") ? "td val big" : "td val"} role="cell">
        {(r.value ?? []).map((l, i) => (
          <p key={i}>
            <bdi dir="auto">
              <Spans spans={l.spans} />
            </bdi>
            <CopyAddress spans={l.spans} />
          </p>
        ))}
      </div>
      <span class="td t" role="cell">
        <Notes spans={r.note ?? []} />
      </span>
    </div>
  );
}

function Notes({ spans }: { spans: Span[] }) {
  return (
    <>
      {spans.map((s, i) => (
        <span key={i}>
          {i > 0 && ", "}
          {s.as === "strong" ? <b>{s.s}</b> : s.s}
        </span>
      ))}
    </>
  );
}

/** A list of objects with the same members: a row each. */
function Grid({ b, id, columns }: { b: Block; id: string; columns: Span[][] }) {
  const rows = b.rows ?? [];
  const head = (
    <div class="tr heads" role="row">
      {columns.map((c, i) => (
        <span class="th" role="columnheader" key={i}>
          <Spans spans={c} />
        </span>
      ))}
    </div>
  );
  const body = rows.map((r, i) => (
    <div class="tr" role="row" key={i}>
      {(r.cells ?? []).map((c, j) => (
        <span class="td" role="cell" key={j}>
          <span class="col" aria-hidden="true">
            <Spans spans={columns[j] ?? []} />
          </span>
          <bdi dir="auto">
            <Spans spans={c} />
          </bdi>
          <CopyAddress spans={c} />
        </span>
      ))}
    </div>
  ));
  return (
    <div class="data">
      <Parted
        id={id}
        name={nameOf(b)}
        cls={`grid cols-${columns.length}`}
        table={textOf(b.name) || "Arguments"}
        unit={["row", "rows"]}
        chars={[0, ...rows.map((r) => (r.cells ?? []).reduce((n, c) => n + charsOf(c), 0))]}
        lines={[head, ...body]}
      />
    </div>
  );
}

function Mail({ b, id }: { b: Block; id: string }) {
  const lines = b.lines ?? [];
  return (
    <div class="data">
      <dl class="mail">
        {(b.rows ?? []).map((r, i) => {
          const subject = textOf(r.name) === "subject";
          return (
            <div key={i}>
              <dt>
                <Spans spans={r.name ?? []} />
              </dt>
              <dd class={subject ? "subject" : undefined}>
                {(r.value ?? []).map((l, j) => (
                  <span key={j} class={subject ? "tl" : "one"}>
                    <bdi dir="auto">
                      <Spans spans={l.spans} />
                    </bdi>
                  </span>
                ))}
                <Spans spans={r.note ?? []} />
              </dd>
            </div>
          );
        })}
      </dl>
      <Parted
        id={id}
        name="the mail"
        cls="text"
        chars={lines.map((l) => charsOf(l.spans))}
        lines={lines.length > 0 ? textLines(lines) : [<span key="none" />]}
      />
    </div>
  );
}

const changed = (l: Line | undefined) => l?.sign === "+" || l?.sign === "-";
const SIGNS: Record<string, [cls: string, word: string]> = {
  "+": ["a", "added"],
  "-": ["d", "removed"],
  " ": ["c", "unchanged"],
};

function Diff({ b, id }: { b: Block; id: string }) {
  const lines = b.lines ?? [];
  const plus = lines.filter((l) => l.sign === "+").length;
  const minus = lines.filter((l) => l.sign === "-").length;
  // What a fold hides: changes, which are runs of lines, and where they stand.
  const rest = (from: number) => {
    const hidden = lines.slice(from);
    const runs = hidden.filter((l, i) => changed(l) && !changed(hidden[i - 1])).length;
    const numbers = hidden.map((l) => l.new ?? l.old ?? 0).filter((n) => n > 0);
    return (
      <>
        <b>{plural(runs, "more change")}</b>
        {numbers.length > 0 && ` in lines ${Math.min(...numbers)}–${Math.max(...numbers)}`}, not shown yet
      </>
    );
  };
  return (
    <div class="data diff">
      <div class="file">
        <bdi class="grow" dir="auto">
          {b.name && b.name.length > 0 ? <Spans spans={b.name} /> : "change"}
        </bdi>
        <span class="plus">+{plus} added</span>
        <span class="minus">−{minus} removed</span>
      </div>
      <Parted
        id={id}
        name={textOf(b.name) || "the change"}
        chars={lines.map((l) => charsOf(l.spans))}
        joins={(i) => changed(lines[i]) && changed(lines[i - 1])}
        rest={rest}
        lines={lines.map((l, i) => <DiffLine key={i} l={l} />)}
      />
    </div>
  );
}

function DiffLine({ l }: { l: Line }) {
  const sign = l.sign && SIGNS[l.sign];
  if (!sign) {
    return (
      <div class={l.sign === "@" ? "hunk" : "file"}>
        <bdi dir="auto">
          <Spans spans={l.spans} />
        </bdi>
      </div>
    );
  }
  return (
    <div class={`ln ${sign[0]}`}>
      <i>{l.old}</i>
      <i>{l.new}</i>
      <b>
        <span aria-hidden="true">{l.sign === " " ? "" : l.sign}</span>
        {l.sign !== " " && <span class="vh">{sign[1]}: </span>}
      </b>
      <bdi class="t" dir="auto">
        <Spans spans={l.spans} />
      </bdi>
    </div>
  );
}
