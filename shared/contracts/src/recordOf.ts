import { type ObjectOptions, type TRecord, type TSchema, type TString, Type } from '@sinclair/typebox'

/** TypeBox writes a plain `Type.String()` as `^(.*)$`, which keys with a line break do not match: their values would go unchecked. */
const AnyKey = Type.String({ pattern: '^[\\s\\S]*$' })

/** An object with any keys, each of whose values is `value`. */
export function recordOf<V extends TSchema>(value: V, options: ObjectOptions = {}): TRecord<TString, V> {
  return Type.Record(AnyKey, value, options)
}
