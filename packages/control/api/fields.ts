/**
 * Reading a body by its schema, as Azure's providers do: unknown and read-only fields are left out
 * of account (clients send back what they read), words of an enumeration match in any case, null
 * means absent, and a value of the wrong type is a 400 that names the place. Pure.
 *
 * The schemas are TypeBox's, with two annotations of ours: `readOnly`, and `since`, the name of the
 * versioned field it is: a version that does not know it does not hear it.
 */
import type { Static, TSchema } from 'typebox';
import { Errors } from 'typebox/schema';
import { ControlError } from '../errors.ts';
import type { ApiVersion, VersionedField } from './versions.ts';

/** The parts of a JSON schema that are walked. */
interface Node {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly patternProperties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly enum?: readonly string[];
  readonly readOnly?: boolean;
  readonly since?: VersionedField;
  readonly nullable?: boolean;
}

export interface Read<T> {
  readonly value: T;
  /** Fields that were left out of account, e.g. 'properties.hostName'. */
  readonly ignored: readonly string[];
}

export function readFields<S extends TSchema>(
  schema: S,
  body: unknown,
  version: ApiVersion,
): Read<Static<S>> {
  const ignored: string[] = [];
  const value = clean(schema as Node, body, '', version, ignored);
  const [, [error]] = Errors(schema, value);
  if (error !== undefined) throw wrongField(error, body);
  return { value: value as Static<S>, ignored };
}

function clean(
  node: Node,
  value: unknown,
  path: string,
  version: ApiVersion,
  ignored: string[],
): unknown {
  if (typeof value === 'string' && node.enum !== undefined) {
    return node.enum.find((word) => word.toLowerCase() === value.toLowerCase()) ?? value;
  }
  if (Array.isArray(value)) {
    const { items } = node;
    if (items === undefined) return value;
    return value.map((item, index) => clean(items, item, `${path}/${index}`, version, ignored));
  }
  if (typeof value !== 'object' || value === null || node.properties === undefined) return value;
  const { properties } = node;
  const kept = Object.entries(value).flatMap(([key, field]): [string, unknown][] => {
    const inner = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const at = path === '' ? key : `${path}.${key}`;
    if (inner === undefined || inner.readOnly === true || !isKnown(inner, version)) {
      ignored.push(at);
      return [];
    }
    if (field === null && inner.nullable !== true) return [];
    return [[key, clean(inner, field, at, version, ignored)]];
  });
  return Object.fromEntries(kept);
}

function isKnown(node: Node, version: ApiVersion): boolean {
  return node.since === undefined || version.knows(node.since);
}

function wrongField(
  error: { instancePath: string; message: string; params: object },
  body: unknown,
): ControlError {
  const target = error.instancePath.slice(1).replaceAll('/', '.');
  if (target === '' && (typeof body !== 'object' || body === null || Array.isArray(body))) {
    return new ControlError(
      'InvalidRequestContent',
      400,
      `The request body must be a JSON object, {...}, not ${Array.isArray(body) ? 'an array' : body === null ? 'null' : `a ${typeof body}`}.`,
    );
  }
  const place = target === '' ? 'The request body' : `'${target.slice(0, 200)}'`;
  const allowed = (error.params as { allowedValues?: readonly unknown[] }).allowedValues;
  return new ControlError(
    'InvalidRequestContent',
    400,
    allowed === undefined
      ? `${place} ${error.message}.`
      : `${place} must be one of ${allowed.join(', ')}.`,
    target === '' ? null : target.slice(0, 200),
  );
}
