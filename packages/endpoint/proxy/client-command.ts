/** CLIENT: connections of clients end here, so what the engine knows about connections is about lanes. */
import { type Call, type Handler, refuse } from './dispatch.ts';
import { array, bulk, nullReply } from './raw-reply.ts';
import { textOf } from './route.ts';
import { ENDED, type Session, TAKEN } from './session.ts';
import { trackingCommand } from './tracking.ts';

const SPECIAL = '-ERR Client names cannot contain spaces, newlines or special characters.\r\n';

export const clientCommand: Handler = (call) => {
  const { session, command, bytes, args } = call;
  const { state } = session;
  const sub = command.name.slice('client|'.length);
  switch (sub) {
    case 'id':
      return answer(session, `:${session.client.number}\r\n`);
    case 'getname':
      return answer(session, state.name === '' ? nullReply(state.protocol) : bulk(state.name));
    case 'setname': {
      const name = textOf(bytes, args, 2);
      if (!/^[!-~]*$/.test(name)) return refuse(session, SPECIAL);
      state.name = name;
      return answer(session, '+OK\r\n');
    }
    case 'setinfo':
      return setInfo(call);
    case 'info':
      return answer(session, text(session, `${describe(session)}\n`));
    case 'list':
      return list(call);
    case 'kill':
      return kill(call);
    case 'reply':
      return replies(call);
    case 'unblock':
      return unblock(call);
    case 'no-touch': {
      const value = textOf(bytes, args, 2).toLowerCase();
      if (value !== 'on' && value !== 'off') return refuse(session, '-ERR syntax error\r\n');
      if (value === 'on') {
        return refuse(
          session,
          '-ERR no-touch-unsupported: connections to the engine are shared, so CLIENT NO-TOUCH ON is not offered here\r\n',
        );
      }
      return answer(session, '+OK\r\n');
    }
    case 'capa':
    case 'import-source':
      return answer(session, '+OK\r\n');
    case 'help':
      return answer(
        session,
        array([
          bulk('CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:'),
          bulk(
            'ID, INFO, LIST, KILL, GETNAME, SETNAME, SETINFO, REPLY, UNBLOCK, TRACKING: of the clients of this endpoint.',
          ),
        ]),
      );
    default:
      return trackingCommand(call, sub);
  }
};

function answer(session: Session, reply: string | Buffer): number {
  session.reply(reply);
  return TAKEN;
}

/** A text: verbatim in RESP3. */
function text(session: Session, value: string): Buffer {
  if (session.state.protocol === 2) return bulk(value);
  return Buffer.from(`=${Buffer.byteLength(value) + 4}\r\ntxt:${value}\r\n`);
}

function setInfo(call: Call): number {
  const { session, bytes, args } = call;
  const option = textOf(bytes, args, 2);
  const value = textOf(bytes, args, 3);
  const lower = option.toLowerCase();
  if (lower !== 'lib-name' && lower !== 'lib-ver') {
    return refuse(session, `-ERR Unrecognized option '${option.slice(0, 64)}'\r\n`);
  }
  if (!/^[!-~]*$/.test(value)) {
    return refuse(
      session,
      `-ERR ${lower} cannot contain spaces, newlines or special characters.\r\n`,
    );
  }
  if (lower === 'lib-name') session.state.libName = value;
  else session.state.libVersion = value;
  return answer(session, '+OK\r\n');
}

function describe(session: Session): string {
  const { client, state } = session;
  const now = performance.now();
  const seconds = (ms: number): number => Math.max(0, Math.floor(ms / 1000));
  const local = client.socket.localAddress ?? '';
  const laddr = `${local.includes(':') ? `[${local}]` : local}:${client.socket.localPort ?? 0}`;
  const age = seconds(session.proxy.world.host.now() - client.openedAt);
  const subscribed = state.subscriber?.counts() ?? { channels: 0, patterns: 0, shard: 0 };
  const flags =
    (state.mode.kind === 'monitor' ? 'O' : '') +
    (state.mode.kind === 'transaction' ? 'x' : '') +
    (state.subscriber !== null ? 'P' : '') +
    (state.tracking !== null ? 't' : '') +
    (session.gated ? 'b' : '');
  return [
    `id=${client.number}`,
    `addr=${client.address}`,
    `laddr=${laddr}`,
    `name=${state.name}`,
    `age=${age}`,
    `idle=${seconds(now - session.activeAt)}`,
    `flags=${flags === '' ? 'N' : flags}`,
    `db=${state.database}`,
    `sub=${subscribed.channels}`,
    `psub=${subscribed.patterns}`,
    `ssub=${subscribed.shard}`,
    `multi=${state.mode.kind === 'transaction' ? state.mode.transaction.length : -1}`,
    `watch=${state.watch === null ? 0 : 1}`,
    `obl=0 oll=0 omem=${session.output.unwritten}`,
    `tot-cmds=${session.commands}`,
    `cmd=${session.lastCommand === '' ? 'NULL' : session.lastCommand}`,
    `user=${state.user?.name ?? ''}`,
    `resp=${state.protocol}`,
    `lib-name=${state.libName}`,
    `lib-ver=${state.libVersion}`,
  ].join(' ');
}

