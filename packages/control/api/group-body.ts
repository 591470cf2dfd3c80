/** Bodies of resource groups and of tags. */
import { Type } from 'typebox';
import { ControlError } from '../errors.ts';
import type { Call } from './call.ts';
import { readFields } from './fields.ts';

const ReadOnly = Type.Optional(Type.Unknown({ readOnly: true }));
const Tags = Type.Record(Type.String(), Type.String());

const GroupBody = Type.Object({
  location: Type.Optional(Type.String()),
  tags: Type.Optional(Tags),
  id: ReadOnly,
  name: ReadOnly,
  type: ReadOnly,
  properties: ReadOnly,
});

const TagsBody = Type.Object({
  operation: Type.Optional(Type.Enum(['Merge', 'Replace', 'Delete'])),
  properties: Type.Optional(Type.Object({ tags: Type.Optional(Tags) })),
  id: ReadOnly,
  name: ReadOnly,
  type: ReadOnly,
});

export function readGroup(
  call: Call,
  name: string,
): { name: string; location: string; tags: Record<string, string> } {
  const { value, ignored } = readFields(GroupBody, call.body, call.version);
  call.ignored(ignored);
  return { name, location: value.location ?? '', tags: value.tags ?? {} };
}

/** Null: the body does not speak of tags. */
export function readTags(call: Call): Record<string, string> | null {
  const { value, ignored } = readFields(GroupBody, call.body, call.version);
  call.ignored(ignored);
  return value.tags ?? null;
}

/** The body of `.../tags/default`, applied to what is there. */
export function changedTags(
  call: Call,
  current: Readonly<Record<string, string>>,
): Record<string, string> {
  const { value, ignored } = readFields(TagsBody, call.body, call.version);
  call.ignored(ignored);
  const tags = value.properties?.tags ?? {};
  if (call.method === 'PUT') return tags;
  const operation = value.operation;
  if (operation === undefined) {
    throw new ControlError(
      'InvalidRequestContent',
      400,
      "'operation' is required: Merge, Replace or Delete.",
      'operation',
    );
  }
  if (operation === 'Replace') return tags;
  if (operation === 'Merge') return { ...current, ...tags };
  return Object.fromEntries(
    Object.entries(current).filter(
      ([name, tag]) => !(Object.hasOwn(tags, name) && tags[name] === tag),
    ),
  );
}
