/**
 * The store and its reserve on a small disk of their own, given as the folder: what works when it is
 * full to the last byte, before and after the process that filled it. Prints it as JSON.
 */
import { closeSync, existsSync, openSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabase, RESERVE_FILE, Reserve, Store } from '../index.ts';

const [, , home = '', mode = ''] = process.argv;
const plain = { seal: (_owner: string, text: string) => text, open: (_o: string, s: string) => s };
const reserve = new Reserve(home);
const held = (): boolean => existsSync(join(home, RESERVE_FILE));

function store(): Store {
  const opened = new Store(openDatabase(join(home, 'store.db')), plain, Date.now);
  opened.onFull(() => reserve.release());
  return opened;
}

function works(what: () => void): boolean {
  try {
    what();
    return true;
  } catch {
    return false;
  }
}

/** What somebody else has written, up to the last byte. */
function fill(): void {
  const file = openSync(join(home, `other-${readdirSync(home).length}`), 'w');
  for (const bytes of [65_536, 1]) {
    const block = Buffer.alloc(bytes, 'x');
    while (works(() => writeSync(file, block)));
  }
  closeSync(file);
}

/** As a start does it, which has to write before anything else. */
function opens(): boolean {
  return works(() => {
    const next = new Store(openDatabase(join(home, 'store.db')), plain, Date.now);
    next.write(() => next.setMeta('next', 'v'.repeat(10_000)));
    next.close();
  });
}

/** The reserve is made beside everything else. */
async function kept(): Promise<boolean> {
  reserve.keep();
  const deadline = Date.now() + 5_000;
  while (!held() && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
  await reserve.stop();
  return held();
}

const said: Record<string, boolean> = {};
if (mode === 'running') {
  said['kept'] = await kept();
  const running = store();
  fill();
  const value = 'v'.repeat(10_000);
  said['aUsersChange'] = works(() => running.write(() => running.setMeta('user', value)));
  said['stillHeld'] = held();
  said['aPromotion'] = works(() => running.decide(() => running.setMeta('primary', value)));
  said['andTheNext'] = works(() => running.write(() => running.setMeta('crowned', value)));
  said['heldAfter'] = held();
} else if (mode === 'next') {
  reserve.prepare();
  said['opened'] = opens();
} else if (mode === 'without-reserve') {
  said['opened'] = opens();
} else {
  said['kept'] = await kept();
  store().close();
  fill();
}
process.stdout.write(JSON.stringify(said));
