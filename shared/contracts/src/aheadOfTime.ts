import { createHash } from 'node:crypto'
import type { Static, TSchema } from '@sinclair/typebox'
import { type Check, type CheckOptions, checkWith, type Validator } from './check.js'

/** Validators by `schemaKey`. */
export type Validators = Record<string, Validator>

/** Names a schema by what it says. */
export function schemaKey(schema: TSchema, { coerce = false }: CheckOptions = {}): string {
  return `v${createHash('sha256')
    .update(JSON.stringify([schema, coerce]))
    .digest('hex')
    .slice(0, 24)}`
}

/** `compile` for a program that is shipped without ajv: it finds the validators that were made when it was built. */
export function createCompile(validators: Validators) {
  return function compile<S extends TSchema>(schema: S, options?: CheckOptions): Check<Static<S>> {
    const validate = validators[schemaKey(schema, options)]
    if (!validate) throw new Error('a schema was not known when this program was built')
    return checkWith(validate)
  }
}
