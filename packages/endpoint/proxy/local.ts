/** Commands that are answered here: by name of their handler in the overrides. */
import { clientCommand } from './client-command.ts';
import { clusterCommand } from './cluster-command.ts';
import { configCommand } from './config-command.ts';
import type { Call, Handler } from './dispatch.ts';
import { refuse } from './dispatch.ts';
import { greeting } from './greeting.ts';
import { WRONG_PASSWORD } from './logins.ts';
import { bulk } from './raw-reply.ts';
import { bytesOf, integerOf, textOf } from './route.ts';
import { scan } from './scan.ts';
import { ENDED, type Session, STALLED, TAKEN } from './session.ts';
import { publish, pubsub, subscribe, unsubscribe } from './subscribe-command.ts';
import { discard, exec, multi } from './transaction.ts';
import { wait } from './wait.ts';
import { unwatch, watch } from './watch.ts';

/** What changes user, protocol or database waits until everything before it was answered. */
function busy(session: Session): boolean {
  if (session.order.head === null && session.lanes.total === 0) return false;
  session.stall('order');
  return true;
}

/** Checks a login; on failure the answer is held back and so is everything behind it. */
function logIn({ session, command }: Call, name: string, key: Buffer): boolean {
  const { logins } = session.proxy;
  const found = logins.check(name, key);
  if (found !== null) {
    logins.succeeded(session);
    session.state.logIn(found.user, found.hash);
    return true;
  }
  const place = session.order.place(command);
  session.gate(1);
  setTimeout(
    () => {
      session.gate(-1);
      session.fill(place, Buffer.from(WRONG_PASSWORD));
    },
    logins.failed(session, name),
  );
  return false;
}

const auth: Handler = (call) => {
  const { session, bytes, args } = call;
  if (busy(session)) return STALLED;
  if (args.count > 3) return refuse(session, '-ERR syntax error\r\n');
  const name = args.count === 3 ? textOf(bytes, args, 1) : 'default';
  if (logIn(call, name, bytesOf(bytes, args, args.count - 1))) session.reply('+OK\r\n');
  return TAKEN;
};

const hello: Handler = (call) => {
  const { session, bytes, args } = call;
  if (busy(session)) return STALLED;
  const { state } = session;
  let protocol = state.protocol;
  let name: string | null = null;
  let login: { user: string; key: Buffer } | null = null;
  if (args.count > 1) {
    const version = textOf(bytes, args, 1);
    if (integerOf(version) === null) {
      return refuse(session, '-ERR Protocol version is not an integer or out of range\r\n');
    }
    if (version !== '2' && version !== '3') {
      return refuse(session, '-NOPROTO unsupported protocol version\r\n');
    }
    protocol = version === '3' ? 3 : 2;
  }
  for (let i = 2; i < args.count; i++) {
    const given = textOf(bytes, args, i);
    const option = given.toLowerCase();
    if (option === 'auth' && i + 2 < args.count) {
      login = { user: textOf(bytes, args, i + 1), key: Buffer.from(bytesOf(bytes, args, i + 2)) };
      i += 2;
    } else if (option === 'setname' && i + 1 < args.count) {
      name = textOf(bytes, args, i + 1);
      i++;
    } else {
      return refuse(session, `-ERR Syntax error in HELLO option '${given.slice(0, 64)}'\r\n`);
    }
  }
  if (login === null && state.user === null) {
    return refuse(
      session,
      '-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n',
    );
  }
  if (name !== null && !/^[!-~]*$/.test(name)) {
    return refuse(
      session,
      '-ERR Client names cannot contain spaces, newlines or special characters.\r\n',
    );
  }
  if (login !== null && !logIn(call, login.user, login.key)) return TAKEN;
  if (name !== null) state.name = name;
  if (protocol !== state.protocol) state.setProtocol(protocol);
  session.reply(greeting(session));
  return TAKEN;
};

