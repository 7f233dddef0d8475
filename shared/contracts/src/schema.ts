import { type Static, type TSchema, type TUnsafe, Type } from '@sinclair/typebox'
import type { ErrorObject } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { AppError } from './appError.js'

export { type Static, type TSchema, Type }

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

export interface CheckOptions {
  /** Turn `"12"` into `12` and the like: for query strings and path parameters, never for bodies. */
  coerce?: boolean
}

function createAjv(coerce: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    strictTypes: false,
    strictTuples: false,
    allErrors: false,
    useDefaults: true,
    removeAdditional: false,
    coerceTypes: coerce ? 'array' : false
  })
  addFormats.default(ajv)
  return ajv
}

const strictAjv = createAjv(false)
const coercingAjv = createAjv(true)

export type Check<T> = (value: unknown) => T

/**
 * Compiles a schema once; the returned function answers the value (defaults filled in) or throws
 * `AppError('invalid_input')` whose message names the field and the reason.
 */
export function compile<S extends TSchema>(schema: S, options: CheckOptions = {}): Check<Static<S>> {
  const validate = (options.coerce ? coercingAjv : strictAjv).compile(schema)
  return (value) => {
    if (validate(value)) return value as Static<S>
    const first = validate.errors?.[0]
    throw new AppError('invalid_input', describe(first), { field: fieldOf(first), reason: first?.message })
  }
}

function fieldOf(error: ErrorObject | undefined): string {
  const path = (error?.instancePath ?? '').slice(1).replaceAll('/', '.')
  const missing = (error?.params as { missingProperty?: string } | undefined)?.missingProperty
  if (!missing) return path
  return path ? `${path}.${missing}` : missing
}

function describe(error: ErrorObject | undefined): string {
  if (!error) return 'invalid value'
  const field = fieldOf(error)
  if (error.keyword === 'required') return `${field} is required`
  if (error.keyword === 'enum') {
    const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues ?? []
    return `${field || 'value'} must be one of ${allowed.join(', ')}`
  }
  return `${field || 'value'} ${error.message ?? 'is invalid'}`
}
