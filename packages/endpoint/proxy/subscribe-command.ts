import { type Handler, refuse } from './dispatch.ts';
export const subscribe: Handler = ({ session }) => refuse(session, '-ERR soon\r\n');
export const unsubscribe = subscribe;
export const publish = subscribe;
export const pubsub = subscribe;