const ping: Handler = ({ session, bytes, args }) => {
  if (args.count > 2)
    return refuse(session, "-ERR wrong number of arguments for 'ping' command\r\n");
  const { state } = session;
  const text = args.count === 2 ? bytesOf(bytes, args, 1) : null;
  if (state.subscriber !== null && state.protocol === 2) {
    session.reply(Buffer.concat([Buffer.from('*2\r\n$4\r\npong\r\n'), bulk(text ?? '')]));
  } else {
    session.reply(text === null ? '+PONG\r\n' : bulk(text));
  }
  return TAKEN;
};

const echo: Handler = ({ session, bytes, args }) => {
  session.reply(bulk(bytesOf(bytes, args, 1)));
  return TAKEN;
};

const quit: Handler = ({ session }) => {
  session.reply('+OK\r\n');
  session.endWhenQuiet('client-quit');
  return ENDED;
};

const reset: Handler = ({ session }) => {
  if (busy(session)) return STALLED;
  const { state } = session;
  state.watch?.drop();
  state.watch = null;
  state.subscriber?.leave();
  state.subscriber = null;
  state.tracking?.leave();
  state.setTracking(null);
  session.proxy.monitors.remove(session);
  state.name = '';
  state.logOut();
  session.reply('+RESET\r\n');
  return TAKEN;
};

const select: Handler = ({ session, bytes, args }) => {
  if (busy(session)) return STALLED;
  const database = integerOf(textOf(bytes, args, 1));
  if (database === null) {
    return refuse(session, '-ERR value is not an integer or out of range\r\n');
  }
  if (database !== (database | 0)) {
    return refuse(
      session,
      '-ERR value is out of range, value must between -2147483648 and 2147483647\r\n',
    );
  }
  const { cluster } = session.proxy.world.topology;
  if (database < 0 || database >= DATABASES) {
    return refuse(session, '-ERR DB index is out of range\r\n');
  }
  if (cluster && database !== 0) {
    return refuse(session, '-ERR SELECT is not allowed in cluster mode\r\n');
  }
  session.state.selectDatabase(database);
  session.reply('+OK\r\n');
  return TAKEN;
};
/** Databases of a standalone engine, by its default. */
const DATABASES = 16;

const readonly: Handler = ({ session, command }) => {
  if (busy(session)) return STALLED;
  session.state.readonly = command.name === 'readonly';
  session.state.refresh();
  session.reply('+OK\r\n');
  return TAKEN;
};

const ok: Handler = ({ session }) => {
  session.reply('+OK\r\n');
  return TAKEN;
};

const role: Handler = ({ session }) => {
  session.reply('*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n');
  return TAKEN;
};

const whoami: Handler = ({ session }) => {
  session.reply(bulk(session.state.user?.name ?? ''));
  return TAKEN;
};

/** ACL DRYRUN about oneself only; asked of the twin. */
const dryrun: Handler = (call) => {
  const { session, bytes, args } = call;
  const { user } = session.state;
  if (user === null || textOf(bytes, args, 2) !== user.name) {
    return refuse(session, '-NOPERM ACL DRYRUN is possible for your own user only\r\n');
  }
  return refuse(session, '-NOPERM ACL DRYRUN needs rights that client users do not have\r\n');
};

const monitor: Handler = ({ session }) => {
  const { monitors } = session.proxy;
  // The engine answers nothing to one that is one already.
  if (monitors.has(session)) return TAKEN;
  if (!monitors.add(session)) {
    return refuse(session, '-ERR monitor-limit: too many MONITOR sessions\r\n');
  }
  session.reply('+OK\r\n');
  return TAKEN;
};

export const LOCAL: Readonly<Record<string, Handler>> = {
  auth,
  hello,
  ping,
  echo,
  quit,
  reset,
  select,
  ok,
  readonly,
  role,
  whoami,
  dryrun,
  monitor,
  multi,
  exec,
  discard,
  watch,
  unwatch,
  wait,
  scan,
  subscribe,
  unsubscribe,
  publish,
  pubsub,
  client: clientCommand,
  config: configCommand,
  cluster: clusterCommand,
};
