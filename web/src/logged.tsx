// What the audit log holds beside calls, in words: policies, tokens, keys, and who was kept out.
import type { ComponentChildren } from "preact";
import { plural, Quote } from "./parts";
import { Said } from "./text";
import { clock } from "./time";
import { type Fields, fields, text } from "./timeline";

const count = (v: unknown, one: string) => plural(Number(v ?? 0), one);
const size = (v: unknown) => (Array.isArray(v) ? v.length : 0);

/** An entry that is of no call. Empty: its kind is unknown here. */
export function logged(kind: string, p: Fields): ComponentChildren {
  const said = (v: Parameters<typeof text>[0]) => <Said text={text(v)} />;
  const person = (v: Parameters<typeof text>[0]) => <b>{said(v)}</b>;
  const note = (v: Parameters<typeof text>[0]) => text(v) && <Quote text={text(v)} />;
  switch (kind) {
    case "policy.applied": {
      const { version, by, note: why } = fields(p.policy);
      return (
        <>
          {person(by)} applied version {Number(version)} of the policy. {note(why)}
        </>
      );
    }
    case "token.created": {
      const t = fields(p.token);
      return (
        <>
          {person(t.created_by)} made a token for {said(t.subject)}
          {size(t.roles) > 0 && <> ({said((t.roles as string[]).join(", "))})</>}. {note(t.note)}
        </>
      );
    }
    case "token.revoked":
      return (
        <>
          {person(p.revoked_by)} revoked the token {said(p.token_id)}.
        </>
      );
    case "token.pruned":
      return `${count(size(p.tokens), "token")} that had ended long ago: deleted.`;
    case "key.added":
      return (
        <>
          {person(fields(p.key).created_by)} added the signing key {said(fields(p.key).id)}.
        </>
      );
    case "key.retired":
      return (
        <>
          {person(p.retired_by)} retired the signing key {said(p.key_id)}: what it signed before counts.
        </>
      );
    case "key.revoked":
      return (
        <>
          {person(p.revoked_by)} revoked the signing key {said(p.key_id)}: nothing that it signed counts.
        </>
      );
    case "log.renamed":
      return (
        <>
          {person(p.renamed_by)} has the log go on as {said(p.origin)}, after {said(p.previous)}.
        </>
      );
    case "store.restored":
      return <>{person(p.by)} said that the store was restored: permits that were not used are void.</>;
    case "call.lost":
      return (
        <>
          The restored store lacks this call, which Temporal has as{" "}
          {said(text(p.status).replaceAll("_", " "))}
          {text(p.tool) && <>: {said(p.tool)}</>}.
        </>
      );
    case "call.erased":
      return (
        <>
          {person(p.by)} erased what {count(size(p.calls), "call")} held. {note(p.reason)}
        </>
      );
    case "signin.failed":
      return (
        <>
          {count(p.count, "sign-in")} refused: <Said text={text(p.code).replaceAll("_", " ")} />
          {text(p.subject) && <>, with a token of {said(p.subject)}</>}
          {text(p.remote) && <>, from {said(p.remote)}</>}
          {since(p)}.
        </>
      );
    case "access.forbidden":
      return (
        <>
          {person(p.by)} was refused {said(p.route)}
          {Number(p.count) > 1 && `, ${p.count} times`}
          {text(p.remote) && <>, from {said(p.remote)}</>}
          {since(p)}.
        </>
      );
  }
  return "";
}

const since = (p: Fields) => Number(p.count) > 1 && text(p.since) && `, since ${clock(text(p.since))}`;
