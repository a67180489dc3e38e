// The policy's text, with the rule that a request names, and the versions before.
import { useEffect, useRef } from "preact/hooks";
import { Failed, PageFrame, useList, useLoaded, Waiting } from "./lists";
import { Notice, Quote } from "./parts";
import { Said, Spans, spans } from "./text";
import { clock, full } from "./time";
import type { PolicyText, PolicyVersion } from "./types";

type ActivePolicy = PolicyVersion & PolicyText;

export function Policy({ digest, rule }: { digest: string; rule: string }) {
  const { value: text, failure } = useLoaded<ActivePolicy>(
    `/api/policy${digest && `/${encodeURIComponent(digest)}`}`,
  );
  const history = useList<PolicyVersion>("/api/policy/history?limit=50", (v) => String(v.version));
  const version = digest ? history.items?.find((v) => v.digest === digest) : text;
  const active = digest ? history.items?.[0] : text; // the newest comes first
  const isActive = version?.digest === active?.digest;
  const about = version && version.version > 0 && (
    <>
      version {version.version}, {isActive && "active since "}
      {clock(version.at, false)}, applied by <Said text={version.by} />
      {version.note && (
        <>
          : <Quote text={version.note} />
        </>
      )}
    </>
  );
  return (
    <PageFrame title="Policy" about={about}>
      <Failed failure={failure} />
      <div class="split2">
        <ol class="time">
          {(history.items ?? []).map((v) => (
            <li key={v.version} class={v.digest === (text?.digest ?? digest) ? "nowpt" : ""}>
              <time title={full(v.at)}>{clock(v.at, false)}</time>
              <p>
                <a href={`/policy/${v.digest}`} aria-current={v.digest === text?.digest ? "true" : undefined}>
                  <b>{v.version}</b>
                </a>{" "}
                <Said text={v.by} most={30} />
              </p>
            </li>
          ))}
        </ol>
        <div class="stack">
          {version && active && !isActive && (
            <Notice kind="info" icon="clock" head={`Version ${active.version} is active now, not this one.`}>
              <a href="/policy">Show version {active.version}</a>
            </Notice>
          )}
          {text && text.layers.length === 0 && (
            <Notice kind="info" icon="lock" head="No policy is applied yet: everything needs approval.">
              An administrator applies one: pawl policy apply FILE
            </Notice>
          )}
          {text?.layers.map((l) => (
            <Layer key={l.name} name={l.name} text={l.text} rule={rule} />
          ))}
          {!text && !failure && <Waiting />}
          <p class="dim">
            To change it: <code>pawl policy test</code>, <code>diff</code> and <code>apply</code>.
          </p>
        </div>
      </div>
    </PageFrame>
  );
}

/** Where a verdict's rule stands: "org.yaml:3 refund" is line 3 of org.yaml. */
function lineOf(rule: string, file: string): number {
  const found = /^(.*?):(\d+)/.exec(rule);
  return found?.[1] === file ? Number(found[2]) : 0;
}

function Layer({ name, text, rule }: { name: string; text: string; rule: string }) {
  const at = lineOf(rule, name);
  const line = useRef<HTMLElement>(null);
  useEffect(() => line.current?.scrollIntoView({ block: "center" }), [at, text]);
  const lines = text.replace(/\n$/, "").split("\n");
  const end = endOfRule(lines, at);
  return (
    <section class="sec">
      <p class="dim">
        <b>
          <Said text={name} />
        </b>
        {at > 0 && (
          <>
            , {end - at > 1 ? `lines ${at}–${end - 1}` : `line ${at}`}, the rule{" "}
            <Quote text={rule.replace(/^.*?:\d+ ?/, "") || rule} />
          </>
        )}
      </p>
      <div class="code lines plain">
        {lines.map((l, i) => (
          <p key={i} class={i + 1 >= at && i + 1 < end ? "cl here" : "cl"}>
            <i ref={i + 1 === at ? line : undefined}>{i + 1}</i>
            <span>
              <Spans spans={spans(l)} />
            </span>
          </p>
        ))}
      </div>
    </section>
  );
}

/** The line after a rule: the next that is not indented more than its first. */
function endOfRule(lines: string[], at: number): number {
  const first = lines[at - 1];
  if (first === undefined) return 0;
  const indent = first.search(/\S/);
  for (let i = at; i < lines.length; i++) {
    const here = lines[i]?.search(/\S/) ?? -1;
    if (here >= 0 && here <= indent) return i + 1;
  }
  return lines.length + 1;
}
