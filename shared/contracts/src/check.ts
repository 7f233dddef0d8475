import { AppError } from './appError.js'

export interface CheckOptions {
  /** Turn `"12"` into `12` and the like: for query strings and path parameters, never for bodies. */
  coerce?: boolean
}

export type Check<T> = (value: unknown) => T

/** What ajv says of a value that breaks its schema, as far as it is read here. */
export interface SchemaError {
  keyword: string
  instancePath: string
  params: object
  message?: string | undefined
}

/** A validator that ajv made, now or ahead of time. */
export interface Validator {
  (value: unknown): boolean
  errors?: SchemaError[] | null | undefined
}

/** Throws `AppError('invalid_input')` whose message names the field and the reason. */
export function checkWith<T>(validate: Validator): Check<T> {
  return (value) => {
    if (validate(value)) return value as T
    const first = validate.errors?.[0]
    throw new AppError('invalid_input', describe(first), { field: fieldOf(first), reason: first?.message })
  }
}

function fieldOf(error: SchemaError | undefined): string {
  const path = (error?.instancePath ?? '').slice(1).replaceAll('/', '.')
  const missing = (error?.params as { missingProperty?: string } | undefined)?.missingProperty
  if (!missing) return path
  return path ? `${path}.${missing}` : missing
}

function describe(error: SchemaError | undefined): string {
  if (!error) return 'invalid value'
  const field = fieldOf(error)
  if (error.keyword === 'required') return `${field} is required`
  if (error.keyword === 'enum') {
    const allowed = (error.params as { allowedValues?: unknown[] }).allowedValues ?? []
    return `${field || 'value'} must be one of ${allowed.join(', ')}`
  }
  return `${field || 'value'} ${error.message ?? 'is invalid'}`
}
