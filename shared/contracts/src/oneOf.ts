import { type TUnsafe, Type } from '@sinclair/typebox'

/** A JSON Schema `enum`: one ajv error for a bad value, where a union of literals gives one per member. */
export function oneOf<const T extends readonly (string | number)[]>(
  values: T,
  options: Record<string, unknown> = {}
): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({
    type: typeof values[0] === 'number' ? 'integer' : 'string',
    enum: [...values],
    ...options
  })
}
