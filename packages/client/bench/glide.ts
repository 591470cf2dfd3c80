/** @valkey/valkey-glide as a rival, where it is installed: its native part is too heavy to bring along. */
import type { BenchContext, Beside } from './index.ts';

interface GlideClient {
  get(key: string, options?: { decoder: number }): Promise<{ readonly length: number } | null>;
  close(): void;
}

interface Glide {
  readonly Decoder: { readonly Bytes: number };
  readonly GlideClient: {
    createClient(options: {
      addresses: { host: string; port: number }[];
      requestTimeout: number;
    }): Promise<GlideClient>;
  };
}

const REQUEST_TIMEOUT_MS = 30_000;
let said = false;

export async function glideSide(
  port: number,
  two: boolean,
  context: BenchContext,
): Promise<Beside | undefined> {
  const name = '@valkey/valkey-glide';
  let glide: Glide;
  try {
    glide = (await import(name)) as Glide;
  } catch {
    // Absent, and said once: a rival that was not run is not beaten.
    if (!said) context.say(`client: ${name} is not installed; it is not among the rivals`);
    said = true;
    return undefined;
  }
  const open = (): Promise<GlideClient> =>
    glide.GlideClient.createClient({
      addresses: [{ host: '127.0.0.1', port }],
      requestTimeout: REQUEST_TIMEOUT_MS,
    });
  const one = await open();
  const other = two ? await open() : one;
  return {
    small: () => one.get('small'),
    large: (i) => other.get(`large:${i}`, { decoder: glide.Decoder.Bytes }),
    close: () => {
      one.close();
      if (two) other.close();
    },
  };
}
