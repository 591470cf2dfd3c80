import { type Handler, refuse } from './dispatch.ts';
export const wait: Handler = ({ session }) => refuse(session, '-ERR soon\r\n');
