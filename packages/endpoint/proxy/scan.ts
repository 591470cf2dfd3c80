import { type Handler, refuse } from './dispatch.ts';
export const scan: Handler = ({ session }) => refuse(session, '-ERR soon\r\n');
