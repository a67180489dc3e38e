// Reads and writes payloads as Pawl does where it has a keyring: that of
// Temporal's samples, and the key's ID as associated data. docs/encryption.md
// has the format.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DataConverter, Payload, PayloadCodec } from '@temporalio/common';
import protos from '@temporalio/proto'; // CommonJS: its names are not seen from here

const proto = protos.temporal.api.common.v1.Payload;
const encoding = 'binary/encrypted';
const text = (bytes: Uint8Array | null | undefined): string => Buffer.from(bytes ?? []).toString();

interface Keyring {
  active: string;
  plain: 'read' | 'refuse';
  keys: { id: string; key: string }[];
}

class KeyringCodec implements PayloadCodec {
  private readonly keys: Map<string, Buffer>;

  constructor(private readonly ring: Keyring) {
    this.keys = new Map(ring.keys.map(({ id, key }) => [id, Buffer.from(key, 'base64')]));
    if (!this.keys.has(ring.active)) throw new Error('the keyring has no active key');
  }

  async encode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((p) => this.seal(p));
  }

  async decode(payloads: Payload[]): Promise<Payload[]> {
    return payloads.map((p) => this.open(p));
  }

  private seal(payload: Payload): Payload {
    const id = this.ring.active;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.key(id), nonce).setAAD(associated(id));
    const sealed = [cipher.update(proto.encode(payload).finish()), cipher.final()];
    return {
      metadata: { encoding: Buffer.from(encoding), 'encryption-key-id': Buffer.from(id) },
      data: Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]),
    };
  }

  private open(payload: Payload): Payload {
    if (text(payload.metadata?.['encoding']) !== encoding) {
      if (this.ring.plain === 'read') return payload;
      throw new Error('a payload is not encrypted, and the keyring says that such payloads are refused');
    }
    const id = text(payload.metadata?.['encryption-key-id']);
    const data = Buffer.from(payload.data ?? []);
    if (data.length < 12 + 16) throw new Error('an encrypted payload is too short');
    const decipher = createDecipheriv('aes-256-gcm', this.key(id), data.subarray(0, 12), { authTagLength: 16 });
    decipher.setAAD(associated(id)).setAuthTag(data.subarray(-16));
    return proto.decode(Buffer.concat([decipher.update(data.subarray(12, -16)), decipher.final()]));
  }

  private key(id: string): Buffer {
    const key = this.keys.get(id);
    if (!key) throw new Error(`the keyring has no key ${JSON.stringify(id.slice(0, 64))}`);
    return key;
  }
}

function associated(id: string): Buffer {
  return Buffer.from(`${encoding}\n${id}`);
}

/** What clients and workers need to take part: nothing, where no keyring is named. */
export function encryption(file = process.env['PAWL_PAYLOAD_KEYS']): { dataConverter?: DataConverter } {
  if (!file) return {};
  if (process.platform !== 'win32' && statSync(file).mode & 0o007) throw new Error(`others may read ${file}: chmod 600 it`);
  return {
    dataConverter: {
      payloadCodecs: [new KeyringCodec(JSON.parse(readFileSync(file, 'utf8')) as Keyring)],
      failureConverterPath: fileURLToPath(new URL('./failures.cjs', import.meta.url)),
    },
  };
}