function list(call: Call): number {
  const { session, bytes, args } = call;
  let chosen = [...session.proxy.sessions.values()];
  if (args.count > 2) {
    const option = textOf(bytes, args, 2).toLowerCase();
    if (option === 'id' && args.count > 3) {
      const ids = new Set<number>();
      for (let i = 3; i < args.count; i++) ids.add(Number(textOf(bytes, args, i)));
      if ([...ids].some((id) => !Number.isInteger(id) || id <= 0)) {
        return refuse(session, '-ERR Invalid client ID\r\n');
      }
      chosen = chosen.filter((other) => ids.has(other.client.number));
    } else if (option === 'type' && args.count === 4) {
      const type = textOf(bytes, args, 3).toLowerCase();
      if (!TYPES.has(type))
        return refuse(session, `-ERR Unknown client type '${type.slice(0, 64)}'\r\n`);
      chosen = chosen.filter((other) => typeOf(other) === type);
    } else {
      return refuse(session, '-ERR syntax error\r\n');
    }
  }
  return answer(session, text(session, chosen.map((other) => `${describe(other)}\n`).join('')));
}

const TYPES = new Set(['normal', 'master', 'primary', 'replica', 'slave', 'pubsub']);

function typeOf(session: Session): string {
  return session.state.subscriber === null ? 'normal' : 'pubsub';
}

function kill(call: Call): number {
  const { session, bytes, args } = call;
  const all = [...session.proxy.sessions.values()];
  if (args.count === 3) {
    const address = textOf(bytes, args, 2);
    const found = all.find((other) => other.client.address === address);
    if (found === undefined) return refuse(session, '-ERR No such client\r\n');
    return end(session, [found], '+OK\r\n');
  }
  if (args.count % 2 !== 0) return refuse(session, '-ERR syntax error\r\n');
  let chosen = all;
  let skipMe = true;
  for (let i = 2; i + 1 < args.count; i += 2) {
    const option = textOf(bytes, args, i).toLowerCase();
    const value = textOf(bytes, args, i + 1);
    if (option === 'id') {
      if (!/^[1-9]\d{0,15}$/.test(value)) {
        return refuse(session, '-ERR client-id should be greater than 0\r\n');
      }
      chosen = chosen.filter((other) => other.client.number === Number(value));
    } else if (option === 'addr') chosen = chosen.filter((other) => other.client.address === value);
    else if (option === 'user') chosen = chosen.filter((other) => other.state.user?.name === value);
    else if (option === 'type') {
      const type = value.toLowerCase();
      if (!TYPES.has(type))
        return refuse(session, `-ERR Unknown client type '${type.slice(0, 64)}'\r\n`);
      chosen = chosen.filter((other) => typeOf(other) === type);
    } else if (option === 'skipme') {
      const yes = value.toLowerCase();
      if (yes !== 'yes' && yes !== 'no') return refuse(session, '-ERR syntax error\r\n');
      skipMe = yes === 'yes';
    } else if (option === 'maxage') {
      const oldest = session.proxy.world.host.now() - Number(value) * 1000;
      chosen = chosen.filter((other) => other.client.openedAt <= oldest);
    } else return refuse(session, '-ERR syntax error\r\n');
  }
  if (skipMe) chosen = chosen.filter((other) => other !== session);
  return end(session, chosen, `:${chosen.length}\r\n`);
}

function end(session: Session, chosen: readonly Session[], reply: string): number {
  session.reply(reply);
  for (const other of chosen) if (other !== session) other.end('client-kill');
  if (!chosen.includes(session)) return TAKEN;
  session.endWhenQuiet('client-kill');
  return ENDED;
}

function replies(call: Call): number {
  const { session, bytes, args } = call;
  const { state } = session;
  const mode = textOf(bytes, args, 2).toLowerCase();
  if (mode === 'on') {
    state.replies = 'on';
    state.refresh();
    return answer(session, '+OK\r\n');
  }
  return refuse(
    session,
    mode === 'off' || mode === 'skip'
      ? '-ERR client-reply-unsupported: CLIENT REPLY OFF and SKIP are not offered by this endpoint\r\n'
      : '-ERR syntax error\r\n',
  );
}

function unblock(call: Call): number {
  const { session, bytes, args } = call;
  const id = textOf(bytes, args, 2);
  const how = args.count > 3 ? textOf(bytes, args, 3).toLowerCase() : 'timeout';
  if (!/^-?\d{1,18}$/.test(id)) {
    return refuse(session, '-ERR value is not an integer or out of range\r\n');
  }
  if (how !== 'timeout' && how !== 'error') {
    return refuse(session, '-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n');
  }
  const other = [...session.proxy.sessions.values()].find((s) => s.client.number === Number(id));
  const lane = other?.lanes.own ?? null;
  if (other === undefined || lane === null || lane.inFlight === 0) return answer(session, ':0\r\n');
  const via = session.lanes.take(lane.shard, false);
  if (via === null) return answer(session, ':0\r\n');
  const place = session.order.place(call.command);
  other.unblocked = true;
  via.question(['CLIENT', 'UNBLOCK', String(lane.engineClient), how], (reply) => {
    session.fill(place, reply ?? Buffer.from(':0\r\n'));
  });
  return TAKEN;
}
