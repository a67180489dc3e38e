// What every tool on a TypeScript worker has in common.
import { AsyncLocalStorage } from 'node:async_hooks';
import { ApplicationFailure, type Context } from '@temporalio/activity';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import type { ActivityInterceptors } from '@temporalio/worker';
import { header } from './pawl.js';

/** The call that a tool runs for. */
export interface Guarded {
  /** The same over every attempt: pass it on as idempotency key. */
  callId: string;
  /** What reviewers approved. */
  digest: string;
}

const running = new AsyncLocalStorage<Guarded>();

/** The call that the tool runs for; throws outside of one. */
export function call(): Guarded {
  const found = running.getStore();
  if (!found) throw new Error('no guarded call runs here');
  return found;
}

/**
 * Reads Pawl's header fields, and tells Temporal that this process lives while
 * a tool runs. What was not scheduled by Pawl does not run; that keeps mistakes
 * out, but not those who may write to the Temporal namespace.
 */
export function guarded(ctx: Context): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        const found = { callId: text(input.headers, header.callId), digest: text(input.headers, header.digest) };
        const timeout = ctx.info.heartbeatTimeoutMs;
        const beat = timeout ? setInterval(() => ctx.heartbeat(), timeout / 4) : undefined;
        try {
          return await running.run(found, () => next(input));
        } finally {
          clearInterval(beat);
        }
      },
    },
  };
}

function text(headers: Headers, name: string): string {
  const payload = headers[name];
  const value: unknown = payload && defaultPayloadConverter.fromPayload(payload);
  if (typeof value !== 'string' || value === '') {
    throw ApplicationFailure.nonRetryable(`the header ${name} is missing: Pawl did not schedule this; nothing ran`);
  }
  return value;
}
