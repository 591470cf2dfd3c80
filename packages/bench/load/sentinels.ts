/** What a sentinel-aware client does before it connects: asks who is primary now. */
import { Asker, type Target } from './asker.ts';
import type { ThreadOptions } from './protocol.ts';

/** The first sentinel that answers is believed, as clients do. */
export function finder(
  seed: Target,
  sentinels: ThreadOptions['sentinels'],
): (() => Promise<Target>) | null {
  if (sentinels === null) return null;
  const ask = async (port: number): Promise<Target> => {
    const asker = await Asker.open({ host: '127.0.0.1', port });
    try {
      const address = await asker.ask('SENTINEL', 'get-master-addr-by-name', sentinels.name);
      if (!Array.isArray(address)) throw new Error(`sentinel ${port} knows no ${sentinels.name}`);
      return { ...seed, host: String(address[0]), port: Number(address[1]) };
    } finally {
      asker.close();
    }
  };
  return () => Promise.any(sentinels.ports.map(ask));
}
