// The tool: an ordinary function of the call's arguments, which Pawl has
// checked against the schema in tools.yaml. Files stand for a mail service.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/activity';
import { call } from './guarded.js';

export interface Invoice {
  number: string;
  customer: string;
  amount: number;
}

const addresses: Record<string, string> = { ana: 'ana@example.com', bo: 'bo@example.com' };

export function sendInvoice(outbox: string) {
  return async (invoice: Invoice): Promise<{ sent_to: string }> => {
    const { callId, digest } = call();
    console.log(JSON.stringify({ running: 'send_invoice', call: callId, digest }));

    // An error says: it did not happen. The call ends `failed`.
    const address = Object.hasOwn(addresses, invoice.customer) && addresses[invoice.customer];
    if (!address) throw new Error('the customer has no address; nothing was sent');

    // One mail per call ID, however often this runs: the file's name is the
    // idempotency key. Call IDs are chosen by agents, so they are hashed first.
    const file = join(outbox, `${createHash('sha256').update(callId).digest('hex')}.json`);
    try {
      await writeFile(file, JSON.stringify({ to: address, call: callId, digest, invoice }), { flag: 'wx' });
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'EEXIST') return { sent_to: address }; // sent before
      // Half of it may be out. Only this type says so; the call ends `outcome_unknown`.
      throw ApplicationFailure.nonRetryable('the mail service broke off; it may have sent the invoice', 'outcome_unknown');
    }
    return { sent_to: address };
  };
}
