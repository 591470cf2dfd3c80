/** CONFIG: Azure's subset. */
import { type Handler, refuse } from './dispatch.ts';
import { array } from './raw-reply.ts';
import { TAKEN } from './session.ts';

export const configCommand: Handler = ({ session, command }) => {
  if (command.name === 'config|get') {
    session.reply(session.state.protocol === 3 ? Buffer.from('%0\r\n') : array([]));
    return TAKEN;
  }
  return refuse(session, '-ERR config-refused\r\n');
};
