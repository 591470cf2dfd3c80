/** CLIENT: connections of clients end here, so what the engine knows about connections is about lanes. */
import { chosenBy, describe, readChoice } from './client-choice.ts';
import { unblockHere } from './client-unblock.ts';
import { type Call, type Handler, refuse } from './dispatch.ts';
import { array, bulk, nullReply } from './raw-reply.ts';
import { textOf } from './route.ts';
import { ENDED, type Session, STALLED, TAKEN } from './session.ts';
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
    case 'no-touch':
      return noTouch(call);
    case 'capa':
    case 'import-source':
      return answer(session, '+OK\r\n');
    case 'help':
      return answer(
        session,
        array([
          bulk('CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:'),
          bulk(
            'ID, INFO, LIST, KILL, GETNAME, SETNAME, SETINFO, REPLY, NO-TOUCH, UNBLOCK, TRACKING, CACHING: of the clients of this endpoint.',
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
      `-ERR ${option} cannot contain spaces, newlines or special characters.\r\n`,
    );
  }
  if (lower === 'lib-name') session.state.libName = value;
  else session.state.libVersion = value;
  return answer(session, '+OK\r\n');
}

function wordsFrom(call: Call, first: number): string[] {
  const words: string[] = [];
  for (let i = first; i < call.args.count; i++) words.push(textOf(call.bytes, call.args, i));
  return words;
}

function list(call: Call): number {
  const { session, command } = call;
  const { proxy } = session;
  const choice = readChoice(wordsFrom(call, 2), false, proxy.view);
  if (typeof choice === 'string') return refuse(session, `-ERR ${choice}\r\n`);
  const own = chosenBy(proxy, choice, session).map(
    (other): Line => [other.client.number, describe(other)],
  );
  const shown = (lines: readonly Line[]): Buffer => {
    const sorted = [...lines].sort(([x], [y]) => x - y);
    return text(session, sorted.map(([, line]) => `${line}\n`).join(''));
  };
  if (proxy.across.single) return answer(session, shown(own));
  const place = session.order.place(command);
  void proxy.across.ask({ kind: 'clients', choice }).then((others) => {
    session.fill(place, shown([...own, ...(others as Line[][]).flat()]));
  });
  return TAKEN;
}

type Line = [number: number, line: string];

function kill(call: Call): number {
  const { session, args } = call;
  const old = args.count === 3;
  const words = old ? ['addr', ...wordsFrom(call, 2)] : wordsFrom(call, 2);
  const choice = readChoice(words, !old, session.proxy.view);
  if (typeof choice === 'string') return refuse(session, `-ERR ${choice}\r\n`);
  const { across } = session.proxy;
  const here = chosenBy(session.proxy, choice, session);
  const said = (count: number): string => {
    if (!old) return `:${count}\r\n`;
    return count > 0 ? '+OK\r\n' : '-ERR No such client\r\n';
  };
  const me = here.includes(session);
  if (across.single || (old && here.length > 0)) session.reply(said(here.length));
  else {
    const place = session.order.place(call.command);
    void across.sum({ kind: 'kill', choice }).then((count) => {
      session.fill(place, Buffer.from(said(here.length + count)));
    });
  }
  for (const other of here) if (other !== session) other.end('client-kill');
  if (!me) return TAKEN;
  session.endWhenQuiet('client-kill');
  return ENDED;
}

function replies(call: Call): number {
  const { session, bytes, args } = call;
  const mode = textOf(bytes, args, 2).toLowerCase();
  const { state } = session;
  if (mode === 'on') {
    state.setReplies('on');
    return answer(session, '+OK\r\n');
  }
  if (mode === 'off') state.setReplies('off');
  else if (mode !== 'skip') return refuse(session, '-ERR syntax error\r\n');
  else if (state.replies === 'on') state.setReplies('skip-next');
  return TAKEN;
}

function noTouch(call: Call): number {
  const { session, bytes, args } = call;
  const value = textOf(bytes, args, 2).toLowerCase();
  if (value !== 'on' && value !== 'off') return refuse(session, '-ERR syntax error\r\n');
  if (session.order.head !== null || session.lanes.total > 0) {
    session.stall('order');
    return STALLED;
  }
  session.state.setNoTouch(value === 'on');
  return answer(session, '+OK\r\n');
}

function unblock(call: Call): number {
  const { session, bytes, args } = call;
  const { proxy } = session;
  const id = textOf(bytes, args, 2);
  const how = args.count > 3 ? textOf(bytes, args, 3).toLowerCase() : 'timeout';
  if (!/^-?\d{1,18}$/.test(id)) {
    return refuse(session, '-ERR value is not an integer or out of range\r\n');
  }
  if (how !== 'timeout' && how !== 'error') {
    return refuse(session, '-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n');
  }
  const place = session.order.place(call.command);
  const number = Number(id);
  void Promise.all([
    unblockHere(proxy, number, how),
    proxy.across.sum({ kind: 'unblock', id: number, how }),
  ]).then(([here, elsewhere]) => {
    session.fill(place, Buffer.from(`:${Math.min(1, here + elsewhere)}\r\n`));
  });
  return TAKEN;
}
